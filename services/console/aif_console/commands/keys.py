"""What concerns the keys that are called with: `aif keys …`."""

import rich_click as click

from aif_console.commands.running import ListsByDefault, Where, asks_a_factory, finish, on_stdout

_ID = click.argument("key_id", metavar="ID")
_OF_CLIENT = click.option("--client", "client_id", metavar="CLIENT", help="Another client's, with the operator's key.")
_AS_OPERATOR = click.option(
    "--operator", "as_operator", is_flag=True, help="With the operator's key: anybody's, the operator's too."
)


@click.group(cls=ListsByDefault)
def keys() -> None:
    """API keys, which are shown once, when they are made: list, show, add, rotate, revoke."""


@keys.command(name="list")
@_OF_CLIENT
@click.option("--operator", "as_operator", is_flag=True, help="Everybody's and the operator's, with the operator's key.")
@click.option("--active/--ended", "is_active", default=None, help="Only those that are good, or that are not any more.")
@click.option("--cursor", metavar="KEY", help="Go on behind this one.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="How many, newest first.")
@asks_a_factory
def list_them(
    client_id: str | None,
    as_operator: bool,
    is_active: bool | None,
    cursor: str | None,
    limit: int,
    as_json: bool,
    where: Where,
) -> None:
    """List keys, newest first; never the keys themselves."""
    from aif_console.keys import run_keys

    reach = where.reach(as_operator=as_operator or client_id is not None)
    finish(run_keys(client_id, is_active, cursor, limit, reach, on_stdout(), as_json=as_json))


@keys.command()
@_ID
@_AS_OPERATOR
@asks_a_factory
def show(key_id: str, as_operator: bool, as_json: bool, where: Where) -> None:
    """Show what is known of a key: whose, what it may, when it was used, when it ends."""
    from aif_console.keys import run_show_key

    finish(run_show_key(key_id, where.reach(as_operator=as_operator), on_stdout(), as_json=as_json))


@keys.command()
@click.argument("name")
@_OF_CLIENT
@click.option(
    "--scope",
    type=click.Choice(["read", "order", "manage", "admin"]),
    default="order",
    show_default=True,
    help="read changes nothing, order does everything but change keys, manage that, too; admin is the operator's.",
)
@click.option("--expires", metavar="TIME", help="When it ends: 2027-05-01, or 90d for in ninety days; never when left out.")
@asks_a_factory
def add(name: str, client_id: str | None, scope: str, expires: str | None, as_json: bool, where: Where) -> None:
    """Make a key. NAME says who or what calls with it."""
    from aif_console.keys import KeyWish, run_add_key
    from aif_runtime.clock import SystemClock

    wish = KeyWish(name=name, scope=scope, client_id=client_id, expires=expires)
    reach = where.reach(as_operator=client_id is not None or scope == "admin")
    finish(run_add_key(wish, reach, on_stdout(), SystemClock(), as_json=as_json))


@keys.command()
@_ID
@click.option(
    "--grace", metavar="SPAN", required=True, help="How long the old key goes on: 30m, 12h, 7d at most; 0 for not at all."
)
@click.option(
    "--expires", metavar="TIME", help="When the new one ends, such as 90d; when the old one would have when left out."
)
@_AS_OPERATOR
@asks_a_factory
def rotate(key_id: str, grace: str, expires: str | None, as_operator: bool, as_json: bool, where: Where) -> None:
    """Make another key in the place of one, of the same name and scope."""
    from aif_console.keys import run_rotate_key
    from aif_runtime.clock import SystemClock

    reach = where.reach(as_operator=as_operator)
    finish(run_rotate_key(key_id, grace, expires, reach, on_stdout(), SystemClock(), as_json=as_json))


@keys.command()
@_ID
@_AS_OPERATOR
@asks_a_factory
def revoke(key_id: str, as_operator: bool, as_json: bool, where: Where) -> None:
    """Revoke a key, at once and for good."""
    from aif_console.keys import run_revoke_key

    finish(run_revoke_key(key_id, where.reach(as_operator=as_operator), on_stdout(), as_json=as_json))
