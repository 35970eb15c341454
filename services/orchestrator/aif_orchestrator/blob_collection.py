"""Deletes the blobs of deleted executions.

An execution's inputs and outputs, those of attempts that died over their reports among them, lie in one folder of the blob
store, `data/<execution_id>`, and nobody else's do. The deletion of an execution leaves its id in `deleted_executions`, and only
what lies in the folder of such an id is deleted. So what is not known to be ours and over stays: all blobs of an execution that
lives or may be resumed, those of another factory in the same store, and those of a database that was lost.

An id is taken off the table when its blobs are gone, or when an execution is begun anew under it, which has the folder from
then on. While a collector deletes there, none is begun. Whoever dies over it leaves it to be taken again, and whoever takes too
long stops before that. Ages are measured by Postgres' clock, or by the blob store's own.
"""

import asyncio

import structlog
from prometheus_client import CollectorRegistry, Counter

from aif_orchestrator.store.executions import ExecutionStore
from aif_runtime.blobs import DeletingBlobStore
from aif_runtime.failures import BlobStoreUnavailable, DatabaseUnavailable
from aif_runtime.postgres import Database

EVERY_SECONDS = 3600.0
AT_ONCE = 500
PAUSE_SECONDS = 0.2
TAKEN_FOR_SECONDS = 3600.0
"""A replica that has not deleted a chunk's blobs within this time is taken for dead. It gives up after half of it."""

log = structlog.get_logger()


class BlobCollection:
    """Several replicas share the work: none takes what another one has taken."""

    def __init__(
        self,
        *,
        database: Database,
        executions: ExecutionStore,
        blobs: DeletingBlobStore,
        grace_hours: float,
        registry: CollectorRegistry,
        at_once: int = AT_ONCE,
        taken_for_seconds: float = TAKEN_FOR_SECONDS,
    ) -> None:
        """`grace_hours` pass between the deletion of an execution and that of its blobs."""
        self._database = database
        self._executions = executions
        self._blobs = blobs
        self._grace_seconds = grace_hours * 3600
        self._at_once = at_once
        self._taken_for_seconds = taken_for_seconds
        self._collected = Counter("aif_blobs_collected", "Blobs deleted because nobody needs them any more", registry=registry)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.collect()
                await self.collect_fragments()
            except (DatabaseUnavailable, BlobStoreUnavailable) as failure:
                log.warning("blobs_not_collected", code=failure.code, reason=str(failure))
            await asyncio.sleep(EVERY_SECONDS)

    async def collect(self) -> int:
        """Delete the blobs of all whose time has come; returns how many those were.

        Raises DatabaseUnavailable, BlobStoreUnavailable; then the rest stays for another time.
        """
        executions, collected = 0, 0
        while taken := await self._take():
            blobs = await self._delete_blobs_of(taken)
            self._collected.inc(blobs)
            executions, collected = executions + len(taken), collected + blobs
            if len(taken) < self._at_once:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        if executions:
            log.info("blobs_collected", executions=executions, blobs=collected)
        return collected

    async def collect_fragments(self) -> None:
        """Delete what writers left that died on their way. Raises BlobStoreUnavailable."""
        if fragments := await self._blobs.delete_fragments(self._grace_seconds):
            log.info("blob_fragments_collected", fragments=fragments)

    async def _delete_blobs_of(self, taken: list[str]) -> int:
        """Nothing is done to them once others may take them for left behind."""
        try:
            async with asyncio.timeout(self._taken_for_seconds / 2):
                blobs = await self._blobs.delete_folders([f"data/{execution_id}" for execution_id in taken])
                async with self._database.connection() as connection:
                    await self._executions.forget_deleted(connection, taken)
                return blobs
        except TimeoutError as late:
            raise BlobStoreUnavailable(f"the blobs of {len(taken)} executions were not deleted in time") from late

    async def _take(self) -> list[str]:
        async with self._database.connection() as connection:
            return await self._executions.take_deleted(
                connection,
                deleted_before_seconds=self._grace_seconds,
                taken_for_seconds=self._taken_for_seconds,
                limit=self._at_once,
            )
