"""Executions that ended so long ago that the orchestrator has deleted them; their requests are kept for ever."""

from collections.abc import Iterator
from contextlib import contextmanager

from aif_kam.failures import Gone, Refused
from aif_kam.request_store import ClientRequest, RequestStatus

UNKNOWN_EXECUTION = "unknown_execution"


@contextmanager
def gone_if_deleted(request: ClientRequest) -> Iterator[None]:
    """Around a question about the request's execution: raises Gone when it has ended and is unknown now."""
    try:
        yield
    except Refused as refused:
        has_ended = request.status.is_final and request.status is not RequestStatus.REFUSED
        if refused.code == UNKNOWN_EXECUTION and has_ended and request.execution_id is not None:
            raise deleted(request.execution_id) from refused
        raise


def deleted(execution_id: str) -> Gone:
    return Gone(
        f"execution {execution_id} ended so long ago that it was deleted with all its results; order it again",
        code="result_deleted",
    )
