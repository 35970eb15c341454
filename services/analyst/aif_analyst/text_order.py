"""What an order about a text says: the stage's input, checked."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from aif_ai.source_reading import read_source
from aif_contracts.analysis import PiiKind, Turn
from aif_contracts.blobs import BlobRef
from aif_runtime.assignment import Assignment, WorkFailure
from aif_runtime.clock import Clock

LONGEST_CHARACTERS = 5_000_000
Language = Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}$(?!\n)")]


class TextOrder(Struct, frozen=True, kw_only=True, rename="camel"):
    """A transcript or a redaction has these fields, too, so that it can be the input as it is."""

    text: str | None = None
    turns: tuple[Turn, ...] = ()
    source: BlobRef | None = None
    """A SourceDocument as JSON, in place of text."""
    language: Language | None = None


class RedactionOrder(TextOrder, frozen=True, kw_only=True, rename="camel"):
    kinds: Annotated[tuple[PiiKind, ...], Meta(min_length=1)] | None = None
    """None for the usual ones."""
    numbered: bool = False
    """Whether equal findings get equal numbers, so that a reader can tell persons apart."""
    use_model: bool = False
    """Whether a language model looks for names that rules cannot find, in the text that the rules have redacted."""


class SummaryOrder(TextOrder, frozen=True, kw_only=True, rename="camel"):
    max_sentences: Annotated[int, Meta(ge=1, le=30)] = 5


Order = TypeVar("Order", bound=TextOrder)


class TextAtHand(Struct, frozen=True, kw_only=True):
    text: str
    turns: tuple[Turn, ...]
    language: str | None


def read_order(fields: Mapping[str, Any], kind: type[Order]) -> Order:
    """The order in a stage's input. Raises WorkFailure `invalid_input` that names the field and the mend."""
    # A template passes every optional parameter on, and one that was not given arrives as null.
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        order = msgspec.convert(given, kind)
    except msgspec.ValidationError as wrong:
        raise _invalid(f"the stage's input does not fit: {wrong}") from wrong
    if order.text is None and order.source is None:
        raise _invalid("neither text nor source is given: give one of them, or the output of an earlier stage")
    if order.text is not None and order.source is not None:
        raise _invalid("text and source are both given: keep one of them")
    return order


async def text_at_hand(order: TextOrder, assignment: Assignment, clock: Clock) -> TextAtHand:
    """Raises WorkFailure `invalid_input`, `invalid_source`."""
    text, turns = order.text, order.turns
    if order.source is not None:
        text, turns = (await read_source(order.source, assignment, clock)).text, ()
    assert text is not None
    if len(text) > LONGEST_CHARACTERS:
        raise _invalid(f"the text has more than {LONGEST_CHARACTERS:,} characters: split it and order each part")
    position = 0
    for number, turn in enumerate(turns):
        if not position <= turn.span.start <= turn.span.end <= len(text):
            raise _invalid(
                f"turns[{number}].span covers {turn.span.start} to {turn.span.end}, which overlaps or leaves the text"
            )
        position = turn.span.end
    return TextAtHand(text=text, turns=turns, language=order.language)


def _invalid(message: str) -> WorkFailure:
    return WorkFailure("invalid_input", message, retryable=False)
