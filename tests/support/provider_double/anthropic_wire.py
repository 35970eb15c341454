"""Messages as Anthropic sends them."""

import json
from typing import Any

from support.provider_double.bill import BillEntry
from support.provider_double.exchange import Exchange, Prompt, pieces
from support.provider_double.faults import FaultKind

PROVIDER = "anthropic"
REQUEST_ID_HEADER = "request-id"
LAST_LINE = b""
Event = tuple[str | None, dict[str, Any]]

_ERRORS = {
    FaultKind.RATE_LIMITED: (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    FaultKind.NO_CREDIT: (402, "billing_error", "Your credit balance is too low."),
    FaultKind.SERVER_ERROR: (500, "api_error", "Internal server error"),
    FaultKind.UNAVAILABLE: (503, "api_error", "Service unavailable"),
    FaultKind.OVERLOADED: (529, "overloaded_error", "Overloaded"),
    FaultKind.UNAUTHORIZED: (401, "authentication_error", "invalid x-api-key"),
    FaultKind.CONTEXT_TOO_LONG: (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
}
"""Status, type, message."""


def error(kind: FaultKind, request_id: str) -> tuple[int, dict[str, Any]]:
    """Status and body of an error answer."""
    status, type_, message = _ERRORS[kind]
    return status, {"type": "error", "error": {"type": type_, "message": message}, "request_id": request_id}


def is_wrong_key(headers: dict[str, str]) -> bool:
    """Either header holds the key."""
    return "sk-wrong" in (headers.get("x-api-key", ""), headers.get("authorization", "").removeprefix("Bearer "))


def prompt(body: bytes) -> tuple[Prompt, dict[str, Any]]:
    """The request as the double reads it, and as it was sent."""
    sent = json.loads(body)
    form = (sent.get("output_config") or {}).get("format") or {}
    texts = [sent["system"]] if "system" in sent else []
    return Prompt(
        model=sent["model"],
        texts=[*texts, *(message["content"] for message in sent["messages"])],
        schema=form["schema"] if form.get("type") == "json_schema" else None,
        max_output_tokens=sent["max_tokens"],
        streams=bool(sent.get("stream")),
    ), sent


def whole(exchange: Exchange) -> dict[str, Any]:
    return {
        **_message(exchange),
        "content": [{"type": "text", "text": exchange.text}],
        "stop_reason": _stop(exchange),
        "usage": _usage(exchange.told or exchange.entry),
    }


def opening_events(exchange: Exchange) -> list[Event]:
    told = exchange.told or exchange.entry
    opening = {**_usage(told), "output_tokens": 1}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**_message(exchange), "usage": opening}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
    ]
    if exchange.fault is not FaultKind.REFUSAL:
        events.extend(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
            for piece in pieces(exchange.text)
        )
    return [(event["type"], event) for event in events]


def closing_events(exchange: Exchange) -> list[Event]:
    ending: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": _stop(exchange), "stop_sequence": None}}
    if exchange.told is not None:
        ending["usage"] = {
            "output_tokens": exchange.told.output_tokens,
            "output_tokens_details": {"thinking_tokens": exchange.told.reasoning_tokens},
        }
    events: list[dict[str, Any]] = [{"type": "content_block_stop", "index": 0}, ending, {"type": "message_stop"}]
    return [(event["type"], event) for event in events]


def error_event() -> Event:
    return "error", error(FaultKind.OVERLOADED, "req-in-stream")[1]


def _usage(told: BillEntry) -> dict[str, Any]:
    return {
        "input_tokens": told.input_tokens,
        "cache_read_input_tokens": told.cache_read_tokens,
        "cache_creation_input_tokens": told.cache_write_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": told.cache_write_tokens, "ephemeral_1h_input_tokens": 0},
        "output_tokens": told.output_tokens,
        "output_tokens_details": {"thinking_tokens": told.reasoning_tokens},
        "service_tier": "standard",
    }


def _message(exchange: Exchange) -> dict[str, Any]:
    return {
        "id": exchange.entry.response_id,
        "type": "message",
        "role": "assistant",
        "model": exchange.entry.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _stop(exchange: Exchange) -> str:
    if exchange.fault is FaultKind.REFUSAL:
        return "refusal"
    return "max_tokens" if exchange.is_truncated else "end_turn"
