"""Failures to HTTP: the one place that knows status codes.

Every error leaves as a problem document (RFC 9457). A 500 means a mistake of ours and tells nothing of the inside.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import ParameterKwarg
from msgspec import Struct
from msgspec.structs import replace

from aif_contracts.orders import FieldMistake
from aif_kam.body_fields import wanted, without_pattern
from aif_kam.failures import (
    BodyTooLarge,
    Conflict,
    Gone,
    InvalidInput,
    KamFailure,
    MalformedBody,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RangeBeyond,
    Refused,
    Unavailable,
    UnsupportedBody,
)
from aif_kam.field_words import renamed
from aif_kam.idempotency import REPLAYED_HEADER, Answer
from aif_kam.payloads import Problem
from aif_runtime.bounded_connections import PROBLEM_TYPE
from aif_runtime.failures import BlobCorrupt, BlobMissing, BlobStoreRefuses, RuntimeFailure, TooManyRead, TooManyWait
from aif_runtime.redaction import Redactor

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2
NO_ADDRESS_CLOSE_CODE = 4000 + HTTPStatus.NOT_FOUND
"""Of a WebSocket to where there is none."""

_CUT_OFF = "client disconnected prematurely"
"""How the framework calls a caller that has gone in the middle of a body: no mistake of ours."""
_SHAPES = Redactor()
"""A problem repeats what the caller wrote, and ends in other people's logs: what looks like a secret is masked."""
_log = structlog.get_logger()

