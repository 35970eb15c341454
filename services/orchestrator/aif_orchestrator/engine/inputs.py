"""What is done after a commit and outside of it: reading outputs for the next stage's input, storing inputs, telling workers.

None of it is recorded as done. If a replica dies in the middle, the stage's timer asks for it again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from aif_contracts import subjects
from aif_contracts.blobs import BlobRef
from aif_orchestrator.engine.arrivals import Applied
from aif_orchestrator.engine.batch import FollowUp
from aif_orchestrator.execution.commands import LoadOutputs, StoreInput, TellWorkers
from aif_orchestrator.execution.happenings import Happening, InputStored, InputUnavailable, LoadedOutput, OutputsLoaded
from aif_runtime.blobs import BlobStore
from aif_runtime.bus import Bus
from aif_runtime.failures import BlobCorrupt, BlobMissing, BlobStoreUnavailable, BusUnavailable, DatabaseUnavailable

Apply = Callable[[str, Happening], Awaitable[Applied]]

log = structlog.get_logger()


class FollowUps:
    def __init__(self, *, bus: Bus, blobs: BlobStore) -> None:
        self._bus = bus
        self._blobs = blobs
        self._running: set[asyncio.Task[None]] = set()

    def perform(self, follow_ups: Sequence[tuple[str, FollowUp]], apply: Apply) -> None:
        """Begin them; their results come back through `apply`."""
        for execution_id, follow_up in follow_ups:
            task = asyncio.create_task(self._perform(execution_id, follow_up, apply))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Stop what is under way; timers bring it back elsewhere."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _perform(self, execution_id: str, follow_up: FollowUp, apply: Apply) -> None:
        try:
            match follow_up:
                case TellWorkers(worker_name=worker, message=message):
                    await self._bus.broadcast(subjects.control(worker), msgspec.json.encode(message))
                case LoadOutputs(stage_id=stage_id, refs=refs):
                    await apply(execution_id, await self._load(stage_id, refs))
                case StoreInput(stage_id=stage_id, storage_key=storage_key, content=content):
                    ref = await self._blobs.put(storage_key, content)
                    await apply(execution_id, InputStored(stage_id=stage_id, input_ref=ref))
        except (BusUnavailable, BlobStoreUnavailable, DatabaseUnavailable) as failure:
            log.warning("follow_up_delayed", execution_id=execution_id, what=type(follow_up).__name__, reason=str(failure))

    async def _load(self, stage_id: str, refs: dict[str, BlobRef]) -> Happening:
        try:
            outputs = {
                needed: LoadedOutput(sha256=ref.sha256, value=msgspec.json.decode(await self._blobs.get(ref)))
                for needed, ref in refs.items()
            }
        except (BlobMissing, BlobCorrupt) as failure:
            return InputUnavailable(stage_id=stage_id, code=failure.code, message=str(failure))
        return OutputsLoaded(stage_id=stage_id, outputs=outputs)
