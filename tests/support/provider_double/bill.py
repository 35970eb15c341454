"""What the double's provider would invoice: its own books, kept apart from everything under test."""

from decimal import Decimal

from msgspec import Struct

RATES = {
    "gpt-4o-mini": {
        "input": Decimal("0.15"),
        "cache_read": Decimal("0.075"),
        "cache_write": Decimal("0.15"),
        "output": Decimal("0.6"),
    },
    "claude-sonnet-5-5": {
        "input": Decimal(2),
        "cache_read": Decimal("0.1"),
        "cache_write": Decimal("2.5"),
        "output": Decimal(10),
    },
}
"""US dollars for a million tokens, written down here a second time on purpose."""


class BillEntry(Struct, frozen=True, kw_only=True):
    """One billed call. `input_tokens` are those that were neither read from nor written to a cache."""

    response_id: str
    model: str
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int

    @property
    def prompt_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def cost_usd(self) -> Decimal:
        rates = RATES[self.model]
        return (
            self.input_tokens * rates["input"]
            + self.cache_read_tokens * rates["cache_read"]
            + self.cache_write_tokens * rates["cache_write"]
            + self.output_tokens * rates["output"]
        ) / 1_000_000
