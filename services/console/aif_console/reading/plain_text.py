"""Texts and amounts as a terminal may show them."""

import os
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from aif_contracts.money import UsdText, usd

_SHOWN = Decimal("0.000001")
_CENTS = Decimal("0.01")


def plain(text: str) -> str:
    """Without control characters: what a document or a model wrote must not steer the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def dollars(amount: UsdText | None, *, is_complete: bool = True) -> str:
    """Rounded to a millionth, two decimals at least; this is where money is rounded, for a reader."""
    if amount is None:
        return "unknown"
    exact = usd(amount)
    least = "" if is_complete else "at least "
    if 0 < exact < _SHOWN / 2:
        return f"{least}under ${_SHOWN:f}"
    rounded = exact.quantize(_SHOWN, rounding=ROUND_HALF_UP)
    digits = f"{rounded:.2f}" if rounded == rounded.quantize(_CENTS) else f"{rounded:f}".rstrip("0")
    return f"{least}${digits}"


def milliseconds(amount: int) -> str:
    """From ten seconds on in seconds."""
    return f"{amount} ms" if amount < 10_000 else f"{amount / 1000:.1f} s"


def short_path(path: Path) -> str:
    """As short as it can be from here, to be copied into a command."""
    here = Path(os.curdir).resolve()
    return str(path.relative_to(here)) if path.is_relative_to(here) and path != here else str(path)
