"""`aif calls`: what was paid to whom across executions, and what calls without an answer have cost."""

from rich.console import Console
from rich.text import Text

from aif_console.exit_codes import DONE
from aif_console.gateway.calls import first_calls, settle_call
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.reach import Reach
from aif_console.moments import local_time
from aif_console.reading.columns import Columns
from aif_console.reading.json_output import print_json
from aif_console.reading.plain_text import dollars, plain
from aif_contracts.reconciliation import BookedCall

HEADINGS = ("CALL", "BOOKED", "MODEL", "OUTCOME", "TOKENS", "COST")


async def run_list_calls(
    reach: Reach,
    console: Console,
    *,
    in_doubt: bool,
    provider: str | None,
    model: str | None,
    client_id: str | None,
    booked_from: str | None,
    limit: int,
    as_json: bool,
) -> int:
    """Oldest first."""
    wanted = {"provider": provider, "model": model, "client_id": client_id, "from": booked_from}
    async with Gateway(reach.url, reach.key) as gateway:
        page = await first_calls(gateway, limit=limit, in_doubt=in_doubt, **wanted)
    if as_json:
        print_json(console, page)
        return DONE
    if not page.calls:
        console.print("no call is in doubt" if in_doubt else "no call")
        return DONE
    console.print(Columns(HEADINGS, (_cells(each) for each in page.calls)), soft_wrap=True)
    if page.next_cursor is not None:
        console.print(Text(f"these are the first {len(page.calls)}; --since and --limit show others", style="dim"))
    return DONE


async def run_settle_call(
    call_key: str, reach: Reach, console: Console, *, cost_usd: str | None, note: str, as_json: bool
) -> int:
    """A call without `cost_usd` was not billed."""
    async with Gateway(reach.url, reach.key) as gateway:
        settled = await settle_call(gateway, call_key, billed=cost_usd is not None, note=note, cost_usd=cost_usd, tokens=None)
    if as_json:
        print_json(console, settled)
    else:
        console.print(Text(plain(f"{call_key} has cost {_cost(settled)}")), soft_wrap=True)
    return DONE


def _cells(booked: BookedCall) -> tuple[str, ...]:
    call = booked.call
    return (
        call.call_key,
        local_time(booked.booked_at),
        call.model,
        call.outcome.value,
        str(call.tokens.total_tokens),
        _cost(booked),
    )


def _cost(booked: BookedCall) -> str:
    call = booked.call
    if call.cost_usd is None:
        return "unknown" if call.upper_bound_usd is None else f"at most {dollars(call.upper_bound_usd)}"
    return dollars(call.cost_usd) + ("" if call.basis.value == "usage" else f" by {call.basis.value}")
