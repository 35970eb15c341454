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
_PATIENCE_SECONDS = 1.0
"""A cache that takes longer is of no use."""

_log = structlog.get_logger()
_decoder = msgspec.json.Decoder(CachedAnswer)


class BusResponseCache:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def get(self, key: str) -> CachedAnswer | None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
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
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._bus.put_entry(BUCKET_RESPONSES, key, entry)
        except (RuntimeFailure, TimeoutError) as wrong:
            _log.warning("response_cache_unwritable", reason=str(wrong))
