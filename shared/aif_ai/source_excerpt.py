"""A source fitted to what a prompt may hold: all of it, or its headings and its weightiest sentences in order."""

from aif_ai.extractive.ranking import rank
from aif_ai.extractive.sentences import Sentence, sentences_of
from aif_contracts.documents import Block, BlockKind, SourceDocument

GAP_MARK = "[…]"
_RANKED_TOGETHER = 4_000
"""Sentences; longer documents are ranked in stretches of this length, so that each gets its share."""


def excerpt(source: SourceDocument, budget_characters: int) -> str:
    """At most about `budget_characters` of the source; `[…]` stands where sentences were left out."""
    if len(source.text) <= budget_characters:
        return source.text
    headings = [
        (block.start, source.text[block.start : block.end]) for block in source.blocks if block.kind is BlockKind.HEADING
    ]
    blocks = source.blocks or (Block(kind=BlockKind.PARAGRAPH, start=0, end=len(source.text)),)
    sentences = [
        sentence
        for number, block in enumerate(blocks)
        if block.kind not in (BlockKind.HEADING, BlockKind.CODE)
        for sentence in sentences_of(source.text, block, number)
    ]
    left = budget_characters - sum(len(text) + 2 for _, text in headings)
    kept = _weightiest(sentences, left)
    return _joined(sentences, kept, dict(headings))


def _weightiest(sentences: list[Sentence], budget_characters: int) -> set[int]:
    weights: list[float] = []
    for first in range(0, len(sentences), _RANKED_TOGETHER):
        weights.extend(rank(sentences[first : first + _RANKED_TOGETHER]))
    kept: set[int] = set()
    left = budget_characters
    for i in sorted(range(len(sentences)), key=lambda i: (-weights[i], i)):
        cost = len(sentences[i].text) + len(GAP_MARK) + 2
        if cost <= left:
            kept.add(i)
            left -= cost
    return kept


def _joined(sentences: list[Sentence], kept: set[int], headings: dict[int, str]) -> str:
    pieces: dict[int, str] = dict(headings)
    was_kept = True
    for i, sentence in enumerate(sentences):
        if i in kept:
            pieces[sentence.start] = sentence.text
        elif was_kept:
            pieces[sentence.start] = GAP_MARK
        was_kept = i in kept
    return "\n".join(pieces[start] for start in sorted(pieces))
