"""Deletes sources that nobody has ordered anything of, and the bytes of those that never became one.

A source's bytes lie in a folder of their own in the blob store. Its id stands in `loose_sources` before they are stored, and
until the row in `sources` is written; it stands there again when that row was deleted. Only folders of loose sources are
deleted, and a source whose folder is being deleted cannot be entered any more. Whoever dies in between leaves an id to be taken
again.
"""

import structlog
from prometheus_client import CollectorRegistry, Counter

from aif_kam.source_store import SourceStore, source_folder
from aif_runtime.blobs import DeletingBlobStore
from aif_runtime.postgres import Database

AT_ONCE = 500

log = structlog.get_logger()


class SourceCollection:
    """Several gateways share the work: none takes what another one has taken."""

    def __init__(
        self,
        *,
        database: Database,
        sources: SourceStore,
        blobs: DeletingBlobStore,
        keep_unused_days: int,
        registry: CollectorRegistry,
        at_once: int = AT_ONCE,
    ) -> None:
        """`keep_unused_days` of 0 keeps sources for ever that were never ordered."""
        self._database = database
        self._sources = sources
        self._blobs = blobs
        self._keep_unused_days = keep_unused_days
        self._at_once = at_once
        self._collected = Counter("aif_blobs_collected", "Blobs deleted because nobody needs them any more", registry=registry)

    async def collect(self) -> bool:
        """Work on one chunk of each kind. Whether there may be more.

        Raises DatabaseUnavailable, BlobStoreUnavailable; then the rest stays for another time.
        """
        looked_at = await self._release() if self._keep_unused_days else 0
        async with self._database.connection() as connection:
            taken = await self._sources.take_loose(connection, self._at_once)
        if taken:
            blobs = await self._blobs.delete_folders([source_folder(client_id, source_id) for source_id, client_id in taken])
            self._collected.inc(blobs)
            async with self._database.connection() as connection:
                await self._sources.forget_loose(connection, [source_id for source_id, _ in taken])
            log.info("sources_collected", sources=len(taken), blobs=blobs)
        return self._at_once in (looked_at, len(taken))

    async def _release(self) -> int:
        async with self._database.transaction() as connection:
            return await self._sources.release_unused(connection, self._keep_unused_days, self._at_once)
