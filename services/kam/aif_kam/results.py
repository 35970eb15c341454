"""The result of an execution: its first structure, and where the rest lies."""

import msgspec

from aif_kam.failures import Conflict
from aif_kam.payloads import ResultView, deliverable_views
from aif_kam.request_store import ClientRequest
from aif_runtime.blobs import BlobStore


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
        deliverables=deliverable_views(request),
    )
