"""How good a structure is, as one number from 0 to 1 that is computed and never guessed.

part          weight  course                                             quiz
coverage       0.30   stretches of the source that a key point cites     stretches that a question cites
grounded       0.25   key points with a span in the source               questions with a span
completeness   0.20   lessons with two key points and a real summary     questions made of those asked for, with 3+ options
uniqueness     0.15   key points that repeat no other                    questions that repeat no other
balance        0.10   evenness of the modules by study time              evenness of the right options' positions

Without a source, coverage and grounding cannot be known; the other weights are then scaled up to 1. A stretch is a tenth of
the source, or a part of 100 words where the source is shorter than 1,000.
"""

from collections import Counter
from collections.abc import Iterable
from math import log

import msgspec
from msgspec import Struct

from aif_contracts.documents import SourceDocument
from aif_contracts.structures import Course, Quiz
from aif_granulator.elements import cited_spans, key_points_of
from aif_granulator.granulation_order import GranulationOrder

_WEIGHTS = {"coverage": 0.30, "grounded": 0.25, "completeness": 0.20, "uniqueness": 0.15, "balance": 0.10}
_MOST_STRETCHES = 10
_WORDS_PER_STRETCH = 100
_REAL_SUMMARY_CHARACTERS = 40
_FEWEST_OPTIONS = 3


class Quality(Struct, frozen=True, kw_only=True):
    """Each part from 0 to 1."""

    completeness: float
    uniqueness: float
    balance: float
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


def measure(structure: Course | Quiz, order: GranulationOrder, source: SourceDocument | None) -> Quality:
    coverage = grounded = None
    if source is not None:
        spans = cited_spans(structure)
        proved = [span.start for span in spans if span is not None]
        coverage, grounded = _coverage(proved, source), len(proved) / len(spans)
    if isinstance(structure, Course):
        minutes = [sum(lesson.estimated_minutes for lesson in module.lessons) for module in structure.modules]
        return Quality(
            coverage=coverage,
            grounded=grounded,
            completeness=_complete_lessons(structure),
            uniqueness=_uniqueness(point.text for point in key_points_of(structure)),
            balance=_evenness(minutes),
        )
    positions = Counter(question.answer_index for question in structure.questions)
    slots = min(len(structure.questions), max(len(question.options) for question in structure.questions))
    return Quality(
        coverage=coverage,
        grounded=grounded,
        completeness=_complete_questions(structure, order),
        uniqueness=_uniqueness(question.question for question in structure.questions),
        balance=_evenness([positions[place] for place in range(slots)]),
    )


def _coverage(starts: list[int], source: SourceDocument) -> float:
    stretches = max(1, min(_MOST_STRETCHES, len(source.text.split()) // _WORDS_PER_STRETCH))
    return len({start * stretches // len(source.text) for start in starts}) / stretches


def _complete_lessons(course: Course) -> float:
    lessons = [lesson for module in course.modules for lesson in module.lessons]
    complete = [e for e in lessons if len(e.key_points) >= 2 and len(e.summary) >= _REAL_SUMMARY_CHARACTERS]
    return len(complete) / len(lessons)


def _complete_questions(quiz: Quiz, order: GranulationOrder) -> float:
    sound = [question for question in quiz.questions if len(question.options) >= _FEWEST_OPTIONS]
    return min(1.0, len(sound) / order.question_count)


def _uniqueness(texts: Iterable[str]) -> float:
    folded = [" ".join(text.casefold().split()) for text in texts]
    return len(set(folded)) / len(folded)


def _evenness(amounts: list[int]) -> float:
    """Normalised entropy: 1 when all are equal, towards 0 when one has everything."""
    total = sum(amounts)
    if len(amounts) < 2 or total == 0:
        return 1.0
    entropy = -sum(amount / total * log(amount / total) for amount in amounts if amount)
    return entropy / log(len(amounts))
