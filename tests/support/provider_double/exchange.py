"""One call as the double understands it, whatever wire it came over."""

import json
from datetime import datetime
from math import ceil
from typing import Any

import msgspec
from msgspec import Struct

from support.provider_double.answers import answer_text
from support.provider_double.bill import CHEAPER_MODELS, BillEntry
from support.provider_double.faults import FaultKind

_IMPOSSIBLE_TOKENS = 1_000_000_000


class Prompt(Struct, frozen=True, kw_only=True):
    """What a wire reads out of a request."""

    model: str
    texts: list[str]
    schema: dict[str, Any] | None
    max_output_tokens: int
    streams: bool


class HiddenUsage(Struct, frozen=True, kw_only=True):
    """Tokens that a prompt and an answer do not show."""

    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


class Exchange(Struct, frozen=True, kw_only=True):
    text: str
    is_truncated: bool
    entry: BillEntry
    """What is billed."""
    told: BillEntry | None
    """What the answer says was used, None when it says nothing."""
    fault: FaultKind | None


def exchange(
    *,
    prompt: Prompt,
    provider: str,
    fault: FaultKind | None,
    response_id: str,
    client_request_id: str | None,
    at: datetime,
    hidden: HiddenUsage,
) -> Exchange:
    """The answer to a prompt, and what it costs: a token is a word of the prompt or four characters of the answer."""
    text = answer_text("\n".join(prompt.texts), prompt.schema)
    if fault is FaultKind.BROKEN_JSON:
        text = text[:-1]
    elif fault is FaultKind.BREAKS_SCHEMA:
        text = json.dumps({"unexpected": True})
    is_truncated = fault is FaultKind.TRUNCATED or ceil(len(text) / 4) + hidden.reasoning_tokens > prompt.max_output_tokens
    if is_truncated:
        text = text[: min(len(text) // 2, max(0, prompt.max_output_tokens - hidden.reasoning_tokens) * 4)]
    entry = BillEntry(
        response_id=response_id,
        provider=provider,
        model=CHEAPER_MODELS.get(prompt.model, "another-model") if fault is FaultKind.WRONG_MODEL else prompt.model,
        client_request_id=client_request_id,
        at=at,
        input_tokens=sum(len(part.split()) for part in prompt.texts),
        cache_read_tokens=hidden.cache_read_tokens,
        cache_write_tokens=hidden.cache_write_tokens,
        output_tokens=ceil(len(text) / 4) + hidden.reasoning_tokens,
        reasoning_tokens=hidden.reasoning_tokens,
    )
    return Exchange(
        text=text,
        is_truncated=is_truncated,
        entry=entry,
        told=_told(entry, fault),
        fault=fault,
    )


def pieces(text: str) -> list[str]:
    """The answer as a stream brings it."""
    return [text[i : i + 40] for i in range(0, len(text), 40)]


def _told(entry: BillEntry, fault: FaultKind | None) -> BillEntry | None:
    match fault:
        case FaultKind.NO_USAGE:
            return None
        case FaultKind.NEGATIVE_USAGE:
            return msgspec.structs.replace(entry, input_tokens=-entry.input_tokens - entry.prompt_tokens)
        case FaultKind.HUGE_USAGE:
            return msgspec.structs.replace(entry, input_tokens=_IMPOSSIBLE_TOKENS)
        case FaultKind.CONTRADICTORY_USAGE:
            return msgspec.structs.replace(entry, reasoning_tokens=entry.output_tokens + 1)
        case FaultKind.LYING_USAGE:
            return msgspec.structs.replace(entry, input_tokens=entry.input_tokens + 3, output_tokens=entry.output_tokens + 2)
    return entry
