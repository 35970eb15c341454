"""The response cache of all replicas: a bucket of the broker, which forgets by itself what is old or too much."""

import asyncio

import msgspec
import structlog

from aif_ai.response_cache import CachedAnswer
from aif_contracts.subjects import BUCKET_RESPONSES
from aif_runtime.bus import Bus
from aif_runtime.failures import RuntimeFailure

_LARGEST_ENTRY_BYTES = 512 * 1024
"""Below what the broker takes as one message."""

_log = structlog.get_logger()
_decoder = msgspec.json.Decoder(CachedAnswer)


class BusResponseCache:
    def __init__(self, bus: Bus, *, patience_seconds: float = 1.0) -> None:
        self._bus = bus
        self._patience_seconds = patience_seconds
        """A cache that takes longer is of no use."""

    async def get(self, key: str) -> CachedAnswer | None:
        try:
            async with asyncio.timeout(self._patience_seconds):
                entry = await self._bus.entry(BUCKET_RESPONSES, key)
            return _decoder.decode(entry) if entry else None
        except (RuntimeFailure, TimeoutError, msgspec.DecodeError) as wrong:
            _log.warning("response_cache_unreadable", reason=str(wrong))
            return None

    async def put(self, key: str, answer: CachedAnswer) -> None:
        entry = msgspec.json.encode(answer)
        if len(entry) > _LARGEST_ENTRY_BYTES:
            return
        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._bus.put_entry(BUCKET_RESPONSES, key, entry)
        except (RuntimeFailure, TimeoutError) as wrong:
            _log.warning("response_cache_unwritable", reason=str(wrong))
