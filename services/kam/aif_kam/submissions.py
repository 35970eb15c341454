"""Puts stored requests to the orchestrator and writes down what it says.

The execution's id is stored before the first question. An answer that does not come leaves the request `submitting`, which
says "unknown", and the same question under the same id is put again: by the caller who retries, else by the sweeper.

An order that nobody sits and waits for (of a batch, a schedule, another system) is not refused when others have reserved what
is left of its client's budget. It stays `submitting`, says so, and is asked for again when the orchestrator thinks it may fit.
"""

import structlog
from msgspec.structs import replace

from aif_contracts.budgets import BUDGET_RESERVED
from aif_contracts.money import usd_text
from aif_contracts.orders import Accepted, Execute, Refusal
from aif_kam import problems
from aif_kam.failures import KamFailure, Refused, Unavailable
from aif_kam.field_words import renamed
from aif_kam.idempotency import Answer, KeyStore
from aif_kam.identity import Identity
from aif_kam.orchestrator_client import OrchestratorClient
from aif_kam.payloads import execution_started, request_path
from aif_kam.request_store import ClientRequest, Origin, RequestStatus, RequestStore, StoredProblem
from aif_runtime.clock import rfc3339
from aif_runtime.postgres import Database

WAIT_SECONDS = 5.0
"""Until an order that waits for its client's budget is asked for again, when the orchestrator does not say."""
_PATIENT = frozenset({Origin.BATCH, Origin.SCHEDULE, Origin.BUS})
_log = structlog.get_logger()


class Submissions:
    def __init__(
        self,
        *,
        database: Database,
        orchestrator: OrchestratorClient,
        requests: RequestStore,
        keys: KeyStore,
        identity: Identity,
    ) -> None:
        self._database = database
        self._orchestrator = orchestrator
        self._requests = requests
        self._keys = keys
        self._identity = identity

    async def submit(self, request: ClientRequest) -> Answer:
        """Ask for a request in `submitting` that is ours to ask for. Raises Unavailable when the outcome stays unknown."""
        assert request.execution_id is not None
        try:
            question = await self._question(request)
            of_many = request.origin is Origin.BATCH
            reply = await self._orchestrator.execute(question, ordered_by=request.trace_context, is_one_of_many=of_many)
        except Unavailable:
            async with self._database.connection() as connection:
                await self._requests.release_submission(connection, request.execution_id)
            raise
        return await self._settle(request, request.execution_id, _in_words_of_a_request(reply))

    async def resubmit(self, execution_id: str) -> Answer | None:
        """Ask again, unless somebody is asking or the answer is known already: then None. Raises Unavailable."""
        async with self._database.connection() as connection:
            request = await self._requests.claim_submission(connection, execution_id)
        return None if request is None else await self.submit(request)

    async def sweep(self) -> int:
        """Ask again for all requests that nobody asks for. Returns how many were settled.

        One that gets no answer does not hold up the others. Raises Unavailable when the orchestrator answers nothing at all.
        """
        async with self._database.connection() as connection:
            stuck = await self._requests.list_stuck_submissions(connection)
            await self._keys.delete_expired(connection)
        settled = 0
        for execution_id in stuck:
            try:
                settled += await self.resubmit(execution_id) is not None
            except Unavailable as failure:
                _log.warning("submission_unanswered", execution_id=execution_id, code=failure.code)
                await self._orchestrator.be_there()
        return settled

    async def answer_of_settled(self, execution_id: str) -> Answer | None:
        """The answer of an execution whose events came before it was written down; None while it is not settled."""
        async with self._database.transaction() as connection:
            request = await self._requests.find_of_execution(connection, execution_id, None)
            if request is None or request.status is RequestStatus.SUBMITTING:
                return None
            answer = _answer(request)
            await self._keys.answer_execution(connection, execution_id, answer)
        return answer

    async def _question(self, request: ClientRequest) -> Execute:
        assert request.execution_id is not None
        assert request.selected_template is not None
        async with self._database.connection() as connection:
            client = await self._identity.find_client(connection, request.client_id)
        return Execute(
            execution_id=request.execution_id,
            client_id=request.client_id,
            template_name=request.selected_template,
            template_version=request.template_version,
            parameters=request.parameters,
            priority=request.urgency_level,
            request_id=request.request_id,
            workspace_id=request.workspace_id,
            tier=client.tier if client is not None else "standard",
            start_at=None if request.start_at is None else rfc3339(request.start_at),
            max_cost_usd=None if request.max_cost_usd is None else usd_text(request.max_cost_usd),
        )

    async def _settle(self, request: ClientRequest, execution_id: str, reply: Accepted | Refusal) -> Answer:
        if isinstance(reply, Refusal) and reply.code == BUDGET_RESERVED and request.origin in _PATIENT:
            return await self._put_off(request, execution_id, Refused(reply))
        if isinstance(reply, Accepted):
            answer = problems.accepted(execution_started(request, reply.template_version))
        else:
            answer = problems.refused(Refused(reply), instance=request_path(request.request_id))
        async with self._database.transaction() as connection:
            if isinstance(reply, Accepted):
                await self._requests.mark_accepted(connection, execution_id, reply.template_version, reply.status)
            else:
                await self._requests.mark_refused(connection, execution_id, stored_problem(Refused(reply)))
            if answer.retry_after_seconds is not None:
                await self._keys.release_execution(connection, execution_id)
            else:
                await self._keys.answer_execution(connection, execution_id, answer)
        return answer

    async def _put_off(self, request: ClientRequest, execution_id: str, refused: Refused) -> Answer:
        """Ask again later. The order is accepted, and whoever repeats it hears so, whatever becomes of it."""
        answer = problems.accepted(execution_started(request, request.template_version))
        seconds = refused.retry_after_seconds or WAIT_SECONDS
        async with self._database.transaction() as connection:
            await self._requests.put_off_submission(connection, execution_id, seconds, stored_problem(refused))
            await self._keys.answer_execution(connection, execution_id, answer)
        _log.info("submission_waits_for_budget", request_id=request.request_id, client_id=request.client_id)
        return answer


def _in_words_of_a_request(reply: Accepted | Refusal) -> Accepted | Refusal:
    """The orchestrator names fields of its own question; a request calls its template otherwise."""
    if isinstance(reply, Accepted):
        return reply
    return replace(reply, mistakes=renamed(reply.mistakes, {"template_name": "selected_template"}))


def stored_problem(failure: KamFailure) -> StoredProblem:
    return StoredProblem(code=failure.code, message=failure.message, errors=failure.mistakes)


def _answer(request: ClientRequest) -> Answer:
    if request.status is RequestStatus.REFUSED and request.problem is not None:
        failure = Refused(Refusal(code=request.problem.code, message=request.problem.message, mistakes=request.problem.errors))
        return problems.refused(failure, instance=request_path(request.request_id))
    return problems.accepted(execution_started(request, request.template_version))
