"""What the double's provider would invoice: its own books, kept apart from everything under test."""

from datetime import UTC, datetime
from decimal import Decimal

from msgspec import Struct


class TokenRates(Struct, frozen=True, kw_only=True):
    """US dollars for a million tokens."""

    input: Decimal
    cache_read: Decimal
    cache_write: Decimal
    output: Decimal


def _rates(input: str, cache_read: str, cache_write: str, output: str) -> TokenRates:
    return TokenRates(
        input=Decimal(input), cache_read=Decimal(cache_read), cache_write=Decimal(cache_write), output=Decimal(output)
    )


TOKEN_RATES = {
    "gpt-4o-mini": _rates("0.15", "0.075", "0.15", "0.6"),
    "gpt-4o": _rates("2.5", "1.25", "2.5", "10"),
    "gpt-5-mini": _rates("0.25", "0.025", "0.25", "2"),
    "claude-sonnet-5-5": _rates("2", "0.1", "2.5", "10"),
    "claude-haiku-4-5": _rates("1", "0.1", "1.25", "5"),
    "gpt-5-nano": _rates("0.05", "0.005", "0.05", "0.4"),
    "claude-haiku-5-5": _rates("0.1", "0.01", "0.125", "0.5"),
}
"""Written down here a second time on purpose."""
CHEAPER_MODELS = {
    "gpt-4o": "gpt-4o-mini",
    "gpt-4o-mini": "gpt-5-nano",
    "claude-sonnet-5-5": "claude-haiku-4-5",
    "claude-haiku-4-5": "claude-haiku-5-5",
}
"""Which model stands in for another when the provider has too few of it."""
_SMALLEST_USD = Decimal("0.000000000001")
"""What is charged by time has no end of decimals; it is rounded to the nearest of these."""
AUDIO_MINUTE_USD = {"nova-3": Decimal("0.0043"), "nova-2": Decimal("0.0043")}


class BillEntry(Struct, frozen=True, kw_only=True):
    """One billed call. `input_tokens` are those that were neither read from nor written to a cache."""

    response_id: str
    model: str
    provider: str = "openai"
    client_request_id: str | None = None
    """The client's own name of the call, when it sent one."""
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    """Reasoning included."""
    reasoning_tokens: int = 0
    audio_ms: int = 0

    @property
    def prompt_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def cost_usd(self) -> Decimal:
        """Nothing for a model that the double has no price for: such a one stands on a machine of the operator's own."""
        return sum(self.cost_lines.values(), Decimal(0))

    @property
    def cost_lines(self) -> dict[str, Decimal]:
        """US dollars for each kind of usage."""
        if self.model in AUDIO_MINUTE_USD:
            minutes = AUDIO_MINUTE_USD[self.model] * self.audio_ms / 60_000
            return {"audio": minutes.quantize(_SMALLEST_USD)}
        rates = TOKEN_RATES.get(self.model)
        if rates is None:
            return {}
        return {
            "input": self.input_tokens * rates.input / 1_000_000,
            "cache_read": self.cache_read_tokens * rates.cache_read / 1_000_000,
            "cache_write": self.cache_write_tokens * rates.cache_write / 1_000_000,
            "output": self.output_tokens * rates.output / 1_000_000,
        }
