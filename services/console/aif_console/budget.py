"""`aif budget`: what may be spent this month, what is left of it, and to change it."""

import msgspec
from msgspec import UNSET, UnsetType
from rich.console import Console
from rich.text import Text

from aif_console.exit_codes import DONE
from aif_console.failures import BadInput
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.reach import Reach
from aif_console.gateway.spending import BudgetChange, budget_of, list_budgets, own_budget, set_budget
from aif_console.moments import local_time
from aif_console.reading.columns import Columns
from aif_console.reading.hanging import rows
from aif_console.reading.json_output import print_json
from aif_console.reading.plain_text import dollars
from aif_contracts.budgets import BudgetPolicy, BudgetView
from aif_contracts.money import UsdText, usd, usd_text
from aif_contracts.orders import ClientId

HEADINGS = ("CLIENT", "POLICY", "LIMIT", "SPENT", "RESERVED", "LEFT", "FORECAST", "SAYS")
NO_LIMIT = "none"


async def run_show_budget(client_id: str | None, reach: Reach, console: Console, *, as_json: bool) -> int:
    """One's own; the operator's look at a client's."""
    async with Gateway(reach.url, reach.key) as gateway:
        view = await own_budget(gateway) if client_id is None else await budget_of(gateway, checked_client(client_id))
    _show(view, console, as_json=as_json)
    return DONE


async def run_list_budgets(cursor: str | None, limit: int, reach: Reach, console: Console, *, as_json: bool) -> int:
    """By client."""
    async with Gateway(reach.url, reach.key) as gateway:
        page = await list_budgets(gateway, cursor=cursor, limit=limit)
    if as_json:
        print_json(console, page)
        return DONE
    if not page.budgets:
        console.print("no client has a budget of its own, and nobody has spent anything this month")
        return DONE
    console.print(Columns(HEADINGS, (_cells(view) for view in page.budgets)), soft_wrap=True)
    if page.next_cursor is not None:
        console.print(Text(f"there are more: --cursor {page.next_cursor}", style="dim"), soft_wrap=True)
    return DONE


async def run_set_budget(client_id: str, change: BudgetChange, reach: Reach, console: Console, *, as_json: bool) -> int:
    """From this month on."""
    async with Gateway(reach.url, reach.key) as gateway:
        view = await set_budget(gateway, checked_client(client_id), change)
    _show(view, console, as_json=as_json)
    return DONE


def budget_change(limit: str | None, policy: str | None, energy: str | None) -> BudgetChange:
    """As the command line says it; what it does not say stays. Raises BadInput."""
    if limit is None and policy is None and energy is None:
        raise BadInput("--limit", "nothing is to be changed", "name --limit, --policy or --energy")
    return BudgetChange(
        limit_usd=None if limit is None else _amount(limit),
        policy=None if policy is None else BudgetPolicy(policy),
        energy_limit=_energy(energy),
    )


def checked_client(client_id: str) -> str:
    """Raises BadInput before it becomes part of an address."""
    try:
        return msgspec.convert(client_id, ClientId)
    except msgspec.ValidationError as wrong:
        raise BadInput("CLIENT", f"{client_id!r} is no client's id", "use letters, digits, _ and -, 64 at most") from wrong


def _amount(text: str) -> UsdText:
    try:
        return usd_text(usd(msgspec.convert(text.strip().removeprefix("$"), UsdText)))
    except msgspec.ValidationError as wrong:
        raise BadInput("--limit", f"{text!r} is no amount", "write US dollars such as 250 or 99.50") from wrong


def _energy(text: str | None) -> int | UnsetType | None:
    if text is None:
        return UNSET
    if text == NO_LIMIT:
        return None
    if not (text.isascii() and text.isdigit()):
        raise BadInput("--energy", f"{text!r} is no number of units", f"write a whole number, or {NO_LIMIT} for no limit")
    return int(text)


def _show(view: BudgetView, console: Console, *, as_json: bool) -> None:
    if as_json:
        print_json(console, view)
        return
    console.print(rows(_facts(view)), soft_wrap=True)


def _facts(view: BudgetView) -> list[tuple[str, str]]:
    energy = "no limit" if view.energy_limit is None else f"{view.energy_limit:,}"
    whose = "the operator's default" if view.is_default else "the client's own"
    return [
        ("Client", view.client_id),
        ("Month", view.window),
        ("Says", view.message + ("" if view.allowed else ": nothing that costs money is begun")),
        ("Limit", f"{dollars(view.limit_usd)}, {view.policy.value}, {whose}"),
        ("Spent", dollars(view.spent_usd)),
        ("Reserved", dollars(view.reserved_usd)),
        ("Left", dollars(view.remaining_usd)),
        ("Above it", "" if usd(view.excess_usd) == 0 else dollars(view.excess_usd)),
        ("Forecast", "" if view.forecast_usd is None else f"{dollars(view.forecast_usd)} by the month's end"),
        ("Energy", f"{view.energy_spent:,} used and {view.energy_reserved:,} reserved of {energy}"),
        *(("Alert", f"{local_time(alert.raised_at)}: {alert.message}") for alert in view.alerts),
    ]


def _cells(view: BudgetView) -> tuple[str, ...]:
    return (
        view.client_id,
        view.policy.value,
        dollars(view.limit_usd),
        dollars(view.spent_usd),
        dollars(view.reserved_usd),
        dollars(view.remaining_usd),
        "-" if view.forecast_usd is None else dollars(view.forecast_usd),
        view.message,
    )
