"""What can go wrong with prices.

PriceFailure
├── PriceBookInvalid      price data contradicts itself
└── OverridesInvalid      an operator's prices are not what they have to be
"""

from collections.abc import Sequence

from msgspec import Struct


class PriceMistake(Struct, frozen=True, kw_only=True):
    field: str
    """Path in the document, for example `prices[0].rates.input`."""
    message: str
    mend: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}. {self.mend}"


class PriceFailure(Exception):
    """Root of this package's failures."""


class PriceBookInvalid(PriceFailure):
    pass


class OverridesInvalid(PriceFailure):
    def __init__(self, mistakes: Sequence[PriceMistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(str(mistake) for mistake in mistakes))
