"""Cut a run of sentences where its subject changes, into parts of similar length.

Each gap between two units gets its cohesion: how alike the words before and after it are. The cuts are those that
together cost least, where a cut costs its cohesion and a part costs the square of its distance from the wanted length.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

from aif_ai.extractive.sentences import Sentence

_LOOK_AROUND = 3
"""Units compared on each side of a gap."""
_BALANCE = 0.35
_MOST_UNITS = 240
_SMALLEST_PART = 0.3
"""Of the wanted length."""


def parts_by_topic(sentences: Sequence[Sentence], wanted: int) -> list[list[Sentence]]:
    """The sentences in order, in at most `wanted` parts; paragraphs stay whole where there are enough of them."""
    wanted = min(wanted, len(sentences))
    if wanted <= 1:
        return [list(sentences)]
    units = _units(sentences, wanted)
    wanted = min(wanted, len(units))
    if wanted <= 1:
        return [list(sentences)]
    lengths = [sum(s.words for s in unit) for unit in units]
    cuts = _cheapest_cuts(_cohesion(units), lengths, wanted)
    edges = [0, *cuts, len(units)]
    return [[s for unit in units[a:b] for s in unit] for a, b in pairwise(edges)]


def _units(sentences: Sequence[Sentence], wanted: int) -> list[list[Sentence]]:
    paragraphs: list[list[Sentence]] = []
    for sentence in sentences:
        if paragraphs and paragraphs[-1][-1].block == sentence.block:
            paragraphs[-1].append(sentence)
        else:
            paragraphs.append([sentence])
    units = paragraphs if len(paragraphs) >= 2 * wanted else [[s] for s in sentences]
    if len(units) <= _MOST_UNITS:
        return units
    step = -(-len(units) // _MOST_UNITS)
    return [[s for unit in units[i : i + step] for s in unit] for i in range(0, len(units), step)]


def _cohesion(units: list[list[Sentence]]) -> list[float]:
    bags = [Counter(word for s in unit for word in s.meaning) for unit in units]
    cohesion: list[float] = []
    for gap in range(1, len(units)):
        before = sum(bags[max(0, gap - _LOOK_AROUND) : gap], Counter[str]())
        after = sum(bags[gap : gap + _LOOK_AROUND], Counter[str]())
        cohesion.append(_cosine(before, after))
    highest = max(cohesion, default=0.0) or 1.0
    return [value / highest for value in cohesion]


def _cosine(one: Counter[str], other: Counter[str]) -> float:
    together = sum(amount * other[word] for word, amount in one.items())
    norm = sqrt(sum(v * v for v in one.values()) * sum(v * v for v in other.values()))
    return together / norm if norm else 0.0


def _cheapest_cuts(cohesion: list[float], lengths: list[int], wanted: int) -> list[int]:
    count = len(lengths)
    before = [0]
    for length in lengths:
        before.append(before[-1] + length)
    target = before[-1] / wanted or 1.0

    def part_penalty(a: int, b: int) -> float:
        length = before[b] - before[a]
        too_small = 4.0 if length < _SMALLEST_PART * target else 0.0
        return too_small + _BALANCE * ((length - target) / target) ** 2

    costs = [part_penalty(0, b) if b else 0.0 for b in range(count + 1)]
    chosen: list[list[int]] = []
    for part in range(2, wanted + 1):
        fresh = [float("inf")] * (count + 1)
        came_from = [0] * (count + 1)
        for b in range(part, count + 1):
            for a in range(part - 1, b):
                cost = costs[a] + cohesion[a - 1] + part_penalty(a, b)
                if cost < fresh[b]:
                    fresh[b], came_from[b] = cost, a
        costs = fresh
        chosen.append(came_from)
    cuts: list[int] = []
    position = count
    for came_from in reversed(chosen):
        position = came_from[position]
        cuts.append(position)
    return cuts[::-1]
