"""Whether a provider's word about what a call used can be true.

Money is settled by it, so that counts which contradict themselves, or go beyond what was asked for, are taken for no counts
at all: the call's cost is then unknown, at most its bound, until the bill tells.
"""

import re

from aif_ai.call_costs import largest_size, longest_audio_ms
from aif_ai.provider import ModelCall
from aif_contracts.metering import Tokens

_VERSION = re.compile(r"(?:-0)?(?:-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest|\d{3}))?(?:-v\d+(?::\d+)?)?$")


def credible_tokens(tokens: Tokens | None, call: ModelCall) -> Tokens | None:
    """The counts, or None when they cannot be true for this call or there are none."""
    if tokens is None:
        return None
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
    largest = largest_size(call.messages, call.schema, call.input, call.max_output_tokens)
    if tokens.prompt_tokens > largest.input_tokens or tokens.completion_tokens > largest.output_tokens:
        return None
    return tokens


def credible_audio_ms(seconds: float, call: ModelCall) -> int | None:
    """The length in milliseconds, or None when the call's audio cannot be so long."""
    length_ms = seconds * 1_000
    return round(length_ms) if 0 <= length_ms <= longest_audio_ms(call.input) else None


def is_same_model(asked: str, answered: str) -> bool:
    """Whether an answer is of the model that was asked, whose full name may have a vendor before it and a version after."""
    return _family(asked) == _family(answered)


def _family(model: str) -> str:
    return _VERSION.sub("", model.rpartition("/")[2].removeprefix("anthropic."))
