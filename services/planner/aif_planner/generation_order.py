"""What an order for a workflow says: the stage's input, checked."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from aif_ai.source_reading import read_source
from aif_contracts.blobs import BlobRef
from aif_contracts.documents import BlockKind, SourceDocument
from aif_contracts.workflows import MOST_STEPS, Operation, ServiceName
from aif_runtime.assignment import Assignment, WorkFailure
from aif_runtime.clock import Clock

LONGEST_CHARACTERS = 200_000
_MARKS = {BlockKind.HEADING: "# ", BlockKind.LIST_ITEM: "- "}


class GenerationOrder(Struct, frozen=True, kw_only=True, rename="camel"):
    description: str | None = None
    """What is to be done, in words."""
    source: BlobRef | None = None
    """A SourceDocument as JSON that describes it, in place of a description."""
    connected_services: Annotated[tuple[ServiceName, ...], Meta(max_length=100)] = ()
    """By name, such as `google-mail`; with any of them no step may use another one."""
    allowed_operations: Annotated[tuple[Operation, ...], Meta(max_length=200)] = ()
    """Names of what can be done; with any of them every step's operation is one of them."""
    max_steps: Annotated[int, Meta(ge=1, le=MOST_STEPS)] = MOST_STEPS


def read_order(fields: Mapping[str, Any]) -> GenerationOrder:
    """The order in a stage's input. Raises WorkFailure `invalid_input` that names the field and the mend."""
    # A template passes every optional parameter on, and one that was not given arrives as null.
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        order = msgspec.convert(given, GenerationOrder)
    except msgspec.ValidationError as wrong:
        raise _invalid(f"the stage's input does not fit: {wrong}") from wrong
    if order.description is None and order.source is None:
        raise _invalid("neither description nor source is given: say what is to be done, or give a document that says it")
    if order.description is not None and order.source is not None:
        raise _invalid("description and source are both given: keep one of them")
    return order


async def described(order: GenerationOrder, assignment: Assignment, clock: Clock) -> str:
    """The text that says what is to be done. Raises WorkFailure `invalid_input`, `invalid_source`."""
    text, field = order.description, "description"
    if order.source is not None:
        text, field = _laid_out(await read_source(order.source, assignment, clock)), "source"
    if text is None or not text.strip():
        raise _invalid(f"{field} has no words: say what is to be done")
    if len(text) > LONGEST_CHARACTERS:
        raise _invalid(f"{field} has more than {LONGEST_CHARACTERS:,} characters: order a workflow for each part of it")
    return text


def _laid_out(document: SourceDocument) -> str:
    """Its text, with marks that tell headings and items of lists from sentences."""
    if not document.blocks:
        return document.text
    return "\n\n".join(
        f"{_MARKS.get(block.kind, '')}{document.text[block.start : block.end].strip()}" for block in document.blocks
    )


def _invalid(message: str) -> WorkFailure:
    return WorkFailure("invalid_input", message, retryable=False)
