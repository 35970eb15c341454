"""Texts and amounts as a terminal may show them."""

import os
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from aif_contracts.money import SignedUsdText, UsdText, usd

_SHOWN = Decimal("0.000001")
_CENTS = Decimal("0.01")


def plain(text: str) -> str:
    """Without control characters: what a document or a model wrote must not steer the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def dollars(amount: UsdText | SignedUsdText | None, *, is_complete: bool = True) -> str:
    """Rounded to a millionth, two decimals at least; this is where money is rounded, for a reader."""
    if amount is None:
        return "unknown"
    exact = usd(amount)
    if exact == 0 and not is_complete:
        return "unknown"
    if exact < 0:
        return f"-{dollars(amount.removeprefix('-'))}"
    least = "" if is_complete else "at least "
    if 0 < exact < _SHOWN / 2:
        return f"{least}under ${_SHOWN:f}"
    rounded = exact.quantize(_SHOWN, rounding=ROUND_HALF_UP)
    digits = f"{rounded:.2f}" if rounded == rounded.quantize(_CENTS) else f"{rounded:f}".rstrip("0")
    return f"{least}${digits}"


def milliseconds(amount: int) -> str:
    """From ten seconds on in seconds."""
    return f"{amount} ms" if amount < 10_000 else f"{amount / 1000:.1f} s"


def size(size_bytes: int) -> str:
    """From ten thousand bytes on in KiB."""
    return f"{size_bytes} bytes" if size_bytes < 10_000 else f"{size_bytes / 1024:.0f} KiB"


def counted(number: int, thing: str) -> str:
    """`1 stage`, `2 stages`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def in_place_of(fallback_from: str | None, reason: str | None) -> str:
    """`in place of gpt-4o-mini (rate_limited)`; empty for a model that was the first one asked."""
    if fallback_from is None:
        return ""
    return f"in place of {fallback_from}" + (f" ({reason})" if reason else "")


def short_path(path: Path) -> str:
    """As short as it can be from here, to be copied into a command."""
    here = Path(os.curdir).resolve()
    return str(path.relative_to(here)) if path.is_relative_to(here) and path != here else str(path)


def percent(share: float | None) -> str:
    """Of 1, in percent with one decimal."""
    return "-" if share is None else f"{share * 100:.1f} %"
