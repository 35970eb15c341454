"""Which prices a command means: the shipped ones, the factory's own beside them, or those of a file."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from aif_console.failures import BadInput, RequestRefused
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.reach import Reach
from aif_console.parameters import read_file
from aif_prices.book import PriceBook
from aif_prices.failures import OverridesInvalid, PriceBookInvalid
from aif_prices.listing import PriceFile, read_price_files, shipped_prices
from aif_prices.overrides import PriceOverrides, read_overrides

KEY = "prices"
_MEND = 'name one provider\'s list as in shared/aif_prices/data, an array of them, or own prices as {"prices": [...]}'


class PriceLists(Struct, frozen=True, kw_only=True):
    files: tuple[PriceFile, ...]
    overrides: PriceOverrides = PriceOverrides()

    def book(self) -> PriceBook:
        return PriceBook(self.files, overrides=self.overrides)


class _Configured(Struct, frozen=True, kw_only=True):
    """The operator's own prices, as the gateway tells them."""

    value: Any = None


def shipped() -> PriceLists:
    return PriceLists(files=shipped_prices())


async def effective(reach: Reach) -> PriceLists:
    """What the factory goes by: the operator's own prices before the shipped ones."""
    async with Gateway(reach.url, reach.key) as gateway:
        return await effective_at(gateway)


async def effective_at(gateway: Gateway) -> PriceLists:
    configured = await gateway.ask("GET", f"/api/admin/config/{KEY}", _Configured)
    if configured.value is None:
        return shipped()
    try:
        own = read_overrides(msgspec.json.encode(configured.value))
    except OverridesInvalid as wrong:
        raise RequestRefused("The factory's own prices cannot be read", str(wrong), ()) from wrong
    return PriceLists(files=shipped_prices(), overrides=own)


def with_file(lists: PriceLists, path: Path, field: str) -> PriceLists:
    """As they would be by the file: a list replaces its provider's, own prices replace all own ones. Raises BadInput."""
    document = read_file(path, field, _MEND)
    try:
        if _has_own_prices(document):
            return PriceLists(files=lists.files, overrides=read_overrides(document))
        new = read_price_files(document, name=str(path))
    except (PriceBookInvalid, OverridesInvalid) as wrong:
        raise BadInput(field, str(wrong), _MEND) from wrong
    replaced = {each.provider for each in new}
    kept = tuple(each for each in lists.files if each.provider not in replaced)
    return PriceLists(files=(*kept, *new), overrides=lists.overrides)


def day(text: str | None, field: str) -> date:
    """Today in UTC for None. Raises BadInput."""
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as wrong:
        raise BadInput(field, f"{text!r} is no day", "write it as 2026-05-01") from wrong


def _has_own_prices(document: bytes) -> bool:
    try:
        whole = msgspec.json.decode(document)
    except msgspec.MsgspecError:
        return False
    return isinstance(whole, dict) and "prices" in whole
