"""The ledger's calls across executions. The gateway shows them to operators only."""

from collections.abc import AsyncIterator

import msgspec

from aif_console.gateway.gateway import Gateway, without_none
from aif_contracts.metering import Tokens
from aif_contracts.money import UsdText
from aif_contracts.reconciliation import BookedCall, BookedCallPage

CALLS = "/api/admin/calls"
ON_A_PAGE = 500


async def search_calls(
    gateway: Gateway, *, limit: int, in_doubt: bool = False, cursor: str | None = None, **wanted: str | None
) -> BookedCallPage:
    """Oldest first; `wanted` as the address names it."""
    query = without_none(limit=limit, in_doubt=in_doubt or None, cursor=cursor, **wanted)
    return await gateway.ask("GET", CALLS, BookedCallPage, params=query)


async def first_calls(gateway: Gateway, *, limit: int, in_doubt: bool, **wanted: str | None) -> BookedCallPage:
    """So many, if there are: what is rare may stand behind pages without a call."""
    page = await search_calls(gateway, limit=limit, in_doubt=in_doubt, **wanted)
    while len(page.calls) < limit and page.next_cursor is not None:
        more = limit - len(page.calls)
        rest = await search_calls(gateway, limit=more, in_doubt=in_doubt, cursor=page.next_cursor, **wanted)
        page = BookedCallPage(calls=page.calls + rest.calls, next_cursor=rest.next_cursor)
    return page


async def all_calls(gateway: Gateway, **wanted: str | None) -> AsyncIterator[BookedCall]:
    """Page after page."""
    cursor: str | None = None
    while True:
        page = await search_calls(gateway, limit=ON_A_PAGE, in_doubt=False, cursor=cursor, **wanted)
        for call in page.calls:
            yield call
        cursor = page.next_cursor
        if cursor is None:
            return


async def settle_call(
    gateway: Gateway, call_key: str, *, billed: bool, note: str, cost_usd: UsdText | None, tokens: Tokens | None
) -> BookedCall:
    """Say what a call without an answer has cost. Saying the same again changes nothing."""
    body = {"billed": billed, "note": note}
    if cost_usd is not None:
        body["cost_usd"] = cost_usd
    if tokens is not None:
        body["tokens"] = msgspec.to_builtins(tokens)
    return await gateway.ask("POST", f"{CALLS}/{call_key}/settle", BookedCall, json=body)
