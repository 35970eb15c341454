"""A text as its speakers or its writer divided it: turns of a conversation, else paragraphs; and the sentences of those."""

from collections.abc import Sequence

from msgspec import Struct

from aif_ai.extractive.sentences import Sentence, sentences_of
from aif_contracts.analysis import Turn
from aif_contracts.documents import Block, BlockKind


class Passage(Struct, frozen=True, kw_only=True):
    """Characters `[start, end)` of the text."""

    start: int
    end: int
    speaker: str | None = None
    turn: int | None = None
    """Number of its turn, from 0; None for a paragraph."""


def passages_of(text: str, turns: Sequence[Turn]) -> list[Passage]:
    """The turns when there are any; else paragraphs, which an empty line divides."""
    if turns:
        return [
            Passage(start=turn.span.start, end=turn.span.end, speaker=turn.speaker, turn=number)
            for number, turn in enumerate(turns)
        ]
    passages: list[Passage] = []
    start = 0
    while start < len(text):
        end = text.find("\n\n", start)
        end = len(text) if end < 0 else end
        if text[start:end].strip():
            passages.append(Passage(start=start, end=end))
        start = end + 2
    return passages


def sentences_in(text: str, passages: Sequence[Passage]) -> list[Sentence]:
    """Sentences with at least one word; their `block` is the number of the passage."""
    return [
        sentence
        for number, passage in enumerate(passages)
        for sentence in sentences_of(text, Block(kind=BlockKind.PARAGRAPH, start=passage.start, end=passage.end), number)
    ]
