"""Money is exact: `Decimal` in memory, NUMERIC in Postgres, plain text on the wire. Never float.

On the wire an amount is a string such as `"0.0001875"`: digits and at most one point, no exponent, at most 12 decimals, so
that every reader in every language sees the same amount. A JSON number is refused, because a reader may have turned it into
a binary fraction on the way.
"""

from decimal import Decimal
from typing import Annotated

from msgspec import Meta

UsdText = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,12}(\.[0-9]{1,12})?$(?!\n)",
        description='US dollars as decimal text, for example "0.0001875"',
        examples=["0.0001875"],
    ),
]
"""US dollars on the wire, never below zero: nobody is paid for work that costs money."""

SignedUsdText = Annotated[
    str,
    Meta(
        pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,12})?$(?!\n)",
        description="A change of an amount in US dollars, as decimal text",
        examples=["-0.0001875"],
    ),
]

ZERO = Decimal(0)
_SMALLEST = Decimal("0.000000000001")


def usd_text(amount: Decimal) -> str:
    """The wire form of an amount, exact to 12 decimals.

    Raises ValueError for an amount that 12 decimals cannot hold: rounding happens once, where a human reads.
    """
    if not amount:
        return "0"
    kept = amount.quantize(_SMALLEST)
    if kept != amount:
        raise ValueError(f"{amount} USD has more than 12 decimals and cannot be sent exactly")
    text = f"{kept:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def usd(text: str) -> Decimal:
    """The amount behind its wire form."""
    # Most amounts by far are nothing: local providers cost nothing, and what costs has lines that do not.
    return ZERO if text == "0" else Decimal(text)
