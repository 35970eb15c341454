"""Whether a provider's word about what a call used can be true.

Money is settled by it, so that counts which contradict themselves, or go beyond what was asked for, are taken for no counts
at all: the call's cost is then unknown, at most its bound, until the bill tells.
"""

import re
from typing import Any

import msgspec

from aif_contracts.metering import Tokens

_ADDED_INPUT_TOKENS = 2_048
"""That a provider may add of its own: wrappers of messages, instructions for the schema."""
_ADDED_OUTPUT_TOKENS = 64
_SHORTEST_AUDIO_MS_PER_BYTE = 12
"""No speech is packed closer than into 83 bytes for a second."""
_VERSION = re.compile(r"(?:-0)?(?:-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest|\d{3}))?(?:-v\d+(?::\d+)?)?$")


def credible_tokens(tokens: Tokens, request: dict[str, Any], max_output_tokens: int) -> Tokens | None:
    """The counts, or None when they cannot be true for this request."""
    parts = (
        tokens.prompt_tokens,
        tokens.completion_tokens,
        tokens.cache_read_tokens,
        tokens.cache_write_tokens,
        tokens.reasoning_tokens,
    )
    if any(type(count) is not int or count < 0 for count in parts):
        return None
    if tokens.cache_read_tokens + tokens.cache_write_tokens > tokens.prompt_tokens:
        return None
    if tokens.reasoning_tokens > tokens.completion_tokens:
        return None
    if tokens.total_tokens != tokens.prompt_tokens + tokens.completion_tokens:
        return None
    if tokens.completion_tokens > max_output_tokens + _ADDED_OUTPUT_TOKENS:
        return None
    # No token is shorter than a byte, so bytes bound tokens without trusting a tokenizer.
    if tokens.prompt_tokens > len(msgspec.json.encode(request)) + _ADDED_INPUT_TOKENS:
        return None
    return tokens


def credible_audio_ms(seconds: float, *, size_bytes: int, known_ms: int | None) -> int | None:
    """The length in milliseconds, or None when audio of this size cannot be so long."""
    longest = size_bytes * _SHORTEST_AUDIO_MS_PER_BYTE if known_ms is None else known_ms + known_ms // 20 + 1_000
    if not 0 <= seconds * 1_000 <= longest:
        return None
    return round(seconds * 1_000)


def is_same_model(asked: str, answered: str) -> bool:
    """Whether an answer is of the model that was asked, whose full name may have a vendor before it and a version after."""
    return _family(asked) == _family(answered)


def _family(model: str) -> str:
    return _VERSION.sub("", model.rpartition("/")[2].removeprefix("anthropic."))
