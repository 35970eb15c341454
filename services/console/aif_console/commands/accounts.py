"""What concerns clients' accounts: `aif account …`."""

import rich_click as click

from aif_console.commands.running import ShowsByDefault, Where, asks_a_factory, asks_as_operator, finish, on_stdout


@click.group(cls=ShowsByDefault)
def account() -> None:
    """A client's tier and coins: show, set."""


@account.command()
@click.option("--client", "client_id", metavar="CLIENT", help="Another client's, with the operator's key.")
@asks_a_factory
def show(client_id: str | None, as_json: bool, where: Where) -> None:
    """Show the tier, what it allows, and the coins."""
    from aif_console.account import run_show_account

    reach = where.reach(as_operator=client_id is not None)
    finish(run_show_account(client_id, reach, on_stdout(), as_json=as_json))


@account.command(name="set")
@click.argument("client_id", metavar="CLIENT")
@click.option("--tier", metavar="TIER", help="free for cheap models only, whatever an order wishes; any other name for all.")
@click.option("--coins", type=click.IntRange(0), help="How many the client has.")
@asks_as_operator
def change(client_id: str, tier: str | None, coins: int | None, as_json: bool, where: Where) -> None:
    """Set a client's tier or coins; its next orders go by it. What is not named stays."""
    from aif_console.account import run_set_account

    finish(run_set_account(client_id, tier, coins, where.reach(as_operator=True), on_stdout(), as_json=as_json))
