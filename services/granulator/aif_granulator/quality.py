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

import msgspec
from msgspec import Struct

from aif_ai.structure_measures import coverage, evenness, uniqueness
from aif_contracts.documents import SourceDocument
from aif_contracts.structures import Course, Quiz
from aif_granulator.elements import cited_spans, key_points_of

_WEIGHTS = {"coverage": 0.30, "grounded": 0.25, "completeness": 0.20, "uniqueness": 0.15, "balance": 0.10}
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


def measure(structure: Course | Quiz, questions_wanted: int, source: SourceDocument | None) -> Quality:
    """`source` is the text that its spans are places in; None when nothing was there to prove it."""
    covered = grounded = None
    if source is not None:
        spans = cited_spans(structure)
        proved = [span.start for span in spans if span is not None]
        covered, grounded = coverage(proved, source), len(proved) / len(spans)
    if isinstance(structure, Course):
        minutes = [sum(lesson.estimated_minutes for lesson in module.lessons) for module in structure.modules]
        return Quality(
            coverage=covered,
            grounded=grounded,
            completeness=_complete_lessons(structure),
            uniqueness=uniqueness(point.text for point in key_points_of(structure)),
            balance=evenness(minutes),
        )
    positions = Counter(question.answer_index for question in structure.questions)
    slots = min(len(structure.questions), max(len(question.options) for question in structure.questions))
    return Quality(
        coverage=covered,
        grounded=grounded,
        completeness=_complete_questions(structure, questions_wanted),
        uniqueness=uniqueness(question.question for question in structure.questions),
        balance=evenness([positions[place] for place in range(slots)]),
    )


def _complete_lessons(course: Course) -> float:
    lessons = [lesson for module in course.modules for lesson in module.lessons]
    complete = [e for e in lessons if len(e.key_points) >= 2 and len(e.summary) >= _REAL_SUMMARY_CHARACTERS]
    return len(complete) / len(lessons)


def _complete_questions(quiz: Quiz, wanted: int) -> float:
    sound = [question for question in quiz.questions if len(question.options) >= _FEWEST_OPTIONS]
    return min(1.0, len(sound) / wanted)
