"""`/api/v1/ai/pipelines/{execution_id}/…`: pause, resume, approve, reject, skip-compensation."""

from dataclasses import dataclass, replace

from litestar import Response, Router, post
from litestar.openapi.spec import Operation, RequestBody
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK

from aif_contracts.orders import ExecutionView
from aif_kam import problems
from aif_kam.execution_payloads import Decision, Pause, ResumedExecution, SkippedCompensation
from aif_kam.parts import Parts
from aif_kam.routes.calling import CallerRequest, IdempotencyHeader, StrictJson, keyed, known_id

_ANSWERS = problems.documented(*problems.BODY, *problems.DELETED)


@dataclass
class OptionalBody(Operation):
    """An operation that works without a body, too; the framework would describe it as required."""

    def __post_init__(self) -> None:
        if isinstance(self.request_body, RequestBody):
            self.request_body = replace(self.request_body, required=False)


def steering_routes(parts: Parts) -> Router:
    @post(
        "/{execution_id:str}/pause",
        status_code=HTTP_200_OK,
        operation_class=OptionalBody,
        dto=StrictJson[Pause],
        return_dto=None,
        responses=_ANSWERS | problems.described_as(ExecutionView, HTTP_200_OK),
        summary="Begin nothing new; attempts under way may end, and the execution's time stands still",
    )
    async def pause(
        request: CallerRequest,
        execution_id: FromPath[str],
        data: JSONBody[Pause | None] = None,
        idempotency_key: IdempotencyHeader = None,
    ) -> Response[bytes]:
        found = await parts.tracker.find_of_execution(known_id(execution_id), request.auth.sees)
        call = keyed(request, found.client_id, idempotency_key, await request.body())
        reason = (data or Pause()).reason
        return problems.response_of(await parts.steering.pause(found, reason, call, request.scope["path"]))

    @post(
        "/{execution_id:str}/resume",
        status_code=HTTP_200_OK,
        responses=_ANSWERS | problems.described_as(ResumedExecution, HTTP_200_OK),
        summary="Go on after a pause, or begin a new leg that keeps what was completed",
    )
    async def resume(
        request: CallerRequest, execution_id: FromPath[str], idempotency_key: IdempotencyHeader = None
    ) -> Response[bytes]:
        found = await parts.tracker.find_of_execution(known_id(execution_id), request.auth.sees)
        call = keyed(request, found.client_id, idempotency_key, await request.body())
        return problems.response_of(await parts.steering.resume(found, call, request.scope["path"]))

    @post(
        "/{execution_id:str}/approve",
        status_code=HTTP_200_OK,
        operation_class=OptionalBody,
        dto=StrictJson[Decision],
        return_dto=None,
        responses=_ANSWERS | problems.described_as(ExecutionView, HTTP_200_OK),
        summary="Agree with what a stage has made",
    )
    async def approve(
        request: CallerRequest,
        execution_id: FromPath[str],
        data: JSONBody[Decision | None] = None,
        idempotency_key: IdempotencyHeader = None,
    ) -> Response[bytes]:
        return await decided(request, execution_id, data or Decision(), idempotency_key, approved=True)

    @post(
        "/{execution_id:str}/reject",
        status_code=HTTP_200_OK,
        operation_class=OptionalBody,
        dto=StrictJson[Decision],
        return_dto=None,
        responses=_ANSWERS | problems.described_as(ExecutionView, HTTP_200_OK),
        summary="Do not agree with what a stage has made",
    )
    async def reject(
        request: CallerRequest,
        execution_id: FromPath[str],
        data: JSONBody[Decision | None] = None,
        idempotency_key: IdempotencyHeader = None,
    ) -> Response[bytes]:
        return await decided(request, execution_id, data or Decision(), idempotency_key, approved=False)

    async def decided(
        request: CallerRequest, execution_id: str, decision: Decision, key: str | None, *, approved: bool
    ) -> Response[bytes]:
        found = await parts.tracker.find_of_execution(known_id(execution_id), request.auth.sees)
        call = keyed(request, found.client_id, key, await request.body())
        answer = await parts.steering.decide(
            found, decision, call, request.scope["path"], approved=approved, decided_by=request.auth.signature
        )
        return problems.response_of(answer)

    @post(
        "/{execution_id:str}/skip-compensation",
        status_code=HTTP_200_OK,
        operation_class=OptionalBody,
        dto=StrictJson[SkippedCompensation],
        return_dto=None,
        responses=_ANSWERS | problems.described_as(ExecutionView, HTTP_200_OK),
        summary="Give up undoing a stage; the rest is undone, and the execution ends and names what was not",
    )
    async def skip_compensation(
        request: CallerRequest,
        execution_id: FromPath[str],
        data: JSONBody[SkippedCompensation | None] = None,
        idempotency_key: IdempotencyHeader = None,
    ) -> Response[bytes]:
        found = await parts.tracker.find_of_execution(known_id(execution_id), request.auth.sees)
        call = keyed(request, found.client_id, idempotency_key, await request.body())
        answer = await parts.steering.skip_compensation(
            found, data or SkippedCompensation(), call, request.scope["path"], decided_by=request.auth.signature
        )
        return problems.response_of(answer)

    handlers = [pause, resume, approve, reject, skip_compensation]
    return Router("/api/v1/ai/pipelines", route_handlers=handlers, tags=["pipelines"])
