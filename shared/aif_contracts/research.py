"""What is known about a topic, gathered before anything is made of it. Later stages read it by field name."""

import enum
from typing import Annotated

from msgspec import Meta, Struct

from aif_contracts.documents import Span
from aif_contracts.structures import KeyPoint, ShortText, Text


class OriginKind(enum.StrEnum):
    DOCUMENT = "document"
    """A source document; what is taken from it carries its span."""
    MODEL_KNOWLEDGE = "model_knowledge"
    """What a language model has learned. Nobody looked anything up."""


class Origin(Struct, frozen=True, kw_only=True):
    """Where the findings come from."""

    kind: OriginKind
    title: ShortText
    """Of the document, or the model's name."""
    note: str = ""
    """How far it can be relied on."""
    file_name: str | None = None
    words: Annotated[int, Meta(ge=0)] | None = None


class Subtopic(Struct, frozen=True, kw_only=True):
    title: ShortText
    summary: Text
    key_points: Annotated[tuple[KeyPoint, ...], Meta(min_length=1)]
    source: Span | None = None


class Research(Struct, frozen=True, kw_only=True):
    topic: ShortText
    research_summary: Annotated[str, Meta(min_length=1, max_length=2_000)]
    """Short enough to be the topic of a later stage."""
    key_points: Annotated[tuple[KeyPoint, ...], Meta(min_length=1)]
    """The weightiest of all, each also below its subtopic or not."""
    subtopics: tuple[Subtopic, ...]
    """An outline, in the order in which the topic is best told."""
    sources: Annotated[tuple[Origin, ...], Meta(min_length=1)]
    summary_source: tuple[Span, ...] = ()
    """Of each sentence of the summary, where the source says it; empty when a model wrote it."""
    structure_type: str = "research"
    made_by: str = ""
    """Provider and model that made it."""
