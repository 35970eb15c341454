"""Chat completions as OpenAI sends them."""

from typing import Any

from support.provider_double.exchange import Exchange, pieces
from support.provider_double.faults import FaultKind


def request_parts(body: dict[str, Any]) -> tuple[list[str], dict[str, Any] | None, int]:
    """Texts, schema and output limit of a request."""
    form = body.get("response_format") or {}
    schema = form["json_schema"]["schema"] if form.get("type") == "json_schema" else None
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or 4_096
    return [message["content"] for message in body["messages"]], schema, limit


def usage(exchange: Exchange) -> dict[str, Any]:
    entry = exchange.entry
    sign = -1 if exchange.fault is FaultKind.NEGATIVE_USAGE else 1
    return {
        "prompt_tokens": sign * entry.prompt_tokens,
        "completion_tokens": entry.output_tokens,
        "total_tokens": entry.prompt_tokens + entry.output_tokens,
        "prompt_tokens_details": {"cached_tokens": entry.cache_read_tokens, "cache_write_tokens": entry.cache_write_tokens},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def whole(exchange: Exchange) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": exchange.entry.response_id,
        "object": "chat.completion",
        "created": 1,
        "model": exchange.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": exchange.text, "refusal": None},
                "finish_reason": _finish(exchange),
                "logprobs": None,
            }
        ],
    }
    if exchange.fault is not FaultKind.NO_USAGE:
        body["usage"] = usage(exchange)
    return body


def opening_events(exchange: Exchange) -> list[tuple[str | None, dict[str, Any]]]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if exchange.fault is FaultKind.REFUSAL:
        deltas.append({"refusal": "I cannot help with that."})
    else:
        deltas.extend({"content": piece} for piece in pieces(exchange.text))
    return [(None, _chunk(exchange, delta, None)) for delta in deltas]


def closing_events(exchange: Exchange) -> list[tuple[str | None, dict[str, Any]]]:
    events: list[tuple[str | None, dict[str, Any]]] = [(None, _chunk(exchange, {}, _finish(exchange)))]
    if exchange.fault is not FaultKind.NO_USAGE:
        events.append((None, {**_chunk(exchange, {}, None), "choices": [], "usage": usage(exchange)}))
    return events


def error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


def _chunk(exchange: Exchange, delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {
        "id": exchange.entry.response_id,
        "object": "chat.completion.chunk",
        "created": 1,
        "model": exchange.model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}],
    }


def _finish(exchange: Exchange) -> str:
    return "length" if exchange.is_truncated else "stop"
