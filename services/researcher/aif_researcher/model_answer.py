"""The shape that a language model fills in, and how it becomes what a later stage reads."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from aif_ai.grounding import locate
from aif_contracts.documents import SourceDocument
from aif_contracts.research import Origin, OriginKind, Research, Subtopic
from aif_contracts.structures import KeyPoint, ShortText, Text
from aif_contracts.word_count import count_words
from aif_researcher.research_order import ResearchOrder

_SHORT_TEXT = 500
_NOTE_OF_DOCUMENT = "Points with a span stand in it word for word; the wording of the others is the model's."
_NOTE_OF_MODEL = (
    "No source was given and nothing was looked up: this is what the model has learned. It may be out of date or wrong, so "
    "check it before you rely on it."
)

Quote = Annotated[
    str, Meta(max_length=2_000, description="Copied from the source, character for character; empty without a source")
]


class PointAnswer(Struct, frozen=True, kw_only=True):
    text: Text
    quote: Quote


class SubtopicAnswer(Struct, frozen=True, kw_only=True):
    title: ShortText
    summary: Text
    key_points: Annotated[list[PointAnswer], Meta(min_length=1)]


class ResearchAnswer(Struct, frozen=True, kw_only=True):
    research_summary: Annotated[str, Meta(min_length=1, max_length=2_000)]
    key_points: Annotated[list[PointAnswer], Meta(min_length=1)]
    subtopics: Annotated[list[SubtopicAnswer], Meta(min_length=1)]


def answer_schema() -> dict[str, Any]:
    return msgspec.json.schema(ResearchAnswer)


def research_from(
    answer: ResearchAnswer, order: ResearchOrder, source: SourceDocument | None, *, provider: str, model: str
) -> Research:
    """A quote that the source does not contain leaves its point without a span."""
    title = source.title if source is not None and source.title else "Untitled"
    return Research(
        topic=(order.topic or title)[:_SHORT_TEXT],
        research_summary=answer.research_summary,
        key_points=_points(answer.key_points, source),
        subtopics=tuple(
            Subtopic(title=each.title, summary=each.summary, key_points=_points(each.key_points, source))
            for each in answer.subtopics
        ),
        sources=(_document(source, title) if source is not None else _knowledge(provider, model),),
        made_by=f"{provider}/{model}",
    )


def _points(answers: list[PointAnswer], source: SourceDocument | None) -> tuple[KeyPoint, ...]:
    return tuple(KeyPoint(text=point.text, source=locate(point.quote, source) if source else None) for point in answers)


def _document(source: SourceDocument, title: str) -> Origin:
    return Origin(
        kind=OriginKind.DOCUMENT,
        title=title[:_SHORT_TEXT],
        note=_NOTE_OF_DOCUMENT,
        file_name=source.file_name,
        words=count_words(source.text),
    )


def _knowledge(provider: str, model: str) -> Origin:
    return Origin(kind=OriginKind.MODEL_KNOWLEDGE, title=f"{provider}/{model}", note=_NOTE_OF_MODEL)
