"""How good research is, as one number from 0 to 1 that is computed and never guessed.

part          weight  what
coverage       0.35   stretches of the source that a key point cites
grounded       0.25   key points with a span in the source
breadth        0.20   of four subtopics and eight key points, how many there are; a source under 800 words owes fewer
uniqueness     0.20   key points that repeat no other

Without a source, coverage and grounding cannot be known; the other weights are then scaled up to 1.
"""

import msgspec
from msgspec import Struct

from aif_ai.structure_measures import coverage, uniqueness
from aif_contracts.documents import SourceDocument
from aif_contracts.research import Research
from aif_contracts.word_count import count_words
from aif_researcher.rules import all_points

_WEIGHTS = {"coverage": 0.35, "grounded": 0.25, "breadth": 0.20, "uniqueness": 0.20}
_SUBTOPICS, _POINTS = 4, 8
_WORDS_OF_A_SUBTOPIC, _WORDS_OF_A_POINT = 200, 100


class Quality(Struct, frozen=True, kw_only=True):
    """Each part from 0 to 1."""

    breadth: float
    uniqueness: float
    coverage: float | None = None
    """None without a source."""
    grounded: float | None = None
    """None without a source."""

    @property
    def score(self) -> float:
        """Weighted mean of the parts that are known, rounded to 3 digits."""
        parts: dict[str, float | None] = msgspec.structs.asdict(self)
        known = {name: value for name, value in parts.items() if value is not None}
        return round(sum(_WEIGHTS[name] * value for name, value in known.items()) / sum(_WEIGHTS[name] for name in known), 3)


def measure(research: Research, source: SourceDocument | None) -> Quality:
    covered = grounded = None
    if source is not None:
        points = list(all_points(research))
        proved = [point.source.start for point in points if point.source is not None]
        covered, grounded = coverage(proved, source), len(proved) / len(points)
    return Quality(
        breadth=_breadth(research, source),
        uniqueness=uniqueness(point.text for point in research.key_points),
        coverage=covered,
        grounded=grounded,
    )


def _breadth(research: Research, source: SourceDocument | None) -> float:
    words = count_words(source.text) if source is not None else _SUBTOPICS * _WORDS_OF_A_SUBTOPIC
    subtopics = max(1, min(_SUBTOPICS, words // _WORDS_OF_A_SUBTOPIC))
    points = max(1, min(_POINTS, words // _WORDS_OF_A_POINT))
    return (min(1.0, len(research.subtopics) / subtopics) + min(1.0, len(research.key_points) / points)) / 2
