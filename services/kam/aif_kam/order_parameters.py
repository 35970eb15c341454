"""Parameters as a client writes them, to parameters as the orchestrator takes them.

A client names a source by its id, or sends the text itself; what goes on is a reference to the parsed document. A client
never writes a reference: it could name another client's bytes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from aif_contracts.blobs import BlobRef
from aif_contracts.money import usd_text
from aif_contracts.orders import LARGEST_PARAMETERS_BYTES, FieldMistake, TemplateView
from aif_kam.failures import InvalidInput
from aif_kam.source_intake import SourceIntake
from aif_kam.source_store import NewSource
from aif_kam.sources.recording import OFFERED_RECORDINGS
from aif_kam.template_catalogue import TemplateCatalogue
from aif_pipelines.parameters import check_parameters

SOURCE = "source"
SOURCE_TEXT = "source_text"
STRUCTURE_TYPE = "structureType"
_SOURCE_SCHEMA = {
    "type": "string",
    "title": "Source document",
    "description": "The source_id of a document uploaded to /api/kam/sources; the text itself goes into source_text",
}
_SOURCE_TEXT_SCHEMA = {
    "type": "string",
    "title": "Source text",
    "description": "In place of source: the document itself, as Markdown or plain text",
}
_RECORDING_SCHEMA = {
    "type": "string",
    "title": "Recording",
    "description": "The source_id of a recording (WAV, MP3, OGG, FLAC, M4A) uploaded to /api/kam/sources",
}
_DOCUMENT = "application/json"
"""Media type of a parsed document's blob."""
_SOMEWHERE = {"storage_type": "OBJECT", "storage_key": "sources/checked", "size_bytes": 0, "sha256": "0" * 64}
"""Stands for a source while the other parameters are checked, before the costly reading of it."""


class PreparedOrder(Struct, frozen=True, kw_only=True):
    template: str
    parameters: dict[str, Any]
    new_source: NewSource | None
    """Read and stored, still to be entered."""


class CheckedWishes(Struct, frozen=True, kw_only=True):
    """An order's parameters, and what is wrong with them."""

    values: dict[str, Any]
    """Defaults filled in, without the source."""
    source_id: str | None
    text: str | None
    """A source that the order brings with it."""
    mistakes: list[FieldMistake]


class OrderParameters:
    def __init__(self, *, catalogue: TemplateCatalogue, intake: SourceIntake) -> None:
        self._catalogue = catalogue
        self._intake = intake

    async def prepare(
        self,
        client_id: str,
        template_name: str,
        given: Mapping[str, Any],
        *,
        template_field: str,
        field: str,
        version: str | None = None,
        version_field: str = "template_version",
    ) -> PreparedOrder:
        """Check and complete an order's parameters. The names that end in `field` are what the caller calls them.

        Raises InvalidInput with all mistakes, Unavailable.
        """
        template = await self._catalogue.chosen(
            template_name, client_id, field=template_field, version=version, version_field=version_field
        )
        wishes = check_wishes(template, given, field)
        mistakes, blob = wishes.mistakes, None
        if wishes.source_id is not None and not mistakes:
            blob = await self._intake.find_blob(wishes.source_id, client_id)
            if blob is None:
                mistakes = [no_source(f"{field}.{SOURCE}", wishes.source_id)]
            elif wrong := wrong_kind(template, blob, f"{field}.{SOURCE}"):
                mistakes = [wrong]
        if mistakes:
            raise wrong_parameters(mistakes)
        new_source = None
        if wishes.text is not None:
            new_source = await self._read_text(client_id, wishes.text, f"{field}.{SOURCE_TEXT}")
            blob = new_source.blob
        return PreparedOrder(template=template.name, parameters=with_source(wishes.values, blob), new_source=new_source)

    async def _read_text(self, client_id: str, text: str, field: str) -> NewSource:
        return (await self._intake.read_texts(client_id, [text], [field], together=field))[0]


def check_wishes(template: TemplateView, given: Mapping[str, Any], field: str) -> CheckedWishes:
    """Whether a source of that id exists is not looked up, and no text is read."""
    wishes = dict(given)
    source, text = wishes.pop(SOURCE, None), wishes.pop(SOURCE_TEXT, None)
    mistakes = _source_mistakes(source, text, field)
    if text is not None and _DOCUMENT not in _taken(template):
        mend = "upload a recording to /api/kam/sources and give its source_id as source"
        mistakes.append(_mistake(f"{field}.{SOURCE_TEXT}", f"{template.name} works on recordings, not on text", mend))
    values, found = _checked(template, wishes, has_source=source is not None or text is not None, field=field)
    if not found:
        found = _too_large(values, field)
    return CheckedWishes(
        values=values,
        source_id=source if isinstance(source, str) else None,
        text=text if isinstance(text, str) else None,
        mistakes=[*mistakes, *found],
    )


def with_source(values: Mapping[str, Any], blob: BlobRef | None) -> dict[str, Any]:
    return dict(values) if blob is None else {**values, SOURCE: msgspec.to_builtins(blob)}


def no_source(field: str, source_id: str) -> FieldMistake:
    return _mistake(field, f"there is no source {source_id[:80]!r}", "upload it to /api/kam/sources first")