_STATUS_OF_FAILURE: tuple[tuple[type[KamFailure], HTTPStatus], ...] = (
    (MalformedBody, HTTPStatus.BAD_REQUEST),
    (BodyTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (UnsupportedBody, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (RangeBeyond, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE),
    (InvalidInput, HTTPStatus.UNPROCESSABLE_ENTITY),
    (NotAuthenticated, HTTPStatus.UNAUTHORIZED),
    (NotAllowed, HTTPStatus.FORBIDDEN),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Gone, HTTPStatus.GONE),
    (Conflict, HTTPStatus.CONFLICT),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)
_STATUS_OF_REFUSAL: Mapping[str, HTTPStatus] = {
    "budget_exceeded": HTTPStatus.PAYMENT_REQUIRED,
    "budget_reserved": HTTPStatus.PAYMENT_REQUIRED,
    "insufficient_energy": HTTPStatus.PAYMENT_REQUIRED,
    "too_many_executions": HTTPStatus.TOO_MANY_REQUESTS,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "unknown_execution": HTTPStatus.NOT_FOUND,
    "unknown_pipeline": HTTPStatus.NOT_FOUND,
    "unknown_dead_letter": HTTPStatus.NOT_FOUND,
    "unknown_call": HTTPStatus.NOT_FOUND,
    "call_has_answer": HTTPStatus.CONFLICT,
    "not_pausable": HTTPStatus.CONFLICT,
    "not_resumable": HTTPStatus.CONFLICT,
    "nothing_to_approve": HTTPStatus.CONFLICT,
    "already_ended": HTTPStatus.CONFLICT,
    "ambiguous_approval": HTTPStatus.CONFLICT,
    "not_compensating": HTTPStatus.CONFLICT,
    "nothing_to_skip": HTTPStatus.CONFLICT,
    "ambiguous_compensation": HTTPStatus.CONFLICT,
    "pipeline_name_taken": HTTPStatus.CONFLICT,
    "pipeline_version_taken": HTTPStatus.CONFLICT,
    "already_decided": HTTPStatus.CONFLICT,
    "not_replayable": HTTPStatus.CONFLICT,
    "payload_cut": HTTPStatus.CONFLICT,
    "execution_has_ended": HTTPStatus.CONFLICT,
    "stage_has_ended": HTTPStatus.CONFLICT,
    "packet_superseded": HTTPStatus.CONFLICT,
    "execution_id_taken": HTTPStatus.CONFLICT,
    "parameters_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}
_TITLES: Mapping[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "The request cannot be read",
    HTTPStatus.UNAUTHORIZED: "An API key is needed",
    HTTPStatus.PAYMENT_REQUIRED: "The budget does not allow it",
    HTTPStatus.FORBIDDEN: "Not allowed with this key",
    HTTPStatus.NOT_FOUND: "Not found",
    HTTPStatus.METHOD_NOT_ALLOWED: "Not a method of this address",
    HTTPStatus.CONFLICT: "Not possible in the present state",
    HTTPStatus.GONE: "Deleted, because its time was over",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Too large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Another media type is needed",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "Not a part of the file",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Something in the request is wrong",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many at once",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A mistake on our side",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not available at the moment",
}


def created(payload: Struct) -> Answer:
    return Answer(status=HTTPStatus.CREATED, body=msgspec.json.encode(payload))


def accepted(payload: Struct) -> Answer:
    return Answer(status=HTTPStatus.ACCEPTED, body=msgspec.json.encode(payload))


def done(payload: Struct) -> Answer:
    return Answer(status=HTTPStatus.OK, body=msgspec.json.encode(payload))


def refused(failure: KamFailure, *, instance: str) -> Answer:
    problem = problem_of(failure, instance=instance)
    return Answer(status=problem.status, body=msgspec.json.encode(problem), retry_after_seconds=failure.retry_after_seconds)


def is_problem(answer: Answer) -> bool:
    return answer.status >= HTTPStatus.BAD_REQUEST


def in_words(answer: Answer, words: Mapping[str, str]) -> Answer:
    """An answer that names fields as its caller wrote them."""
    if not is_problem(answer):
        return answer
    problem = msgspec.json.decode(answer.body, type=Problem)
    said = replace(problem, errors=renamed(problem.errors, words))
    return replace(answer, body=msgspec.json.encode(said))


def response_of(answer: Answer) -> Response[bytes]:
    """An answer as it goes out, for the first time or from the store."""
    headers = {REPLAYED_HEADER: "true"} if answer.is_replayed else {}
    if not is_problem(answer):
        return Response(answer.body, status_code=answer.status, media_type="application/json", headers=headers)
    headers |= _come_again(answer.retry_after_seconds)
    return Response(answer.body, status_code=answer.status, media_type=MEDIA_TYPE, headers=headers)


def unchanged(headers: Mapping[str, str]) -> Response[bytes]:
    """The caller's copy is still good."""
    return Response(b"", status_code=HTTPStatus.NOT_MODIFIED, headers=dict(headers), media_type="application/octet-stream")


def health_status(*, is_well: bool) -> int:
    return HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE


def close_code(failure: KamFailure | RuntimeFailure) -> int:
    """WebSocket close code of a failure: 4000 plus the HTTP status."""
    if isinstance(failure, KamFailure):
        return 4000 + _status_of(failure)
    return 4000 + (HTTPStatus.SERVICE_UNAVAILABLE if failure.retryable else HTTPStatus.INTERNAL_SERVER_ERROR)


def problem_of(failure: KamFailure, *, instance: str) -> Problem:
    return _problem(_status_of(failure), failure.code, failure.message, instance, failure.mistakes)


def documented(*codes: int) -> dict[int, ResponseSpec]:
    """What an operation answers besides its success, for the API's description. A request, its key and its parameters can be
    wrong everywhere, so can we, and database and broker can be away."""
    everywhere = (
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    )
    return {
        code: ResponseSpec(Problem, description=_TITLES[HTTPStatus(code)], media_type=MEDIA_TYPE, generate_examples=False)
        for code in sorted({*codes, *everywhere})
    }


def described_as(payload: type[Struct], *statuses: int) -> dict[int, ResponseSpec]:
    """What an operation answers on success, for operations whose answers come from the store."""
    return {status: ResponseSpec(payload, description="Done", generate_examples=False) for status in statuses}


BYTES = {
    HTTPStatus.OK: ResponseSpec(
        Any, description="The bytes, of whatever kind they are", media_type="*/*", generate_examples=False
    ),
    HTTPStatus.PARTIAL_CONTENT: ResponseSpec(
        Any, description="The part that `Range` asks for", media_type="*/*", generate_examples=False
    ),
    HTTPStatus.NOT_MODIFIED: ResponseSpec(None, description="The caller's copy is still good"),
}
"""What an operation answers whose answer is a file."""
FOREIGN = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
"""Answers of an operation on one thing."""
ABSENT = (HTTPStatus.NOT_FOUND,)
DELETED = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
"""Answers of an operation on what is kept for a while."""
PARTS = (HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,)
NOT_NOW = (HTTPStatus.CONFLICT,)
BODY = (
    HTTPStatus.FORBIDDEN,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)
"""Answers of an operation with a body."""
_AWAY = {"bus_unavailable": "the message broker", "no_answer": "a service", "blob_store_unavailable": "the blob store"}
ADMISSION = (HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.TOO_MANY_REQUESTS)
"""Answers of an operation that begins an execution."""
OF_CLIENT = (HTTPStatus.FORBIDDEN,)
"""Answers of an operation that an admin key may do for a client that it names."""
OPERATOR = (HTTPStatus.FORBIDDEN,)
"""Answers of an operation for admin keys."""


def on_kam_failure(request: Request[Any, Any, Any], failure: KamFailure) -> Response[Problem]:
    response = _response(problem_of(failure, instance=request.scope["path"]), failure.retry_after_seconds)
    if isinstance(failure, RangeBeyond):
        response.headers["Content-Range"] = f"bytes */{failure.size}"
    return response


def on_runtime_failure(request: Request[Any, Any, Any], failure: RuntimeFailure) -> Response[Problem]:
    """The broker, the database or the blob store: away or asked too much for now, or broken in a way that is ours to find."""
    if isinstance(failure, BlobMissing | BlobCorrupt):
        return _on_lost_bytes(request, failure)
    if not failure.retryable:
        return on_bug(request, failure)
    _log.warning("request_unavailable", code=failure.code, path=request.scope["path"], reason=str(failure))
    if isinstance(failure, BlobStoreRefuses):
        detail = "the blob store refuses the factory: its operator has to look at the credentials and rights for it"
    elif isinstance(failure, TooManyRead):
        detail = str(failure)
    elif isinstance(failure, TooManyWait):
        detail = "more is asked at once than can be answered in time; try again in a moment"
    else:
        detail = f"{_AWAY.get(failure.code, 'the database')} does not answer; try again in a moment"
    problem = _problem(HTTPStatus.SERVICE_UNAVAILABLE, failure.code, detail, request.scope["path"])
    return _response(problem, RETRY_AFTER_SECONDS)


def _on_lost_bytes(request: Request[Any, Any, Any], failure: BlobMissing | BlobCorrupt) -> Response[Problem]:
    path = request.scope["path"]
    _log.error("stored_bytes_lost", code=failure.code, path=path, reason=str(failure))
    what = "are no longer in" if isinstance(failure, BlobMissing) else "have been changed in"
    detail = f"the bytes of it {what} the factory's blob store: have its operator bring them back, or order it again"
    return _response(_problem(HTTPStatus.INTERNAL_SERVER_ERROR, failure.code, detail, path), None)


def on_http_exception(request: Request[Any, Any, Any], failure: HTTPException) -> Response[Problem]:
    """The framework's own: unknown address, method, query, body too large."""
    path = request.scope["path"]
    match HTTPStatus(failure.status_code):
        case HTTPStatus.NOT_FOUND:
            problem = _problem(HTTPStatus.NOT_FOUND, "no_such_address", f"there is nothing at {path}; see /schema", path)
        case HTTPStatus.METHOD_NOT_ALLOWED:
            problem = _problem(
                HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", f"{path} has no {request.method}; see /schema", path
            )
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            problem = problem_of(body_too_large(), instance=path)
        case HTTPStatus.BAD_REQUEST if isinstance(failure, ValidationException) and _lacks_body(failure):
            problem = problem_of(MalformedBody("the body is empty: send a JSON object"), instance=path)
        case HTTPStatus.BAD_REQUEST if isinstance(failure, ValidationException):
            problem = _problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "invalid_input",
                "a parameter of the address is wrong",
                path,
                _mistakes(failure, request.route_handler),
            )
        case HTTPStatus.INTERNAL_SERVER_ERROR if failure.detail == _CUT_OFF:
            problem = problem_of(MalformedBody("the connection ended before the body did"), instance=path)
        case status if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            problem = _problem(HTTPStatus.BAD_REQUEST, "malformed_request", "the request cannot be read", path)
        case _:
            return on_bug(request, failure)
    response = _response(problem, None)
    if failure.headers and "allow" in {name.lower() for name in failure.headers}:
        response.headers.update({name: value for name, value in failure.headers.items() if name.lower() == "allow"})
    return response


def on_bug(request: Request[Any, Any, Any], failure: Exception) -> Response[Problem]:
    _log.error("request_failed", path=request.scope["path"], method=request.method, exc_info=failure)
    problem = _problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        "this is a mistake of ours; it has been logged",
        request.scope["path"],
    )
    return _response(problem, None)


