"""Messages as Anthropic sends them."""

from typing import Any

from support.provider_double.exchange import Exchange, pieces
from support.provider_double.faults import FaultKind


def request_parts(body: dict[str, Any]) -> tuple[list[str], dict[str, Any] | None, int]:
    """Texts, schema and output limit of a request."""
    form = (body.get("output_config") or {}).get("format") or {}
    schema = form["schema"] if form.get("type") == "json_schema" else None
    texts = [body["system"]] if "system" in body else []
    return [*texts, *(message["content"] for message in body["messages"])], schema, body["max_tokens"]


def usage(exchange: Exchange) -> dict[str, Any]:
    entry = exchange.entry
    sign = -1 if exchange.fault is FaultKind.NEGATIVE_USAGE else 1
    return {
        "input_tokens": sign * entry.input_tokens,
        "cache_read_input_tokens": entry.cache_read_tokens,
        "cache_creation_input_tokens": entry.cache_write_tokens,
        "output_tokens": entry.output_tokens,
    }


def whole(exchange: Exchange) -> dict[str, Any]:
    return {
        **_message(exchange),
        "content": [{"type": "text", "text": exchange.text}],
        "stop_reason": _stop(exchange),
        "usage": usage(exchange),
    }


def opening_events(exchange: Exchange) -> list[tuple[str | None, dict[str, Any]]]:
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**_message(exchange), "usage": {**usage(exchange), "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    if exchange.fault is not FaultKind.REFUSAL:
        events.extend(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
            for piece in pieces(exchange.text)
        )
    return [(event["type"], event) for event in events]


def closing_events(exchange: Exchange) -> list[tuple[str | None, dict[str, Any]]]:
    ending: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": _stop(exchange), "stop_sequence": None}}
    if exchange.fault is not FaultKind.NO_USAGE:
        ending["usage"] = {"output_tokens": exchange.entry.output_tokens}
    events: list[dict[str, Any]] = [{"type": "content_block_stop", "index": 0}, ending, {"type": "message_stop"}]
    return [(event["type"], event) for event in events]


def error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def _message(exchange: Exchange) -> dict[str, Any]:
    return {
        "id": exchange.entry.response_id,
        "type": "message",
        "role": "assistant",
        "model": exchange.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _stop(exchange: Exchange) -> str:
    if exchange.fault is FaultKind.REFUSAL:
        return "refusal"
    return "max_tokens" if exchange.is_truncated else "end_turn"
