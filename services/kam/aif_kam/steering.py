"""Executions steered by people: paused, resumed, approved, rejected, let go on without undoing what cannot be undone.

The orchestrator decides what is possible. A second pause is harmless; a second resume or decision is refused, because the
first was heard. With an Idempotency-Key a repeated call gets the first one's answer in place of that refusal.
"""

from collections.abc import Awaitable, Callable

from aif_contracts.orders import DecideApproval, PauseExecution, ResumeExecution, SkipCompensation
from aif_kam import problems
from aif_kam.deleted_executions import gone_if_deleted
from aif_kam.execution_payloads import Decision, ResumedExecution, SkippedCompensation
from aif_kam.failures import KamFailure, Refused
from aif_kam.idempotency import Answer, KeyedCall, KeyStore
from aif_kam.orchestrator_client import OrchestratorClient
from aif_kam.request_store import ClientRequest, RequestStatus
from aif_kam.request_tracker import RequestTracker, being_submitted
from aif_runtime.failures import RuntimeFailure
from aif_runtime.postgres import Database


class Steering:
    """Every question raises Refused, Gone, Unavailable, Conflict while the execution is being submitted, and with a key
    KeyReused and KeyInFlight. `instance` is the address of the call."""

    def __init__(
        self, *, database: Database, orchestrator: OrchestratorClient, tracker: RequestTracker, keys: KeyStore
    ) -> None:
        self._database = database
        self._orchestrator = orchestrator
        self._tracker = tracker
        self._keys = keys

    async def pause(self, request: ClientRequest, reason: str, call: KeyedCall | None, instance: str) -> Answer:
        question = PauseExecution(execution_id=_execution(request), client_id=request.client_id, reason=reason)

        async def put() -> Answer:
            with gone_if_deleted(request):
                view = await self._orchestrator.pause(question)
            await self._tracker.observe(view)
            return problems.done(view)

        return await self._once(put, call, instance)

    async def resume(self, request: ClientRequest, call: KeyedCall | None, instance: str) -> Answer:
        question = ResumeExecution(execution_id=_execution(request), client_id=request.client_id)

        async def put() -> Answer:
            with gone_if_deleted(request):
                await self._tracker.expect_resumption(request)
                resumed = await self._orchestrator.resume(question)
            await self._tracker.observe(resumed.execution)
            return problems.done(ResumedExecution(execution=resumed.execution, kept=resumed.kept))

        return await self._once(put, call, instance)

    async def decide(
        self,
        request: ClientRequest,
        decision: Decision,
        call: KeyedCall | None,
        instance: str,
        *,
        approved: bool,
        decided_by: str,
    ) -> Answer:
        question = DecideApproval(
            execution_id=_execution(request),
            client_id=request.client_id,
            approved=approved,
            decided_by=decided_by,
            stage_id=decision.stage_id,
            comment=decision.comment,
        )

        async def put() -> Answer:
            with gone_if_deleted(request):
                view = await self._orchestrator.decide_approval(question)
            await self._tracker.observe(view)
            return problems.done(view)

        return await self._once(put, call, instance)

    async def skip_compensation(
        self, request: ClientRequest, skipped: SkippedCompensation, call: KeyedCall | None, instance: str, *, decided_by: str
    ) -> Answer:
        question = SkipCompensation(
            execution_id=_execution(request),
            client_id=request.client_id,
            decided_by=decided_by,
            stage_id=skipped.stage_id,
            comment=skipped.comment,
        )

        async def put() -> Answer:
            with gone_if_deleted(request):
                view = await self._orchestrator.skip_compensation(question)
            await self._tracker.observe(view)
            return problems.done(view)

        return await self._once(put, call, instance)

    async def _once(self, put: Callable[[], Awaitable[Answer]], call: KeyedCall | None, instance: str) -> Answer:
        """Put a question under its key, or give the answer of the first call with it."""
        if call is None:
            return await put()
        async with self._database.transaction() as connection:
            if earlier := await self._keys.earlier_answer(connection, call):
                return earlier
        try:
            answer = await _answered(put, instance)
        except (KamFailure, RuntimeFailure):
            async with self._database.connection() as connection:
                await self._keys.release(connection, call)
            raise
        async with self._database.transaction() as connection:
            await self._keys.answer(connection, call, answer)
            kept = await self._keys.find(connection, call)
        # Another call with the key may have been answered, while this one was frozen at its question.
        return answer if kept is None or kept.answer is None or kept.answer.body == answer.body else kept.answer


async def _answered(put: Callable[[], Awaitable[Answer]], instance: str) -> Answer:
    """With a no as an answer, too, unless it asks to come again."""
    try:
        return await put()
    except Refused as refused:
        if refused.retry_after_seconds is not None:
            raise
        return problems.refused(refused, instance=instance)


def _execution(request: ClientRequest) -> str:
    if request.execution_id is None or request.status is RequestStatus.SUBMITTING:
        raise being_submitted()
    return request.execution_id