def body_too_large(allowed: str = "1 MiB for JSON, 4 MiB for a batch and 50 MiB for a document") -> BodyTooLarge:
    message = f"the body is larger than allowed: {allowed}"
    mistake = FieldMistake(field="body", message="is too large", mend=f"send at most {allowed}")
    return BodyTooLarge(message, mistakes=(mistake,))


def _status_of(failure: KamFailure) -> HTTPStatus:
    if isinstance(failure, Refused):
        known = _STATUS_OF_REFUSAL.get(failure.code)
        if known is not None:
            return known
        return HTTPStatus.UNPROCESSABLE_ENTITY if failure.retry_after_seconds is None else HTTPStatus.TOO_MANY_REQUESTS
    return next((status for kind, status in _STATUS_OF_FAILURE if isinstance(failure, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def _lacks_body(failure: ValidationException) -> bool:
    """The framework calls an absent body a missing argument `data`."""
    return any(item.get("key") == "data" for item in _said_of_parameters(failure))


def _mistakes(failure: ValidationException, handler: BaseRouteHandler) -> tuple[FieldMistake, ...]:
    kinds = {info.name: info.type for info in msgspec.structs.fields(handler.signature_model)}
    return tuple(
        FieldMistake(
            field=_as_asked(str(item.get("key", "")), handler),
            message=without_pattern(str(item.get("message", ""))),
            mend=wanted(msgspec.inspect.type_info(kinds.get(str(item.get("key")), Any))),
        )
        for item in _said_of_parameters(failure)
    )


def _as_asked(name: str, handler: BaseRouteHandler) -> str:
    """A parameter's name in the address or the headers: the framework says the one that it has in our code."""
    parameter = handler.parsed_fn_signature.parameters.get(name)
    kind = None if parameter is None else parameter.kwarg_definition
    return (kind.name if isinstance(kind, ParameterKwarg) else None) or name


def _said_of_parameters(failure: ValidationException) -> list[dict[str, Any]]:
    return [item for item in failure.extra if isinstance(item, dict)] if isinstance(failure.extra, list) else []


def _problem(status: HTTPStatus, code: str, detail: str, instance: str, errors: tuple[FieldMistake, ...] = ()) -> Problem:
    return Problem(
        type=f"{PROBLEM_TYPE}{code}",
        title=_TITLES.get(status, status.phrase),
        status=int(status),
        detail=_SHAPES.text(detail),
        instance=_SHAPES.text(instance),
        errors=tuple(
            FieldMistake(field=_SHAPES.text(each.field), message=_SHAPES.text(each.message), mend=each.mend) for each in errors
        ),
    )


def _response(problem: Problem, retry_after_seconds: int | None) -> Response[Problem]:
    headers = _come_again(retry_after_seconds)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'ApiKey header="X-API-Key"'
    return Response(problem, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def _come_again(retry_after_seconds: int | None) -> dict[str, str]:
    return {} if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}
