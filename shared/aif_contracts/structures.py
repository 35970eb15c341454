"""The structures that the granulator makes and makes smaller. A client reads them; later stages read them by field name."""

import enum
from typing import Annotated

from msgspec import Meta, Struct

from aif_contracts.documents import Span

Text = Annotated[str, Meta(min_length=1, max_length=20_000)]
ShortText = Annotated[str, Meta(min_length=1, max_length=500)]


class ChangeKind(enum.StrEnum):
    DROPPED = "dropped"
    """It was empty or broken."""
    MERGED = "merged"
    """It said what another one says."""
    JOINED = "joined"
    """It was small and went together with its neighbour."""
    SPLIT = "split"
    """It was too long."""


class Change(Struct, frozen=True, kw_only=True):
    """What the optimizer did to one element of a structure."""

    kind: ChangeKind
    element: ShortText
    """`module`, `lesson`, `section`, `key_point` or `question`."""
    title: ShortText
    """The element's, or how its text begins."""
    into: ShortText | None = None
    """Where its content is now; None for what is gone."""


class KeyPoint(Struct, frozen=True, kw_only=True):
    text: Text
    source: Span | None = None
    """Where the source says it, word for word; None when a model wrote it."""


class Lesson(Struct, frozen=True, kw_only=True):
    title: ShortText
    summary: Text
    key_points: Annotated[tuple[KeyPoint, ...], Meta(min_length=1)]
    objectives: tuple[ShortText, ...] = ()
    terms: tuple[ShortText, ...] = ()
    estimated_minutes: Annotated[int, Meta(ge=1)] = 5
    source: Span | None = None
    sections: tuple["Lesson", ...] = ()
    """Finer lessons inside this one, at higher granularity levels."""


class Module(Struct, frozen=True, kw_only=True):
    title: ShortText
    summary: Text
    lessons: Annotated[tuple[Lesson, ...], Meta(min_length=1)]
    source: Span | None = None


class Course(Struct, frozen=True, kw_only=True):
    title: ShortText
    description: Text
    target_audience: ShortText
    granularity_level: Annotated[int, Meta(ge=1, le=5)]
    modules: Annotated[tuple[Module, ...], Meta(min_length=1)]
    estimated_minutes: Annotated[int, Meta(ge=1)]
    structure_type: str = "course"
    made_by: str = ""
    """Provider and model that made it."""
    changes: tuple[Change, ...] = ()
    """What the optimizer changed; empty for a course as it was made."""


class Question(Struct, frozen=True, kw_only=True):
    question: Text
    options: Annotated[tuple[ShortText, ...], Meta(min_length=2, max_length=6)]
    answer_index: Annotated[int, Meta(ge=0, le=5)]
    """Position of the right option, from 0."""
    explanation: Text
    kind: str = "multiple_choice"
    difficulty: str = "medium"
    source: Span | None = None
    """The sentence that proves the key."""
    module: ShortText | None = None
    """Of the course that the quiz was made from; None when it was made from something else."""
    lesson: ShortText | None = None


class Quiz(Struct, frozen=True, kw_only=True):
    title: ShortText
    description: Text
    target_audience: ShortText
    questions: Annotated[tuple[Question, ...], Meta(min_length=1)]
    structure_type: str = "quiz"
    made_by: str = ""
    changes: tuple[Change, ...] = ()
    """What the optimizer changed; empty for a quiz as it was made."""
