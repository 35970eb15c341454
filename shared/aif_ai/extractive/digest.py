"""The essence of a stretch of text: a summary that reads on, and the sentences that say most."""

# Typographic signs are meant as such, and word lists read best as running text.
# ruff: noqa: RUF001

from collections.abc import Sequence

from msgspec import Struct

from aif_ai.extractive.facts import figures_in, stands_alone
from aif_ai.extractive.ranking import rank
from aif_ai.extractive.sentences import Sentence
from aif_ai.extractive.words import plain
from aif_contracts.documents import BlockKind

_SUMMARY_WORDS = 60
"""A summary takes a further sentence while it is shorter than this."""
_MOST_IN_SUMMARY = 3
_TOO_ALIKE = 0.5
_FRAGMENT = 0.25
_LEANING = 0.45
_WORTH_OPENING = 0.6
"""Weight from which the first paragraph is taken as the introduction that writers mostly put there; the mean is 1."""
_FIGURE = 1.15
_OPENS_PARAGRAPH = 1.2
_LONG_WORDS = 45
SENTENCE_ENDS = (".", "!", "?", "。", "！", "？", "؟", "۔", "।")
_QUESTION_ENDS = ("?", "？", "؟")


class Digest(Struct, frozen=True, kw_only=True):
    summary: str
    """Neighbouring sentences, one slice of the source."""
    key_points: tuple[Sentence, ...]
    """In reading order; at least one."""


def digest(text: str, sentences: Sequence[Sentence], *, key_points: int, title: str = "") -> Digest:
    """The essence of a stretch with at least one sentence; its summary says more than the title wherever the stretch does."""
    weights = [weight * _worth(s) for weight, s in zip(rank(sentences), sentences, strict=True)]
    first, last = _summary(sentences, weights, title)
    inside = set(range(first, last + 1))
    chosen = _choose(sentences, weights, key_points, inside)
    return Digest(
        summary=text[sentences[first].start : sentences[last].end], key_points=tuple(sentences[i] for i in sorted(chosen))
    )


def lead(text: str, sentences: Sequence[Sentence]) -> str:
    """How a text begins, word for word: its first real paragraph, else its summary."""
    for i in _openings(sentences):
        if sentences[i].text.endswith(SENTENCE_ENDS):
            return text[sentences[i].start : sentences[_run_end(sentences, i)].end]
    return digest(text, sentences, key_points=1).summary


def _worth(sentence: Sentence) -> float:
    """How fit a sentence is to stand alone as a point to learn."""
    if sentence.kind is BlockKind.TABLE_ROW or sentence.text.endswith(":"):
        return _FRAGMENT / 2
    worth = 1.0
    if not stands_alone(sentence):
        worth *= _LEANING if sentence.text.endswith(SENTENCE_ENDS) else _FRAGMENT
    if sentence.text.endswith(_QUESTION_ENDS):
        worth *= _FRAGMENT
    if sentence.place == 0 and sentence.kind is BlockKind.PARAGRAPH:
        worth *= _OPENS_PARAGRAPH
    if sentence.words <= _LONG_WORDS and figures_in(sentence):
        worth *= _FIGURE
    return worth


def _summary(sentences: Sequence[Sentence], weights: Sequence[float], title: str) -> tuple[int, int]:
    """The run of neighbours to open with: where a writer introduces a subject, mostly the first paragraph."""
    telling = {i for i, s in enumerate(sentences) if plain(s.text) != plain(title)} or set(range(len(sentences)))
    openings = [i for i in _openings(sentences) if i in telling]
    if openings:
        weighty = [i for i in openings if weights[i] >= _WORTH_OPENING]
        best = weighty[0] if weighty else max(openings, key=lambda i: (weights[i], -i))
    else:
        best = max(telling, key=lambda i: (weights[i], -i))
    return best, _run_end(sentences, best)


def _openings(sentences: Sequence[Sentence]) -> list[int]:
    return [i for i, s in enumerate(sentences) if s.kind is BlockKind.PARAGRAPH and s.place == 0 and not s.text.endswith(":")]


def _run_end(sentences: Sequence[Sentence], first: int) -> int:
    """The last sentence of a summary that begins with the given one."""
    last, words = first, sentences[first].words
    while (
        last + 1 < len(sentences)
        and last - first + 1 < _MOST_IN_SUMMARY
        and words < _SUMMARY_WORDS
        and sentences[last + 1].block == sentences[first].block
        and not sentences[last + 1].text.endswith(":")
    ):
        last += 1
        words += sentences[last].words
    return last


def _choose(sentences: Sequence[Sentence], weights: Sequence[float], wanted: int, in_summary: set[int]) -> list[int]:
    """The weightiest that do not repeat one another; sentences of the summary only when the rest is not enough."""
    order = sorted(range(len(sentences)), key=lambda i: (i in in_summary, -weights[i], i))
    good = [i for i in order if weights[i] >= _FRAGMENT] or order[:1]
    enough = min(2, wanted)
    chosen: list[int] = []
    for i in good:
        if len(chosen) == wanted:
            break
        if len(chosen) >= enough and (i in in_summary or not stands_alone(sentences[i])):
            continue
        if not any(_alike(sentences[i], sentences[other]) for other in chosen):
            chosen.append(i)
    return chosen


def _alike(one: Sentence, other: Sentence) -> bool:
    a, b = set(one.meaning), set(other.meaning)
    return plain(one.text) == plain(other.text) or (bool(a and b) and len(a & b) / len(a | b) > _TOO_ALIKE)
