"""The port to a language model. One adapter file for each SDK implements it."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from msgspec import Struct

from aif_ai.requests import Answer, CallTrace, Message

Listener = Callable[[int], Awaitable[None]]
"""Told how many characters of the answer have arrived."""


class ModelCall(Struct, frozen=True, kw_only=True):
    """One call, with all that the provider is told."""

    model: str
    messages: tuple[Message, ...]
    schema_name: str
    schema: dict[str, Any] | None
    max_output_tokens: int


class Provider(Protocol):
    @property
    def name(self) -> str:
        """As it stands in the ledger and in the price book."""
        ...

    @property
    def models(self) -> tuple[str, ...]:
        """Configured models, the preferred one first."""
        ...

    async def answer(self, call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        """Make one call, without any retry, and write what becomes known into `trace` at once.

        Raises RateLimited, ProviderOverloaded, ProviderTimeout, ProviderUnreachable, AuthenticationFailed, Refused,
        InvalidRequest, MalformedOutput. A cancellation closes the connection.
        """
        ...

    async def close(self) -> None: ...
