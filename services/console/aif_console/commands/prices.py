"""What concerns money before it is spent: `aif prices …`, `aif reprice`, `aif simulate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from aif_console.commands.running import (
    MAX_COST,
    PARAMS,
    ListsByDefault,
    Where,
    asks_a_factory,
    asks_as_operator,
    finish,
    on_stdout,
)

if TYPE_CHECKING:
    from aif_console.gateway.reach import Reach

_ON = click.option("--on", metavar="DAY", help="Prices of that day, such as 2026-05-01; else of today.")
_EFFECTIVE = click.option(
    "--effective", is_flag=True, help="With the factory's own prices before the shipped ones; takes the operator's key."
)


def _asked(where: Where, effective: bool) -> "Reach | None":
    return where.reach(as_operator=True) if effective else None


@click.group(cls=ListsByDefault)
def prices() -> None:
    """What models cost: list, show, compare. The shipped lists need no factory."""


@prices.command(name="list")
@click.option("--provider", help="Only of this one.")
@_ON
@_EFFECTIVE
@asks_as_operator
def list_prices(provider: str | None, on: str | None, effective: bool, as_json: bool, where: Where) -> None:
    """List every model that has a price."""
    from aif_console.prices import run_prices
    from aif_console.prices_lists import day

    finish(run_prices(_asked(where, effective), on_stdout(), provider=provider, on=day(on, "--on"), as_json=as_json))


@prices.command()
@click.argument("model")
@_ON
@_EFFECTIVE
@asks_as_operator
def show(model: str, on: str | None, effective: bool, as_json: bool, where: Where) -> None:
    """Show a model's price at every provider that lists it, and where it was read."""
    from aif_console.prices import run_show_price
    from aif_console.prices_lists import day

    finish(run_show_price(model, _asked(where, effective), on_stdout(), on=day(on, "--on"), as_json=as_json))


@prices.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_ON
@_EFFECTIVE
@asks_as_operator
def diff(file: Path, on: str | None, effective: bool, as_json: bool, where: Where) -> None:
    """Show what another list would change: added, removed, changed. Exit code 2 when anything differs.

    FILE is a provider's list, an array of lists, or own prices as they are set under the key `prices`.
    """
    from aif_console.prices import run_diff
    from aif_console.prices_lists import day

    finish(run_diff(file, _asked(where, effective), on_stdout(), on=day(on, "--on"), as_json=as_json))


@click.command()
@click.option("--dry-run", is_flag=True, help="Only look. There is no other way: booked costs never change.")
@click.option("--from", "since", metavar="TIME", help="Calls booked since then: 2026-05-01, 2026-05-01T09:00 or 7d.")
@click.option("--to", "until", metavar="TIME", help="And before then.")
@click.option(
    "--list", "file", type=click.Path(dir_okay=False, path_type=Path), help="Prices to try, as `aif prices diff` takes them."
)
@click.option(
    "--as",
    "only_model",
    metavar="PROVIDER/MODEL",
    help="What that one model alone would have cost: the answered calls at its price, such as anthropic/claude-sonnet-4-5.",
)
@_ON
@asks_as_operator
def reprice(
    dry_run: bool,
    since: str | None,
    until: str | None,
    file: Path | None,
    only_model: str | None,
    on: str | None,
    as_json: bool,
    where: Where,
) -> None:
    """Show what other prices, or one model for everything, would have made of the calls in the ledger, by model."""
    from aif_console.failures import BadInput
    from aif_console.moments import past_moment
    from aif_console.prices_lists import day
    from aif_console.reprice import Other, Period, run_reprice
    from aif_runtime.clock import SystemClock

    if not dry_run:
        raise BadInput("--dry-run", "is missing", "say it: what is booked stays booked, so repricing only looks")
    now = SystemClock().now()
    period = Period(since=past_moment(since, "--from", now), until=past_moment(until, "--to", now))
    reach = where.reach(as_operator=True)
    other = Other(file=file, only_model=only_model, on=day(on, "--on"))
    finish(run_reprice(period, other, reach, on_stdout(), as_json=as_json))


@click.command()
@click.argument("template")
@click.option("--version", help="Another version than the newest.")
@click.option("--source", type=click.Path(dir_okay=False, path_type=Path), help="Document or recording, as in `aif order`")
@PARAMS
@MAX_COST
@asks_a_factory
def simulate(
    template: str,
    version: str | None,
    source: Path | None,
    params: tuple[str, ...],
    max_cost: str | None,
    as_json: bool,
    where: Where,
) -> None:
    """Show what an order would cost and how long it would take, without placing it."""
    from aif_console.cost_limits import cost_limit
    from aif_console.parameters import named_texts
    from aif_console.simulate import SimulationWish, run_simulate

    wish = SimulationWish(
        template=template,
        version=version,
        source=source,
        texts=named_texts(params),
        max_cost_usd=cost_limit(max_cost, "--max-cost"),
    )
    finish(run_simulate(wish, where.reach(), on_stdout(), as_json=as_json))
