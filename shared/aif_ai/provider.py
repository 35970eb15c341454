"""The port to whatever can do AI work: a language model behind an SDK, a speech service, rules of our own.

One adapter file for each implements it. A provider says what it offers; the door chooses, bounds, books and judges.
"""

from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from aif_ai.requests import Answer, CallTrace, Capability, CapabilityInput, Message
from aif_contracts.packets import QualityTier


class Listener(Protocol):
    """Hears of a call while it is made. An exception of a listener ends the call."""

    async def __call__(self, piece: str) -> None:
        """The next piece of the answer's text has come."""
        ...

    async def comes_on(self, share: float, doing: str) -> None:
        """What works by itself is so far, 0 to 1, and does this. The text of a model tells as much by its length."""
        ...


class Offer(Struct, frozen=True, kw_only=True):
    """One thing that a provider can do.

    Whoever offers LLM_GENERATION serves every request that has messages, whatever its capability; other offers serve the
    requests of their capability that have an input.
    """

    capability: Capability
    models: tuple[str, ...]
    """The preferred one first; never empty. A local provider names its own version, such as `extractive-1`."""
    quality: QualityTier | None = None
    """None: the registry knows the tier of each model by its name."""
    local: bool = False
    """Works in this process, needs no key, meters 0 tokens and costs nothing. Always allowed; never announced."""
    last_resort: bool = False
    """Only used when nothing else may be, never after a failure: what it makes is of another kind."""
    continues: bool = False
    """Whether a model that is shown its own cut-off answer can be asked to go on from there."""


class ModelCall(Struct, frozen=True, kw_only=True):
    """One call, with all that the provider is told."""

    call_key: str
    """The call's name in the ledger. Sent to providers that take a request id of the client's."""
    model: str
    capability: Capability = Capability.LLM_GENERATION
    """Under which offer it was chosen: LLM_GENERATION means that `messages` are to be answered, any other that `input` is
    to be worked on."""
    messages: tuple[Message, ...] = ()
    input: CapabilityInput | None = None
    schema_name: str = "answer"
    schema: dict[str, Any] | None = None
    max_output_tokens: int = 0
    """0 for offers that do not write freely."""


@runtime_checkable
class OpenedBefore(Protocol):
    """A provider whose first call would take long, were it not opened before."""

    async def open(self) -> None:
        """Again is harmless. Raises InvalidRequest where it cannot be opened as it is configured; its calls then say so."""
        ...


class Provider(Protocol):
    @property
    def name(self) -> str:
        """As it stands in the ledger and in the price book."""
        ...

    @property
    def offers(self) -> tuple[Offer, ...]:
        """What it can do, at most once for each capability. Fixed for the life of the provider."""
        ...

    async def answer(self, call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        """Make one call, without any retry, and write what becomes known into `trace` at once.

        Raises RateLimited, ProviderOverloaded, ProviderTimeout, ProviderUnreachable, AuthenticationFailed, Refused,
        InvalidRequest, MalformedOutput; a local one ProviderNotConfigured and SourceTooThin, too. A cancellation closes the
        connection, or stops the work soon.
        """
        ...

    async def close(self) -> None: ...
