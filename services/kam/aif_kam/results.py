"""The result of an execution: its first structure, and where the rest lies."""

import msgspec
from msgspec import Struct

from aif_contracts.metering import Metrics
from aif_kam.failures import Conflict
from aif_kam.payloads import GeneratorUsed, ResultView, deliverable_views
from aif_kam.request_store import ClientRequest
from aif_runtime.blobs import BlobStore


class _Made(Struct, frozen=True, kw_only=True):
    """What is kept of an ended execution's stage, as far as a result tells it."""

    stage_id: str
    metrics: Metrics


async def result_of(request: ClientRequest, blobs: BlobStore) -> ResultView:
    """Raises Conflict while there is none, or when there will be none."""
    if not request.status.is_final:
        raise Conflict(
            f"the request is {request.status}; its result comes when it has ended", code="not_ended", retry_after_seconds=2
        )
    structure = next((item for item in request.deliverables if item.media_type == "application/json"), None)
    if structure is None or request.execution_id is None:
        reason = f": {request.problem.message}" if request.problem is not None else ""
        raise Conflict(f"the request has ended as {request.status} and has no result{reason}", code="no_result")
    return ResultView(
        request_id=request.request_id,
        execution_id=request.execution_id,
        status=request.status,
        structure=msgspec.Raw(await blobs.get(structure.blob)),
        metrics=request.totals,
        generators=_generators(request),
        deliverables=deliverable_views(request),
    )


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
