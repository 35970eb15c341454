"""Chat completions as OpenAI sends them."""

import json
from typing import Any

from support.provider_double.bill import BillEntry
from support.provider_double.exchange import Exchange, Prompt, pieces
from support.provider_double.faults import FaultKind

PROVIDER = "openai"
REQUEST_ID_HEADER = "x-request-id"
LAST_LINE = b"data: [DONE]\n\n"
Event = tuple[str | None, dict[str, Any]]

_ERRORS: dict[FaultKind, tuple[int, str, str | None, str]] = {
    FaultKind.RATE_LIMITED: (429, "requests", "rate_limit_exceeded", "Rate limit reached for requests per minute (RPM)."),
    FaultKind.NO_CREDIT: (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
    FaultKind.SERVER_ERROR: (500, "server_error", None, "The server had an error while processing your request."),
    FaultKind.UNAVAILABLE: (503, "server_error", None, "The engine is currently overloaded."),
    FaultKind.OVERLOADED: (503, "server_error", None, "That model is currently overloaded with other requests."),
    FaultKind.UNAUTHORIZED: (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    FaultKind.CONTEXT_TOO_LONG: (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 128000 tokens.",
    ),
}
"""Status, type, code, message."""


def error(kind: FaultKind, request_id: str) -> tuple[int, dict[str, Any]]:
    """Status and body of an error answer; the request's id stands in a header here."""
    status, type_, code, message = _ERRORS[kind]
    parameter = "messages" if kind is FaultKind.CONTEXT_TOO_LONG else None
    return status, {"error": {"message": message, "type": type_, "param": parameter, "code": code}}


def is_wrong_key(headers: dict[str, str]) -> bool:
    return headers.get("authorization", "").startswith("Bearer sk-wrong")


def prompt(body: bytes) -> tuple[Prompt, dict[str, Any]]:
    """The request as the double reads it, and as it was sent."""
    sent = json.loads(body)
    form = sent.get("response_format") or {}
    return Prompt(
        model=sent["model"],
        texts=[message["content"] for message in sent["messages"]],
        schema=form["json_schema"]["schema"] if form.get("type") == "json_schema" else None,
        max_output_tokens=sent.get("max_completion_tokens") or sent.get("max_tokens") or 4_096,
        streams=bool(sent.get("stream")),
    ), sent


def whole(exchange: Exchange) -> dict[str, Any]:
    return {
        "id": exchange.entry.response_id,
        "object": "chat.completion",
        "created": int(exchange.entry.at.timestamp()),
        "model": exchange.entry.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": exchange.text, "refusal": None},
                "finish_reason": _finish(exchange),
                "logprobs": None,
            }
        ],
        **({"usage": _usage(exchange.told)} if exchange.told else {}),
    }


def opening_events(exchange: Exchange) -> list[Event]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if exchange.fault is FaultKind.REFUSAL:
        deltas.append({"refusal": "I cannot help with that."})
    else:
        deltas.extend({"content": piece} for piece in pieces(exchange.text))
    return [(None, _chunk(exchange, delta, None)) for delta in deltas]


def closing_events(exchange: Exchange) -> list[Event]:
    events: list[Event] = [(None, _chunk(exchange, {}, _finish(exchange)))]
    if exchange.told is not None:
        events.append((None, {**_chunk(exchange, {}, None), "choices": [], "usage": _usage(exchange.told)}))
    return events


def error_event() -> Event:
    return None, error(FaultKind.SERVER_ERROR, "")[1]


def _usage(told: BillEntry) -> dict[str, Any]:
    return {
        "prompt_tokens": told.prompt_tokens,
        "completion_tokens": told.output_tokens,
        "total_tokens": told.prompt_tokens + told.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": told.cache_read_tokens,
            "cache_write_tokens": told.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {"reasoning_tokens": told.reasoning_tokens, "audio_tokens": 0},
    }


def _chunk(exchange: Exchange, delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {
        "id": exchange.entry.response_id,
        "object": "chat.completion.chunk",
        "created": int(exchange.entry.at.timestamp()),
        "model": exchange.entry.model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}],
        "usage": None,
    }


def _finish(exchange: Exchange) -> str:
    return "length" if exchange.is_truncated else "stop"
