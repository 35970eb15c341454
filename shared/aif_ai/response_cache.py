"""Answers that were given before: found by everything that decides them, never across clients.

A cache saves money and may lose anything at any time; it never breaks a generation and never answers what was not checked.
"""

import hashlib
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from aif_ai.provider import ModelCall
from aif_ai.requests import AudioInput
from aif_contracts.metering import Tokens

_KEY_FORMAT = 1
"""Raised when the same question would be asked in another way, so that older answers are no longer found."""


class CachedAnswer(Struct, frozen=True, kw_only=True):
    """A complete answer that kept all rules."""

    text: str
    tokens: Tokens
    audio_ms: int = 0
    characters: int = 0
    response_id: str | None = None


class ResponseCache(Protocol):
    async def get(self, key: str) -> CachedAnswer | None:
        """Never raises; None when there is nothing, or it cannot be had soon."""
        ...

    async def put(self, key: str, answer: CachedAnswer) -> None:
        """Never raises; may keep nothing."""
        ...


class _Asked(Struct, frozen=True, kw_only=True):
    format: int
    client_id: str
    provider: str
    capability: str
    model: str
    messages: Any
    input: Any
    schema_name: str
    schema: Any
    max_output_tokens: int


def cache_key(client_id: str, provider: str, call: ModelCall) -> str:
    """`<client_id>.<digest>`: SHA-256 over canonical JSON of all that the provider is told. Audio counts by its own digest."""
    given = call.input
    asked = _Asked(
        format=_KEY_FORMAT,
        client_id=client_id,
        provider=provider,
        capability=call.capability.value,
        model=call.model,
        messages=call.messages,
        input=_audio_facts(given) if isinstance(given, AudioInput) else given,
        schema_name=call.schema_name,
        schema=call.schema,
        max_output_tokens=call.max_output_tokens,
    )
    return f"{client_id}.{hashlib.sha256(msgspec.json.encode(asked, order='sorted')).hexdigest()}"


class MemoryResponseCache:
    """In this process only."""

    def __init__(self) -> None:
        self.entries: dict[str, CachedAnswer] = {}

    async def get(self, key: str) -> CachedAnswer | None:
        return self.entries.get(key)

    async def put(self, key: str, answer: CachedAnswer) -> None:
        self.entries[key] = answer


def _audio_facts(audio: AudioInput) -> dict[str, Any]:
    return {
        "sha256": hashlib.sha256(audio.data).hexdigest(),
        "media_type": audio.media_type,
        "diarize": audio.diarize,
        "language": audio.language,
    }
