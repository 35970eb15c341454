"""What a worker asks of the AI layer, and what it gets back."""

import enum
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from aif_contracts.documents import SourceDocument
from aif_contracts.metering import ProviderCall, Tokens


class Capability(enum.StrEnum):
    STRUCTURING = "structuring"
    RESEARCH = "research"
    LLM_GENERATION = "llm_generation"


class StructureKind(enum.StrEnum):
    COURSE = "course"
    QUIZ = "quiz"
    RESEARCH = "research"


class Role(enum.StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Message(Struct, frozen=True, kw_only=True):
    role: Role
    text: str


class StructuringTask(Struct, frozen=True, kw_only=True):
    """What a structure shall be made of, in words that a provider without a language model understands too."""

    kind: StructureKind
    target_audience: str
    source: SourceDocument | None = None
    source_is: str = "source"
    """What a reader shall call it: `source`, or `course` for the text of a course."""
    topic: str | None = None
    granularity_level: int = 3
    """1 to 5."""
    question_count: int = 10


class GenerationRequest(Struct, frozen=True, kw_only=True):
    capability: Capability
    action: str
    """The worker's action, for logs and figures."""
    messages: tuple[Message, ...]
    max_output_tokens: int
    schema_name: str = "answer"
    schema: dict[str, Any] | None = None
    """JSON Schema of the answer; None for free text."""
    check: Callable[[bytes], tuple[str, ...]] | None = None
    """Rules beyond the schema: complaints about an answer that keeps the schema, to be told to the model. Called in a
    thread; empty when there is nothing to complain about."""
    structuring: StructuringTask | None = None
    """Set when a local provider may serve the request."""


class Generation(Struct, frozen=True, kw_only=True):
    output: bytes
    """JSON that keeps the request's schema when it has one, text otherwise; of a local provider its finished structure."""
    provider: str
    model: str
    calls: tuple[ProviderCall, ...]
    """All calls made for it, failed ones included, in order."""
    is_local: bool = False


class Finish(enum.StrEnum):
    COMPLETE = "complete"
    TRUNCATED = "truncated"


class Answer(Struct, frozen=True, kw_only=True):
    """One provider's answer to one call."""

    text: str
    finish: Finish


class CallTrace(Struct, kw_only=True):
    """What is known of a call while it runs; a provider writes it as it learns, so that a broken call can be booked."""

    sent: bool = False
    """True once the provider may have begun to bill."""
    response_id: str | None = None
    tokens: Tokens | None = None
    """The provider's final usage. None until it has arrived; a count of our own never stands in for it."""
    characters: int = 0
    """Received so far."""
