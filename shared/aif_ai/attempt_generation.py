"""A worker's way through the door: what fails there ends the attempt with the same code."""

from aif_ai.attempt_ledger import AttemptLedger
from aif_ai.door import Door
from aif_ai.failures import AiFailure
from aif_ai.requests import Generation, GenerationRequest
from aif_runtime.assignment import Assignment, WorkFailure


async def generate_for(
    assignment: Assignment, door: Door, request: GenerationRequest, *, ledger: AttemptLedger | None = None
) -> Generation:
    """One generation. An attempt that pays for several hands in the same ledger each time, because its grant bounds their
    sum. Raises WorkFailure."""
    try:
        return await door.generate(request, ledger or AttemptLedger(assignment))
    except AiFailure as failure:
        raise WorkFailure(
            failure.code, failure.message, retryable=failure.retryable, retry_after_ms=failure.retry_after_ms
        ) from failure
