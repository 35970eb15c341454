"""One call as the double understands it, whatever wire it came over."""

import json
from math import ceil
from typing import Any

from msgspec import Struct

from support.provider_double.answers import answer_text
from support.provider_double.bill import BillEntry
from support.provider_double.faults import FaultKind


class Exchange(Struct, frozen=True, kw_only=True):
    model: str
    text: str
    is_truncated: bool
    entry: BillEntry
    fault: FaultKind | None


def exchange(
    *,
    model: str,
    texts: list[str],
    schema: dict[str, Any] | None,
    max_output_tokens: int,
    fault: FaultKind | None,
    response_id: str,
    cache_read_tokens: int,
    cache_write_tokens: int,
) -> Exchange:
    """The answer to a prompt, and what it costs: a token is a word of the prompt or four characters of the answer."""
    text = answer_text("\n".join(texts), schema)
    if fault is FaultKind.BROKEN_JSON:
        text = text[:-1]
    elif fault is FaultKind.BREAKS_SCHEMA:
        text = json.dumps({"unexpected": True})
    is_truncated = fault is FaultKind.TRUNCATED or ceil(len(text) / 4) > max_output_tokens
    if is_truncated:
        text = text[: min(len(text) // 2, max_output_tokens * 4)]
    entry = BillEntry(
        response_id=response_id,
        model=model,
        input_tokens=sum(len(part.split()) for part in texts),
        cache_read_tokens=cache_read_tokens,
        cache_write_tokens=cache_write_tokens,
        output_tokens=ceil(len(text) / 4),
    )
    return Exchange(model=model, text=text, is_truncated=is_truncated, entry=entry, fault=fault)


def pieces(text: str) -> list[str]:
    """The answer as a stream brings it."""
    return [text[i : i + 40] for i in range(0, len(text), 40)]
