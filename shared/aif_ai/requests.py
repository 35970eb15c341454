"""What a worker asks of the AI layer, and what it gets back."""

import enum
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Protocol

from msgspec import Struct, field

from aif_contracts.documents import SourceDocument
from aif_contracts.metering import CallOutcome, ProviderCall, Tokens
from aif_contracts.money import ZERO, usd


class Capability(enum.StrEnum):
    STRUCTURING = "structuring"
    RESEARCH = "research"
    LLM_GENERATION = "llm_generation"
    TRANSCRIPTION = "transcription"
    TRANSCRIPTION_DIARIZATION = "transcription_diarization"
    """With who said it."""
    PII_REDACTION = "pii_redaction"
    SENTIMENT_ANALYSIS = "sentiment_analysis"
    SUMMARIZATION = "summarization"
    WORKFLOW_GENERATION = "workflow_generation"


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


class AudioInput(Struct, frozen=True, kw_only=True):
    data: bytes
    media_type: str
    """For example `audio/wav`."""
    diarize: bool = False
    """Tell the speakers apart."""
    language: str | None = None
    """BCP 47, such as `en`; None to let the provider find out."""
    duration_ms: int | None = None
    """When the audio's own headers tell it. Only bounds the cost; what is paid for is what the provider measured."""


class TextInput(Struct, frozen=True, kw_only=True):
    text: str
    language: str | None = None
    """BCP 47; None when unknown."""
    options: dict[str, Any] = field(default_factory=dict)
    """What the capability may be told besides, by name; every provider of a capability knows the same names."""


CapabilityInput = AudioInput | TextInput | StructuringTask


class AnswerListener(Protocol):
    """Somebody who reads along."""

    async def piece(self, text: str) -> None: ...

    async def restart(self) -> None:
        """Forget all pieces so far: the answer begins anew, by the same model or by another."""
        ...


class GenerationRequest(Struct, frozen=True, kw_only=True):
    capability: Capability
    action: str
    """The worker's action, for logs and figures."""
    messages: tuple[Message, ...] = ()
    """For language models; empty when only providers of the capability itself may serve the request."""
    max_output_tokens: int = 0
    """Needed with messages."""
    schema_name: str = "answer"
    schema: dict[str, Any] | None = None
    """JSON Schema of the answer; None for free text."""
    check: Callable[[bytes], tuple[str, ...]] | None = None
    """Rules beyond the schema: complaints about an answer that keeps the schema, to be told to the model. Called in a
    thread; empty when there is nothing to complain about."""
    input: CapabilityInput | None = None
    """Set when providers of the capability itself may serve the request."""
    audit_name: str = "AI_GENERATION"
    """First part of the audit log's actions for it, such as WORKFLOW_GENERATION."""
    listener: AnswerListener | None = None
    """Follows the answer while it is written."""


class Generation(Struct, frozen=True, kw_only=True):
    output: bytes
    """JSON that keeps the request's schema when it has one, text otherwise; of a local provider its finished structure."""
    provider: str
    model: str
    calls: tuple[ProviderCall, ...]
    """All calls made for it, failed ones included, in the order of their ends."""
    is_local: bool = False
    fallback_from: str | None = None
    """The model that was to make it and failed."""
    fallback_reason: str | None = None
    """Code of its failure."""

    @property
    def generator_used(self) -> str:
        return self.model

    @property
    def cost_usd(self) -> Decimal | None:
        """Of all its calls; None when the cost of one is not known."""
        costs = [call.cost_usd for call in self.calls]
        return None if None in costs else sum((usd(cost) for cost in costs if cost is not None), ZERO)

    @property
    def tokens_wasted(self) -> int:
        """Tokens of the calls whose answers were not used."""
        return tokens_wasted(self.calls)


def tokens_wasted(calls: Iterable[ProviderCall]) -> int:
    used = (CallOutcome.ANSWERED, CallOutcome.CACHED)
    return sum(call.tokens.total_tokens for call in calls if call.outcome not in used)


class Finish(enum.StrEnum):
    COMPLETE = "complete"
    TRUNCATED = "truncated"


class Answer(Struct, frozen=True, kw_only=True):
    """One provider's answer to one call."""

    text: str
    """Free text, or JSON where the call has a schema or an input."""
    finish: Finish = Finish.COMPLETE
    finished: bool = False
    """True when it is the end product of rules of our own, to which the request's schema and check do not apply."""


class CallTrace(Struct, kw_only=True):
    """What is known of a call while it runs; a provider writes it as it learns, so that a broken call can be booked."""

    sent: bool = False
    """True once the provider may have begun to bill."""
    response_id: str | None = None
    tokens: Tokens | None = None
    """The provider's final usage. None until it has arrived; a count of our own never stands in for it."""
    answered: bool = False
    """Set by the door when the answer is complete."""
    characters: int = 0
    """Received so far."""
    audio_ms: int | None = None
    """Length of the audio by the provider's own measure, for those that charge by it. None until it has arrived."""
