"""What concerns money: `aif usage`, `aif budget …`."""

import rich_click as click

from aif_console.commands.running import ShowsByDefault, Where, asks_a_factory, asks_as_operator, finish, on_stdout
from aif_contracts.budgets import BudgetPolicy
from aif_contracts.usage import UsageDimension, UsageOrder

_DIMENSIONS = ", ".join(each.value for each in UsageDimension)
_CURSOR = click.option("--cursor", help="Go on where an earlier list ended.")


@click.command()
@click.option("--month", metavar="MONTH", help="As 2026-11; this one when nothing is said.")
@click.option("--by", "group_by", metavar="WHAT", help=f"Put together by one to three, with commas: {_DIMENSIONS}.")
@click.option("--from", "since", metavar="TIME", help="With --by: from this day or time on; else from the month's first.")
@click.option("--to", "until", metavar="TIME", help="With --by: before this day or time; else up to now.")
@click.option("--order", type=click.Choice([each.value for each in UsageOrder]), help="With --by: what comes first.")
@click.option("--limit", type=click.IntRange(1, 500), default=100, show_default=True, help="With --by: how many rows.")
@_CURSOR
@click.option("--operator", "as_operator", is_flag=True, help="Everybody's usage, with the operator's key.")
@click.option("--client", "client_id", metavar="CLIENT", help="With --operator: this client's alone.")
@asks_a_factory
def usage(
    month: str | None,
    group_by: str | None,
    since: str | None,
    until: str | None,
    order: str | None,
    limit: int,
    cursor: str | None,
    as_operator: bool,
    client_id: str | None,
    as_json: bool,
    where: Where,
) -> None:
    """Show what was used and what it cost: a month as a whole, or put together as you like."""
    from aif_console.failures import BadInput
    from aif_console.gateway.spending import UsageWish
    from aif_console.usage import run_month, run_report

    if client_id is not None and not as_operator:
        raise BadInput("--client", "only the operator sees other clients", "add --operator, or leave it out")
    if group_by is None:
        if since is not None or until is not None:
            raise BadInput("--from", "a time without --by says nothing", "add --by day, or name a --month")
        finish(run_month(month, client_id, where.reach(as_operator=as_operator), on_stdout(), as_json=as_json))
    if month is not None:
        raise BadInput("--month", "--by goes with --from and --to", "name those, or leave --by out")
    wish = UsageWish(group_by=group_by, since=since, until=until, client_id=client_id, order=order, limit=limit, cursor=cursor)
    reach = where.reach(as_operator=as_operator)
    finish(run_report(wish, reach, on_stdout(), as_operator=as_operator, as_json=as_json))


@click.group(cls=ShowsByDefault)
def budget() -> None:
    """What may be spent this month: show, list, set."""


@budget.command()
@click.option("--client", "client_id", metavar="CLIENT", help="Another client's, with the operator's key.")
@asks_a_factory
def show(client_id: str | None, as_json: bool, where: Where) -> None:
    """Show the limit, what is spent, reserved and left, the forecast and the alerts."""
    from aif_console.budget import run_show_budget

    reach = where.reach(as_operator=client_id is not None)
    finish(run_show_budget(client_id, reach, on_stdout(), as_json=as_json))


@budget.command(name="list")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="How many, by client.")
@_CURSOR
@asks_as_operator
def list_them(limit: int, cursor: str | None, as_json: bool, where: Where) -> None:
    """List the clients' budgets."""
    from aif_console.budget import run_list_budgets

    finish(run_list_budgets(cursor, limit, where.reach(as_operator=True), on_stdout(), as_json=as_json))


@budget.command(name="set")
@click.argument("client_id", metavar="CLIENT")
@click.option("--limit", metavar="USD", help="What the client may spend in a month, such as 250.")
@click.option("--policy", type=click.Choice([each.value for each in BudgetPolicy]), help="What happens at the limit.")
@click.option("--energy", metavar="UNITS", help="Units of energy in a month; none for no limit.")
@asks_as_operator
def change(client_id: str, limit: str | None, policy: str | None, energy: str | None, as_json: bool, where: Where) -> None:
    """Set a client's budget, from this month on. What is not named stays."""
    from aif_console.budget import budget_change, run_set_budget

    wish = budget_change(limit, policy, energy)
    finish(run_set_budget(client_id, wish, where.reach(as_operator=True), on_stdout(), as_json=as_json))
