"""What a call costs: at most before it is made, likely for an estimate, exactly once its usage is known."""

from decimal import Decimal

import msgspec
from msgspec import Struct

from aif_ai.registry import Candidate, CostUnit
from aif_ai.requests import AudioInput, CapabilityInput, GenerationRequest, Message, StructuringTask, TextInput
from aif_contracts.metering import Tokens
from aif_prices.book import Price

_OVERHEAD_TOKENS = 2_048
"""Input tokens that a provider may add of its own: wrappers of messages, instructions for the schema."""
_CHARACTERS_PER_TOKEN = 4
_SLOWEST_BYTES_PER_SECOND = 500
"""Of audio whose headers do not tell its length: 4 kbit/s, below any codec for speech in use."""
_AUDIO_TOLERANCE_MS = 2_000
"""Providers and headers measure differently, and some providers round up."""


class CallSize(Struct, frozen=True, kw_only=True):
    """The most that a call can use."""

    input_tokens: int = 0
    output_tokens: int = 0
    audio_ms: int = 0
    characters: int = 0


class CostEstimate(Struct, frozen=True, kw_only=True):
    unit: CostUnit
    likely_usd: Decimal | None
    """None when the model has no price."""
    at_most_usd: Decimal | None


def largest_size(
    messages: tuple[Message, ...], schema: dict[str, object] | None, given: CapabilityInput | None, output_tokens: int
) -> CallSize:
    """No token is shorter than a byte, so bytes bound tokens without trusting a tokenizer."""
    input_tokens = 0
    if messages:
        input_tokens = len(msgspec.json.encode(messages)) + _OVERHEAD_TOKENS
        if schema is not None:
            input_tokens += len(msgspec.json.encode(schema))
    return CallSize(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        audio_ms=longest_audio_ms(given),
        characters=characters_of(given),
    )


def longest_audio_ms(given: CapabilityInput | None) -> int:
    """0 for what is no audio."""
    if not isinstance(given, AudioInput):
        return 0
    by_bytes = len(given.data) * 1_000 // _SLOWEST_BYTES_PER_SECOND
    told = given.duration_ms if given.duration_ms is not None else by_bytes
    return told + _AUDIO_TOLERANCE_MS


def characters_of(given: CapabilityInput | None) -> int:
    return len(given.text) if isinstance(given, TextInput) else 0


def bound_of(price: Price, size: CallSize) -> Decimal:
    return price.upper_bound(
        input_tokens=size.input_tokens,
        output_tokens=size.output_tokens,
        audio_ms=size.audio_ms,
        characters=size.characters,
    )


def cost_of(price: Price, tokens: Tokens, *, audio_ms: int, characters: int) -> Decimal:
    return price.cost(tokens, audio_ms=audio_ms, characters=characters)


def estimate(request: GenerationRequest, candidate: Candidate) -> CostEstimate:
    """What a request would cost with a model, without asking it: four characters to a token, half of the output limit."""
    if candidate.price is None:
        return CostEstimate(unit=candidate.cost_unit, likely_usd=None, at_most_usd=None)
    by_messages = candidate.cost_unit is CostUnit.TOKEN
    messages = request.messages if by_messages else ()
    given = None if by_messages or isinstance(request.input, StructuringTask) else request.input
    size = largest_size(messages, request.schema, given, request.max_output_tokens)
    prompt = sum(len(message.text) for message in messages) // _CHARACTERS_PER_TOKEN
    written = request.max_output_tokens // 2 if by_messages else 0
    likely = cost_of(
        candidate.price,
        Tokens(prompt_tokens=prompt, completion_tokens=written, total_tokens=prompt + written),
        audio_ms=max(0, size.audio_ms - _AUDIO_TOLERANCE_MS),
        characters=size.characters,
    )
    return CostEstimate(unit=candidate.cost_unit, likely_usd=likely, at_most_usd=bound_of(candidate.price, size))