def wrong_kind(template: TemplateView, blob: BlobRef, field: str) -> FieldMistake | None:
    """A recording where documents are taken, or the other way round; None when it fits.

    Who declares no source, as a pipeline that is built without a schema, takes either: nothing tells which it works on.
    """
    taken = _taken(template)
    if blob.media_type in taken or SOURCE not in template.parameters.get("properties", {}):
        return None
    if _DOCUMENT in taken:
        return _mistake(field, f"is a recording, and {template.name} works on documents", "give the source_id of a document")
    return _mistake(field, f"is no recording, and {template.name} works on recordings", f"upload one as {OFFERED_RECORDINGS}")


def wrong_parameters(mistakes: Sequence[FieldMistake]) -> InvalidInput:
    detail = "; ".join(f"{mistake.field}: {mistake.message}" for mistake in mistakes)
    return InvalidInput(detail[:500], mistakes=mistakes)


def as_offered(template: TemplateView) -> TemplateView:
    """The template with its parameters as a client writes them."""
    properties = template.parameters.get("properties", {})
    if SOURCE not in properties:
        return template
    offered = {**properties, SOURCE: _RECORDING_SCHEMA}
    if _DOCUMENT in _taken(template):
        offered |= {SOURCE: _SOURCE_SCHEMA, SOURCE_TEXT: _SOURCE_TEXT_SCHEMA}
    return msgspec.structs.replace(template, parameters={**template.parameters, "properties": offered})


def digest_of(
    given: Mapping[str, Any],
    start_at: str | None = None,
    max_cost_usd: Decimal | None = None,
    version: str | None = None,
) -> str:
    """Of an order as the client wrote it: the same one is the same execution."""
    content = msgspec.json.encode(given, order="deterministic") + (start_at or "").encode()
    if max_cost_usd is not None:
        # Behind a character that no time can hold.
        content += b"\x00" + usd_text(max_cost_usd).encode()
    if version is not None:
        content += b"\x00v" + version.encode()
    return hashlib.sha256(content).hexdigest()


def _taken(template: TemplateView) -> tuple[str, ...]:
    """Media types of the blobs that the template takes as its source: those that its schema lists, else documents alone."""
    source = template.parameters.get("properties", {}).get(SOURCE, {})
    listed = source.get("properties", {}).get("media_type", {}).get("enum") if isinstance(source, Mapping) else None
    return tuple(listed) if listed else (_DOCUMENT,)


def _source_mistakes(source: Any, text: Any, field: str) -> list[FieldMistake]:
    mistakes = []
    if source is not None and not isinstance(source, str):
        mistakes.append(_mistake(f"{field}.{SOURCE}", "is no text", "give the source_id of a document that you uploaded"))
    if text is not None and not isinstance(text, str):
        mistakes.append(_mistake(f"{field}.{SOURCE_TEXT}", "is no text", "give the document as one string"))
    if source is not None and text is not None:
        mistakes.append(_mistake(f"{field}.{SOURCE_TEXT}", f"{SOURCE} is given, too", "keep one of them"))
    return mistakes


def _checked(
    template: TemplateView, wishes: dict[str, Any], *, has_source: bool, field: str
) -> tuple[dict[str, Any], list[FieldMistake]]:
    """The values with defaults filled in, without a source; and what is wrong with them."""
    if template.structure_type is not None:
        wishes.setdefault(STRUCTURE_TYPE, template.structure_type)
    if has_source:
        taken = _taken(template)
        wishes[SOURCE] = _SOMEWHERE if _DOCUMENT in taken else {**_SOMEWHERE, "media_type": taken[0]}
    # Who gives none is told what to give in the words that are offered; one that is given is a reference by now.
    schema = template.parameters if has_source else as_offered(template).parameters
    checked = check_parameters(schema, wishes)
    mistakes = [_mistake(_field(mistake.path, field), mistake.message, mistake.mend) for mistake in checked.mistakes]
    if has_source and SOURCE in template.parameters.get("properties", {}):
        mistakes = _without_words_on_the_reference(mistakes, template, f"{field}.{SOURCE}")
    values = dict(checked.values)
    values.pop(SOURCE, None)
    return values, mistakes


def _without_words_on_the_reference(mistakes: list[FieldMistake], template: TemplateView, place: str) -> list[FieldMistake]:
    """A schema that takes no reference as its source: the caller, who wrote none, hears why nothing could be right there."""
    others = [each for each in mistakes if each.field != place and not each.field.startswith(f"{place}.")]
    if len(others) == len(mistakes):
        return mistakes
    message = f"{template.name} declares {SOURCE} as something else than a source document, which is an object"
    mend = f"save a version of the pipeline whose parameters declare {SOURCE} as {{type: object}}"
    return [_mistake(place, message, mend), *others]


def _too_large(values: Mapping[str, Any], field: str) -> list[FieldMistake]:
    """Nothing is stored that the orchestrator would refuse, least of all a thousand times for a batch."""
    size = len(msgspec.json.encode(values))
    if size <= LARGEST_PARAMETERS_BYTES:
        return []
    message = f"the parameters are {size} bytes long; {LARGEST_PARAMETERS_BYTES} are allowed"
    return [_mistake(field, message, f"send a long text as a source document, in {SOURCE} or {SOURCE_TEXT}")]


def _field(path: str, field: str) -> str:
    """The checker says `parameters.x`; an order may call its parameters otherwise."""
    return field + path.removeprefix("parameters") if path.startswith("parameters") else f"{field}.{path}"


def _mistake(field: str, message: str, mend: str) -> FieldMistake:
    return FieldMistake(field=field, message=message, mend=mend)
