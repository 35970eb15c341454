"""What can go wrong with prices.

PriceFailure
└── PriceBookInvalid      price data contradicts itself
"""


class PriceFailure(Exception):
    """Root of this package's failures."""


class PriceBookInvalid(PriceFailure):
    pass
