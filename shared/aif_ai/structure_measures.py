"""Measures of a structure, each from 0 to 1, that every worker's quality score is made of."""

from collections.abc import Collection, Iterable
from math import log

from aif_contracts.documents import SourceDocument
from aif_contracts.word_count import count_words

_MOST_STRETCHES = 10
_WORDS_PER_STRETCH = 100


def coverage(starts: Iterable[int], source: SourceDocument) -> float:
    """Share of the source's stretches in which something cited begins.

    A stretch is a tenth of the source, or a part of 100 words where the source is shorter than 1,000.
    """
    stretches = max(1, min(_MOST_STRETCHES, count_words(source.text) // _WORDS_PER_STRETCH))
    return len({start * stretches // len(source.text) for start in starts}) / stretches


def uniqueness(texts: Iterable[str]) -> float:
    """Share of the texts that repeat no other, but for case and white space; there is at least one."""
    folded = [" ".join(text.casefold().split()) for text in texts]
    return len(set(folded)) / len(folded)


def evenness(amounts: Collection[int]) -> float:
    """Normalised entropy: 1 when all are equal, towards 0 when one has everything."""
    total = sum(amounts)
    if len(amounts) < 2 or total == 0:
        return 1.0
    entropy = -sum(amount / total * log(amount / total) for amount in amounts if amount)
    return entropy / log(len(amounts))
