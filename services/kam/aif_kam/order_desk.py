"""Orders: a request is created, its template chosen, its execution begun, in three calls or in one.

What a call stores and its idempotency key are written in one transaction; the orchestrator is asked afterwards.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from aif_contracts.money import UsdText
from aif_contracts.packets import Priority
from aif_kam import problems
from aif_kam.configuration.workspaces import Workspaces
from aif_kam.cost_limits import cost_limit
from aif_kam.database_time import DatabaseTime
from aif_kam.failures import Conflict, KamFailure, NotFound
from aif_kam.idempotency import Answer, KeyedCall, KeyStore, KeyUse, checked_use, in_flight
from aif_kam.order_parameters import OrderParameters, PreparedOrder, digest_of
from aif_kam.payloads import request_path, request_view
from aif_kam.request_store import ClientRequest, NewRequest, Origin, RequestStatus, RequestStore
from aif_kam.source_intake import SourceIntake
from aif_kam.start_times import start_time
from aif_kam.submissions import Submissions, stored_problem
from aif_kam.template_catalogue import TemplateCatalogue
from aif_runtime.postgres import Connection, Database
from aif_runtime.telemetry import Tracing


class Wish(Struct, frozen=True, kw_only=True):
    """What a client asks for, whichever way it came."""

    client_id: str
    origin: Origin
    message: str
    urgency_level: Priority
    workspace_id: str | None
    schedule_id: str | None = None


class WishedExecution(Struct, frozen=True, kw_only=True):
    template: str
    parameters: Mapping[str, Any]
    start_at: str | None = None
    """As the client wrote it."""
    max_cost_usd: UsdText | None = None
    template_version: str | None = None
    """None for the newest."""
    template_confidence_score: float | None = None
    template_field: str = "selected_template"
    parameters_field: str = "parameters"
    version_field: str = "template_version"

    @property
    def words(self) -> dict[str, str]:
        """What the caller calls a request's fields."""
        return {
            "selected_template": self.template_field,
            "template_version": self.version_field,
            "parameters": self.parameters_field,
        }


class _Beginning(Struct, frozen=True, kw_only=True):
    start_at: datetime | None
    max_cost_usd: Decimal | None
    template_version: str | None
    given_digest: str
    """Of parameters, time, limit and version as the client wrote them."""


Alongside = Callable[[Connection, ClientRequest], Awaitable[None]]
"""What is stored in the transaction that stores an order; when it raises, nothing is."""


