"""What is found in speech and in text: transcripts, redactions, moods, summaries. Later stages read them by field name.

All of them have `text`, and a transcript and a redaction have `turns`; so the output of one stage can be the whole input of the
next. Spans are in characters, times in milliseconds from the beginning of the audio.
"""

import enum
from typing import Annotated

from msgspec import Meta, Struct, field

from aif_contracts.documents import Span

Share = Annotated[float, Meta(ge=0, le=1)]
Milliseconds = Annotated[int, Meta(ge=0)]


class Turn(Struct, frozen=True, kw_only=True):
    """What one speaker says without a long pause."""

    text: str
    span: Span
    """Its place in the text of the whole."""
    start_ms: Milliseconds = 0
    end_ms: Milliseconds = 0
    speaker: str | None = None
    """`speaker_1`, `speaker_2` … in the order in which they are first heard; None when they were not told apart."""
    confidence: Share | None = None
    """The recogniser's own; None when it gives none."""


class Transcript(Struct, frozen=True, kw_only=True):
    text: str
    """The turns' texts, one line each."""
    turns: tuple[Turn, ...]
    """By the time at which they begin; empty when nothing was said."""
    duration_ms: Milliseconds
    """Of the audio, silence included."""
    language: str | None = None
    """BCP 47; None when nobody told it or found it out."""
    speakers: tuple[str, ...] = ()
    is_diarized: bool = False
    """Whether the speakers were told apart."""
    confidence: Share | None = None
    """Of all turns, weighted by their words."""
    note: str = ""
    """How far it can be relied on, and what was left out."""
    structure_type: str = "transcript"
    made_by: str = ""
    """Provider and model that made it."""


class PiiKind(enum.StrEnum):
    EMAIL = "email"
    PHONE = "phone"
    CREDIT_CARD = "credit_card"
    IBAN = "iban"
    NATIONAL_ID = "national_id"
    """Social security, tax and passport numbers."""
    BANK_ROUTING = "bank_routing"
    IP_ADDRESS = "ip_address"
    API_KEY = "api_key"
    """Keys, tokens, private keys, and URLs with a password in them."""
    PERSON = "person"
    PLACE = "place"
    ORGANISATION = "organisation"
    DATE = "date"
    POSTAL_CODE = "postal_code"


class PiiEntity(Struct, frozen=True, kw_only=True):
    """One finding. What was found is not told: whoever may read it has the text and its place."""

    kind: PiiKind
    source: Span
    """In the text as it came."""
    span: Span
    """Of what stands there now, in the redacted text."""
    replacement: str
    found_by: str
    """The rule, library or model that found it."""


class Redaction(Struct, frozen=True, kw_only=True):
    text: str
    """With every finding replaced."""
    entities: tuple[PiiEntity, ...]
    """In reading order, not overlapping."""
    counts: dict[str, int]
    """Findings by kind, those that occur."""
    characters: Annotated[int, Meta(ge=0)]
    """Of the text as it came."""
    turns: tuple[Turn, ...] = ()
    """Those of the transcript that came, redacted; empty for a text without turns."""
    looked_for: tuple[PiiKind, ...] = ()
    note: str = ""
    """What was not looked for."""
    structure_type: str = "redaction"
    made_by: str = ""


class Mood(enum.StrEnum):
    POSITIVE = "positive"
    NEUTRAL = "neutral"
    NEGATIVE = "negative"


class Sentiment(Struct, frozen=True, kw_only=True):
    label: Mood
    score: Annotated[float, Meta(ge=-1, le=1)]
    """From -1, negative, to 1, positive."""


class SentimentPart(Struct, frozen=True, kw_only=True):
    """A sentence."""

    text: str
    span: Span
    sentiment: Sentiment
    speaker: str | None = None
    turn: Annotated[int, Meta(ge=0)] | None = None
    """Number of its turn, from 0; None for a text without turns."""


class SentimentAnalysis(Struct, frozen=True, kw_only=True):
    text: str
    """One sentence that says the result."""
    overall: Sentiment
    parts: tuple[SentimentPart, ...]
    """In reading order."""
    turns: tuple[Sentiment, ...] = ()
    """Of each turn that came, in its order."""
    by_speaker: dict[str, Sentiment] = field(default_factory=dict)
    note: str = ""
    structure_type: str = "sentiment"
    made_by: str = ""


class SummarySentence(Struct, frozen=True, kw_only=True):
    text: str
    source: Span | None = None
    """Where the text says it, word for word; None when a model wrote it and proved it with nothing."""


class Summary(Struct, frozen=True, kw_only=True):
    text: str
    sentences: Annotated[tuple[SummarySentence, ...], Meta(min_length=1)]
    words: Annotated[int, Meta(ge=0)]
    source_words: Annotated[int, Meta(ge=0)]
    """Of the text that was summarized."""
    structure_type: str = "summary"
    made_by: str = ""
