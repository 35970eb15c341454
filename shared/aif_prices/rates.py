"""What a call costs: rates for each kind of use, and exact arithmetic over them.

Uncached input, cache reads, cache writes, output, reasoning, audio, characters and the call itself are priced apart. A rate
that is None is not charged, except where its line says that it stands for another one.
"""

from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

from msgspec import Struct

from aif_contracts.metering import Tokens
from aif_contracts.money import ZERO

MS_PER_HOUR = 3_600_000
_SMALLEST = Decimal("0.000000000001")
"""What an amount on the wire can hold. Only audio can need more digits: an hour has 3,600,000 ms."""

FREE_VERSION = "free"


class Rates(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """US dollars. Those of tokens are for `per_tokens` of them, a million in the lists that are shipped."""

    input: Decimal | None = None
    cache_read: Decimal | None = None
    """None when reading a cache costs as much as any input."""
    cache_write: Decimal | None = None
    """None when writing a cache costs as much as any input."""
    output: Decimal | None = None
    reasoning: Decimal | None = None
    """None when reasoning costs as much as any output."""
    audio_hour: Decimal | None = None
    """For an hour of audio, by the millisecond. An hour, because what is told by the minute is exact by the hour, and what is
    told by the hour often is not by the minute."""
    character: Decimal | None = None
    """For one character."""
    call: Decimal | None = None
    """For one call, whatever is in it."""


class LongInputRates(Rates, frozen=True, kw_only=True, omit_defaults=True):
    """Rates for the whole call when its input is longer than `above_tokens`."""

    above_tokens: int


class Price(Struct, frozen=True, kw_only=True):
    """The price of one model on one day."""

    version: str
    """Names provider, model and the first day of validity; booked with every call."""
    rates: Rates
    per_tokens: int
    long_input: LongInputRates | None = None

    def cost(self, tokens: Tokens, *, audio_ms: int = 0, characters: int = 0) -> Decimal:
        """US dollars for one call's use, exact to 12 decimals. Cached tokens are part of the prompt tokens, reasoning of the
        completion tokens."""
        rates = self._rates(tokens.prompt_tokens)
        plain = max(0, tokens.prompt_tokens - tokens.cache_read_tokens - tokens.cache_write_tokens)
        written = max(0, tokens.completion_tokens - tokens.reasoning_tokens)
        by_tokens = (
            plain * _charged(rates.input)
            + tokens.cache_read_tokens * _charged(rates.cache_read, rates.input)
            + tokens.cache_write_tokens * _charged(rates.cache_write, rates.input)
            + written * _charged(rates.output)
            + tokens.reasoning_tokens * _charged(rates.reasoning, rates.output)
        )
        return (by_tokens / self.per_tokens + _otherwise(rates, audio_ms, characters)).quantize(_SMALLEST, ROUND_HALF_EVEN)

    def upper_bound(self, *, input_tokens: int = 0, output_tokens: int = 0, audio_ms: int = 0, characters: int = 0) -> Decimal:
        """The most that a call can cost with at most so much use of each kind, however it is cached."""
        candidates = [self.rates]
        if self.long_input is not None and input_tokens > self.long_input.above_tokens:
            candidates.append(self.long_input)
        dearest = max(
            (
                input_tokens * _dearest((rates.input, rates.cache_read, rates.cache_write))
                + output_tokens * _dearest((rates.output, rates.reasoning))
            )
            / self.per_tokens
            + _otherwise(rates, audio_ms, characters)
            for rates in candidates
        )
        return dearest.quantize(_SMALLEST, ROUND_CEILING)

    def _rates(self, input_tokens: int) -> Rates:
        if self.long_input is not None and input_tokens > self.long_input.above_tokens:
            return self.long_input
        return self.rates


FREE = Price(version=FREE_VERSION, rates=Rates(), per_tokens=1)


def _charged(rate: Decimal | None, otherwise: Decimal | None = None) -> Decimal:
    if rate is not None:
        return rate
    return ZERO if otherwise is None else otherwise


def _dearest(rates: Iterable[Decimal | None]) -> Decimal:
    return max((rate for rate in rates if rate is not None), default=ZERO)


def _otherwise(rates: Rates, audio_ms: int, characters: int) -> Decimal:
    """What is not charged by tokens."""
    by_audio = audio_ms * _charged(rates.audio_hour) / MS_PER_HOUR
    return by_audio + characters * _charged(rates.character) + _charged(rates.call)
