"""The result of an execution: its first structure, and where the rest lies; and the bytes of each, as long as they are kept."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import msgspec
from msgspec import Struct

from aif_contracts.blobs import BlobRef
from aif_contracts.metering import Metrics
from aif_kam.deleted_executions import UNKNOWN_EXECUTION, deleted
from aif_kam.failures import Conflict, Refused
from aif_kam.orchestrator_client import OrchestratorClient
from aif_kam.payloads import GeneratorUsed, ResultView, deliverable_views
from aif_kam.request_store import ClientRequest
from aif_runtime.blobs import StreamedBlobStore
from aif_runtime.failures import BlobCorrupt, BlobMissing

_PLACE = msgspec.Raw(b'"<structure>"')


class _Made(Struct, frozen=True, kw_only=True):
    """What is kept of an ended execution's stage, as far as a result tells it."""

    stage_id: str
    metrics: Metrics


class WrittenResult(Struct, frozen=True, kw_only=True):
    """A `ResultView` as JSON, piece by piece."""

    size_bytes: int
    pieces: AsyncGenerator[bytes, None]


class Results:
    def __init__(self, *, blobs: StreamedBlobStore, orchestrator: OrchestratorClient) -> None:
        self._blobs = blobs
        self._orchestrator = orchestrator

    async def of(self, request: ClientRequest) -> WrittenResult:
        """The structure is read while it is sent: it may be large, and there may be many readers.

        Raises Conflict while there is none, or when there will be none; Gone when it was deleted.
        """
        if not request.status.is_final:
            raise Conflict(
                f"the request is {request.status}; its result comes when it has ended", code="not_ended", retry_after_seconds=2
            )
        structure = next((item for item in request.deliverables if item.media_type == "application/json"), None)
        if structure is None or request.execution_id is None:
            reason = f": {request.problem.message}" if request.problem is not None else ""
            raise Conflict(f"the request has ended as {request.status} and has no result{reason}", code="no_result")
        size = structure.blob.size_bytes
        pieces = await self.pieces_of(structure.blob, request.execution_id, 0, size)
        view = ResultView(
            request_id=request.request_id,
            execution_id=request.execution_id,
            status=request.status,
            structure=_PLACE,
            metrics=request.totals,
            generators=_generators(request),
            deliverables=deliverable_views(request),
        )
        # What stands before the place are ids and a status, so the first one is it.
        before, after = msgspec.json.encode(view).split(bytes(_PLACE), 1)
        return WrittenResult(size_bytes=len(before) + size + len(after), pieces=_between(before, pieces, after))

    async def pieces_of(self, deliverable: BlobRef, execution_id: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to `stop`, the first of which have been read: what is wrong with them is said at once.

        Raises Gone when they were deleted with their execution, BlobMissing when they were lost.
        """
        pieces = self._blobs.read(deliverable, start, stop)
        async with self._gone_with(execution_id):
            first = await anext(pieces)
        return _with_first(first, pieces)

    async def require_kept(self, execution_id: str) -> None:
        """Raises Gone when an execution that has ended was deleted since, Unavailable while nobody can say."""
        try:
            await self._orchestrator.get(execution_id, None)
        except Refused as refused:
            if refused.code == UNKNOWN_EXECUTION:
                raise deleted(execution_id) from refused

    @asynccontextmanager
    async def _gone_with(self, execution_id: str) -> AsyncIterator[None]:
        try:
            yield
        except (BlobMissing, BlobCorrupt):
            await self.require_kept(execution_id)
            raise


async def _between(before: bytes, pieces: AsyncGenerator[bytes, None], after: bytes) -> AsyncGenerator[bytes, None]:
    async with aclosing(pieces):
        yield before
        async for piece in pieces:
            yield piece
        yield after


async def _with_first(first: bytes, others: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(others):
        yield first
        async for piece in others:
            yield piece


def _generators(request: ClientRequest) -> tuple[GeneratorUsed, ...]:
    stages = msgspec.convert((request.detailed_metrics or {}).get("stages", []), tuple[_Made, ...])
    return tuple(
        GeneratorUsed(
            stage_id=each.stage_id,
            provider=each.metrics.provider,
            generator_used=each.metrics.model,
            fallback_from=each.metrics.fallback_from,
            fallback_reason=each.metrics.fallback_reason,
        )
        for each in stages
        if each.metrics.provider is not None
    )
