"""What concerns who may use the factory: `aif clients …`."""

import rich_click as click

from aif_console.commands.running import ListsByDefault, Where, asks_as_operator, finish, on_stdout

_CLIENT = click.argument("client_id", metavar="CLIENT")


@click.group(cls=ListsByDefault)
def clients() -> None:
    """Who may use the factory, for the operator: list, show, add, rename, disable, enable."""


@clients.command(name="list")
@click.option("--disabled/--active", "is_disabled", default=None, help="Only those that are disabled, or that are not.")
@click.option("--cursor", metavar="CLIENT", help="Go on behind this one.")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="How many, by their ids.")
@asks_as_operator
def list_them(is_disabled: bool | None, cursor: str | None, limit: int, as_json: bool, where: Where) -> None:
    """List clients, by their ids."""
    from aif_console.clients import run_clients

    finish(run_clients(is_disabled, cursor, limit, where.reach(as_operator=True), on_stdout(), as_json=as_json))


@clients.command()
@_CLIENT
@asks_as_operator
def show(client_id: str, as_json: bool, where: Where) -> None:
    """Show a client, and what tells more of it."""
    from aif_console.clients import run_show_client

    finish(run_show_client(client_id, where.reach(as_operator=True), on_stdout(), as_json=as_json))


@clients.command()
@_CLIENT
@click.option("--name", "display_name", metavar="NAME", help="What people call it.")
@click.option("--tier", metavar="TIER", help="free for cheap models only; standard when left out.")
@asks_as_operator
def add(client_id: str, display_name: str | None, tier: str | None, as_json: bool, where: Where) -> None:
    """Make a client. CLIENT stays for ever: letters, digits, _ and -. It calls with a key of `aif keys add`."""
    from aif_console.clients import run_add_client

    finish(run_add_client(client_id, display_name, tier, where.reach(as_operator=True), on_stdout(), as_json=as_json))


@clients.command()
@_CLIENT
@click.argument("display_name", metavar="NAME")
@asks_as_operator
def rename(client_id: str, display_name: str, as_json: bool, where: Where) -> None:
    """Give a client another name, in its profile."""
    from aif_console.clients import run_rename_client

    finish(run_rename_client(client_id, display_name, where.reach(as_operator=True), on_stdout(), as_json=as_json))


@clients.command()
@_CLIENT
@asks_as_operator
def disable(client_id: str, as_json: bool, where: Where) -> None:
    """Shut a client out with all its keys; what it had ordered goes on."""
    from aif_console.clients import run_disable_client

    finish(run_disable_client(client_id, where.reach(as_operator=True), on_stdout(), as_json=as_json))


@clients.command()
@_CLIENT
@asks_as_operator
def enable(client_id: str, as_json: bool, where: Where) -> None:
    """Let a client in again, with those of its keys that were not revoked."""
    from aif_console.clients import run_enable_client

    finish(run_enable_client(client_id, where.reach(as_operator=True), on_stdout(), as_json=as_json))
