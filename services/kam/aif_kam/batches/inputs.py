"""The inputs of a batch, checked all before anything is stored.

An input is what an order's parameters are, with those that all inputs share beneath it. A mistake is told once, where it was
written: `inputs[3].topic`, or `parameters.topic` when it is shared.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, structs

from aif_contracts.blobs import BlobRef
from aif_contracts.orders import FieldMistake, TemplateView
from aif_kam.order_parameters import (
    SOURCE,
    SOURCE_TEXT,
    CheckedWishes,
    check_wishes,
    no_source,
    with_source,
    wrong_kind,
    wrong_parameters,
)
from aif_kam.source_intake import SourceIntake
from aif_kam.source_store import NewSource
from aif_kam.template_catalogue import TemplateCatalogue

MISTAKES_TOLD = 100
CHECKED_AT_A_TIME = 25
"""Between two of these others get their turn."""
_SHARED, _INPUTS = "parameters", "inputs"
_NAME = re.compile(r"[^.\[]+")


class PreparedInput(Struct, frozen=True, kw_only=True):
    parameters: dict[str, Any]
    """Complete, as the orchestrator takes them."""
    given: Mapping[str, Any]
    """As the client wrote it, with what it shares."""


class PreparedInputs(Struct, frozen=True, kw_only=True):
    template: str
    inputs: tuple[PreparedInput, ...]
    new_sources: tuple[NewSource, ...]
    """Read and stored, still to be entered."""


class _Given(Struct, frozen=True, kw_only=True):
    """An input with what it shares."""

    index: int
    own: Mapping[str, Any]
    whole: Mapping[str, Any]
    checked: CheckedWishes

    def field(self, name: str) -> str:
        return f"{_INPUTS}[{self.index}].{name}" if name in self.own or name not in self.whole else f"{_SHARED}.{name}"


class BatchInputs:
    def __init__(self, *, catalogue: TemplateCatalogue, intake: SourceIntake) -> None:
        self._catalogue = catalogue
        self._intake = intake

    async def prepare(
        self,
        client_id: str,
        template_name: str,
        shared: Mapping[str, Any],
        inputs: Sequence[Mapping[str, Any]],
        *,
        version: str | None,
    ) -> PreparedInputs:
        """Raises InvalidInput with the mistakes of all inputs, Unavailable."""
        template = await self._catalogue.chosen(template_name, client_id, field="selected_template", version=version)
        given = await _checked(template, shared, inputs)
        mistakes = [_as_written(mistake, each) for each in given for mistake in each.checked.mistakes]
        blobs = await self._blobs(client_id, given)
        mistakes += [
            no_source(each.field(SOURCE), each.checked.source_id)
            for each in given
            if each.checked.source_id is not None and each.checked.source_id not in blobs
        ]
        for each in given:
            blob = blobs.get(each.checked.source_id or "")
            if blob is not None and (wrong := wrong_kind(template, blob, each.field(SOURCE))):
                mistakes.append(wrong)
        if mistakes:
            raise wrong_parameters(_told(mistakes))
        read = await self._read(client_id, given)
        return PreparedInputs(
            template=template.name,
            inputs=tuple(
                PreparedInput(
                    parameters=with_source(each.checked.values, _blob(each.checked, blobs, read)),
                    given=each.whole,
                )
                for each in given
            ),
            new_sources=tuple(read.values()),
        )

    async def _blobs(self, client_id: str, given: Sequence[_Given]) -> Mapping[str, BlobRef]:
        wanted = {each.checked.source_id for each in given if each.checked.source_id is not None}
        return await self._intake.find_blobs(sorted(wanted), client_id) if wanted else {}

    async def _read(self, client_id: str, given: Sequence[_Given]) -> dict[str, NewSource]:
        """Every text once, however many inputs share it."""
        fields: dict[str, str] = {}
        for each in given:
            if each.checked.text is not None:
                fields.setdefault(each.checked.text, each.field(SOURCE_TEXT))
        sources = await self._intake.read_texts(client_id, list(fields), list(fields.values()), together=_INPUTS)
        return dict(zip(fields, sources, strict=True))


async def _checked(template: TemplateView, shared: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> list[_Given]:
    given = []
    for index, own in enumerate(inputs):
        if index % CHECKED_AT_A_TIME == 0:
            await asyncio.sleep(0)
        beneath = dict(shared)
        if SOURCE in own or SOURCE_TEXT in own:
            # An input's own source, however it names it, takes the place of the shared one.
            beneath.pop(SOURCE, None)
            beneath.pop(SOURCE_TEXT, None)
        whole = {**beneath, **own}
        checked = check_wishes(template, whole, f"{_INPUTS}[{index}]")
        given.append(_Given(index=index, own=own, whole=whole, checked=checked))
    return given


def _as_written(mistake: FieldMistake, given: _Given) -> FieldMistake:
    path = mistake.field.removeprefix(f"{_INPUTS}[{given.index}].")
    if path == mistake.field or (name := _NAME.match(path)) is None:
        return mistake
    return structs.replace(mistake, field=given.field(name[0]) + path[name.end() :])


def _told(mistakes: Sequence[FieldMistake]) -> list[FieldMistake]:
    """Each once, and not more than anybody reads."""
    told = list(dict.fromkeys(mistakes))
    if len(told) > MISTAKES_TOLD:
        more = FieldMistake(field=_INPUTS, message=f"and {len(told) - MISTAKES_TOLD} more mistakes", mend="mend these first")
        told = [*told[:MISTAKES_TOLD], more]
    return told


def _blob(checked: CheckedWishes, blobs: Mapping[str, BlobRef], read: Mapping[str, NewSource]) -> BlobRef | None:
    if checked.source_id is not None:
        return blobs[checked.source_id]
    return None if checked.text is None else read[checked.text].blob
