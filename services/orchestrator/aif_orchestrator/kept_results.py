"""What an execution has made and would keep when it is resumed: whether that can still be read.

A reader that finds nothing ends its stage for good, so a leg that keeps what is lost comes to nothing, and so does each after
it. Small outputs are read whole, of large ones the first byte: that they are there, and as long as they should be.
"""

import asyncio
from contextlib import aclosing

import structlog

from aif_contracts.blobs import KV_LIMIT_BYTES, BlobRef, StorageType
from aif_orchestrator.execution.state import Execution
from aif_runtime.blobs import StreamedBlobStore
from aif_runtime.failures import BlobCorrupt, BlobMissing, BlobStoreUnavailable

LOOK_SECONDS = 1.0
"""Whoever asks to resume waits for the answer."""

log = structlog.get_logger()


class KeptResults:
    def __init__(self, blobs: StreamedBlobStore) -> None:
        self._blobs = blobs

    async def lost(self, execution: Execution) -> frozenset[str]:
        """Storage keys of the results that are not there, or are not what was stored, as far as the store says so in time."""
        outputs = [run.output for run in execution.stages.values() if run.has_result and run.output is not None]
        looks = [self._lost_key(each) for each in outputs if each.storage_type is not StorageType.INLINE]
        found = frozenset(key for key in await asyncio.gather(*looks) if key is not None)
        if found:
            log.error("kept_results_lost", execution_id=execution.execution_id, storage_keys=sorted(found))
        return found

    async def _lost_key(self, ref: BlobRef) -> str | None:
        """Its key when it is lost."""
        stop = ref.size_bytes if ref.size_bytes <= KV_LIMIT_BYTES else 1
        try:
            async with asyncio.timeout(LOOK_SECONDS), aclosing(self._blobs.read(ref, 0, stop)) as pieces:
                async for _ in pieces:
                    pass
        except (BlobMissing, BlobCorrupt):
            return ref.storage_key
        except (BlobStoreUnavailable, TimeoutError):
            # Whoever needs it waits for the store.
            return None
        return None
