"""The shapes that a language model fills in. Flatter than the structures that clients get: no spans, no nesting without end."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from aif_ai.requests import StructureKind
from aif_contracts.structures import ShortText, Text

Quote = Annotated[
    str, Meta(max_length=2_000, description="Copied from the source, character for character; empty without a source")
]


class KeyPointAnswer(Struct, frozen=True, kw_only=True):
    text: Text
    quote: Quote


class SectionAnswer(Struct, frozen=True, kw_only=True):
    title: ShortText
    summary: Text
    key_points: Annotated[list[KeyPointAnswer], Meta(min_length=1)]


class LessonAnswer(Struct, frozen=True, kw_only=True):
    title: ShortText
    summary: Text
    objectives: list[ShortText]
    terms: list[ShortText]
    key_points: Annotated[list[KeyPointAnswer], Meta(min_length=1)]
    estimated_minutes: Annotated[int, Meta(ge=1, le=600)]
    sections: list[SectionAnswer]


class ModuleAnswer(Struct, frozen=True, kw_only=True):
    title: ShortText
    summary: Text
    lessons: Annotated[list[LessonAnswer], Meta(min_length=1)]


class CourseAnswer(Struct, frozen=True, kw_only=True):
    title: ShortText
    description: Text
    modules: Annotated[list[ModuleAnswer], Meta(min_length=1)]


class QuestionAnswer(Struct, frozen=True, kw_only=True):
    question: Text
    options: Annotated[list[ShortText], Meta(min_length=2, max_length=6)]
    answer_index: Annotated[int, Meta(ge=0, le=5)]
    explanation: Text
    difficulty: ShortText
    quote: Quote


class QuizAnswer(Struct, frozen=True, kw_only=True):
    title: ShortText
    description: Text
    questions: Annotated[list[QuestionAnswer], Meta(min_length=1)]


_ANSWER_TYPES: dict[StructureKind, type[Struct]] = {StructureKind.COURSE: CourseAnswer, StructureKind.QUIZ: QuizAnswer}


def answer_schema(kind: StructureKind) -> dict[str, Any]:
    return msgspec.json.schema(_ANSWER_TYPES[kind])