class OrderDesk:
    def __init__(
        self,
        *,
        database: Database,
        requests: RequestStore,
        keys: KeyStore,
        parameters: OrderParameters,
        catalogue: TemplateCatalogue,
        intake: SourceIntake,
        submissions: Submissions,
        workspaces: Workspaces,
        time: DatabaseTime,
        tracing: Tracing,
        new_id: Callable[[str], str],
    ) -> None:
        self._database = database
        self._requests = requests
        self._keys = keys
        self._parameters = parameters
        self._catalogue = catalogue
        self._intake = intake
        self._submissions = submissions
        self._workspaces = workspaces
        self._time = time
        self._tracing = tracing
        self._new_id = new_id

    async def create(self, wish: Wish, call: KeyedCall | None) -> Answer:
        """Raises InvalidInput, KeyReused, KeyInFlight."""
        async with self._database.transaction() as connection:
            if earlier := await self._keys.earlier_answer(connection, call):
                return earlier
            await self._workspaces.require_within(connection, wish.client_id, wish.workspace_id)
            request = await self._requests.insert(connection, self._new_request(wish))
            answer = problems.created(request_view(request))
            if call is not None:
                await self._keys.answer(connection, call, answer)
        return answer

    async def select_template(
        self, request_id: str, client_id: str | None, template: str, confidence: float | None
    ) -> ClientRequest:
        """Choose, or choose again, before the request is executed. Raises NotFound, InvalidInput, Conflict, Unavailable."""
        async with self._database.connection() as connection:
            request = await self._requests.find(connection, request_id, client_id)
        if request is None:
            raise _no_request(request_id)
        await self._catalogue.chosen(template, request.client_id, field="selected_template")
        async with self._database.transaction() as connection:
            selected = await self._requests.select_template(connection, request_id, template, confidence)
        if selected is None:
            raise Conflict(f"request {request_id} is past the choice of its template", code="already_executed")
        return selected

    async def execute(
        self,
        request_id: str,
        client_id: str | None,
        given: Mapping[str, Any],
        call: KeyedCall | None,
        *,
        start_at: str | None = None,
        max_cost_usd: UsdText | None = None,
        template_version: str | None = None,
    ) -> Answer:
        """Begin the execution of a request; again with the same parameters, time, limit and version, it is the same execution.

        Raises NotFound, InvalidInput, Conflict, Unavailable.
        """
        if call is not None and (use := await self._use(call)):
            return await self._repeat(use, call)
        async with self._database.connection() as connection:
            request = await self._requests.find(connection, request_id, client_id)
        if request is None:
            raise _no_request(request_id)
        limit = cost_limit(max_cost_usd)
        digest = digest_of(given, start_at, limit, template_version)
        if request.execution_id is not None and request.parameters_digest == digest:
            return await self._again(request.execution_id)
        template = _executable(request)
        begins = _Beginning(
            start_at=await start_time(start_at, self._time),
            max_cost_usd=limit,
            template_version=template_version,
            given_digest=digest,
        )
        prepared = await self._parameters.prepare(
            request.client_id,
            template,
            given,
            template_field="selected_template",
            field="parameters",
            version=template_version,
        )
        use = None
        try:
            async with self._database.transaction() as connection:
                if call is None or (use := await self._keys.claim(connection, call)) is None:
                    submitting = await self._begin(connection, request_id, prepared, begins, call)
        except Conflict:
            if (same := await self._begun_meanwhile(request_id, digest)) is None:
                raise
            return await self._again(same)
        if use is not None and call is not None:
            return await self._repeat(use, call)
        return await self._submissions.submit(submitting)

    async def order(
        self, wish: Wish, execution: WishedExecution, call: KeyedCall | None, *, alongside: Alongside | None = None
    ) -> Answer:
        """Create, choose and execute in one. Raises InvalidInput, Conflict, Unavailable, and what `alongside` raises."""
        if call is not None and (use := await self._use(call)):
            return problems.in_words(await self._repeat(use, call), execution.words)
        await self._workspaces.require(wish.client_id, wish.workspace_id)
        limit = cost_limit(execution.max_cost_usd)
        begins = _Beginning(
            start_at=await start_time(execution.start_at, self._time),
            max_cost_usd=limit,
            template_version=execution.template_version,
            given_digest=digest_of(execution.parameters, execution.start_at, limit, execution.template_version),
        )
        prepared = await self._parameters.prepare(
            wish.client_id,
            execution.template,
            execution.parameters,
            template_field=execution.template_field,
            field=execution.parameters_field,
            version=execution.template_version,
            version_field=execution.version_field,
        )
        use = None
        async with self._database.transaction() as connection:
            if call is None or (use := await self._keys.claim(connection, call)) is None:
                request = await self._requests.insert(connection, self._new_request(wish))
                await self._requests.select_template(
                    connection, request.request_id, prepared.template, execution.template_confidence_score
                )
                submitting = await self._begin(connection, request.request_id, prepared, begins, call)
                if alongside is not None:
                    await alongside(connection, submitting)
        if use is not None and call is not None:
            return problems.in_words(await self._repeat(use, call), execution.words)
        return problems.in_words(await self._submissions.submit(submitting), execution.words)

    async def store_refused(self, wish: Wish, template: str | None, failure: KamFailure, call: KeyedCall) -> None:
        """Keep an order that was refused before it was stored, so that its sender can see why. Once per key."""
        async with self._database.transaction() as connection:
            if await self._keys.claim(connection, call) is not None:
                return
            new = self._new_request(wish, status=RequestStatus.REFUSED, template=template, failure=failure)
            request = await self._requests.insert(connection, new)
            answer = problems.refused(failure, instance=request_path(request.request_id))
            await self._keys.answer(connection, call, answer)

    def _new_request(
        self,
        wish: Wish,
        *,
        status: RequestStatus = RequestStatus.CREATED,
        template: str | None = None,
        failure: KamFailure | None = None,
    ) -> NewRequest:
        return NewRequest(
            request_id=self._new_id("req"),
            client_id=wish.client_id,
            origin=wish.origin,
            message=wish.message,
            urgency_level=wish.urgency_level,
            workspace_id=wish.workspace_id,
            status=status,
            selected_template=template,
            problem=None if failure is None else stored_problem(failure),
            schedule_id=wish.schedule_id,
        )

    async def _begin(
        self, connection: Connection, request_id: str, prepared: PreparedOrder, begins: _Beginning, call: KeyedCall | None
    ) -> ClientRequest:
        """Store that the request is to be executed. Raises Conflict when it was already."""
        submitting = await self._requests.mark_submitting(
            connection,
            request_id=request_id,
            template=prepared.template,
            execution_id=self._new_id("exec"),
            parameters=prepared.parameters,
            parameters_digest=begins.given_digest,
            start_at=begins.start_at,
            max_cost_usd=begins.max_cost_usd,
            template_version=begins.template_version,
            trace_context=self._tracing.here(),
        )
        if submitting is None or submitting.execution_id is None:
            raise _already_executed(request_id)
        if prepared.new_source is not None:
            await self._intake.enter(connection, prepared.new_source)
        if call is not None:
            await self._keys.bind(connection, call, submitting.execution_id)
        return submitting

    async def _begun_meanwhile(self, request_id: str, digest: str) -> str | None:
        """The execution that another call, which wants the same, has begun since the request was read."""
        async with self._database.connection() as connection:
            request = await self._requests.find(connection, request_id, None)
        return request.execution_id if request is not None and request.parameters_digest == digest else None

    async def _use(self, call: KeyedCall) -> KeyUse | None:
        async with self._database.connection() as connection:
            return await self._keys.find(connection, call)

    async def _repeat(self, use: KeyUse, call: KeyedCall) -> Answer:
        """The answer of an earlier call with the same key, or a part in getting it."""
        if (answer := checked_use(use, call).answer) is not None:
            return answer
        if use.execution_id is None:
            raise in_flight()
        settled = await self._submissions.resubmit(use.execution_id)
        settled = settled or await self._submissions.answer_of_settled(use.execution_id)
        if settled is None:
            raise in_flight()
        return replace(settled, is_replayed=True)

    async def _again(self, execution_id: str) -> Answer:
        """The answer of an earlier execute, or a part in getting it."""
        answer = await self._submissions.resubmit(execution_id)
        answer = answer or await self._submissions.answer_of_settled(execution_id)
        if answer is None:
            raise Conflict(
                "this request is being submitted; ask again in a moment", code="being_submitted", retry_after_seconds=1
            )
        return answer


def _executable(request: ClientRequest) -> str:
    if request.status is RequestStatus.CREATED or request.selected_template is None:
        raise Conflict(
            f"request {request.request_id} has no template yet: choose one with PUT {request_path(request.request_id)}",
            code="template_not_selected",
        )
    if request.status is not RequestStatus.TEMPLATE_SELECTED:
        raise _already_executed(request.request_id)
    return request.selected_template


def _already_executed(request_id: str) -> Conflict:
    return Conflict(
        f"request {request_id} was executed or cancelled already: see {request_path(request_id)}, or make a new request",
        code="already_executed",
    )


def _no_request(request_id: str) -> NotFound:
    return NotFound(f"there is no request {request_id}", code="unknown_request")
