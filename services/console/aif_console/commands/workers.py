"""What concerns the shop floor: `aif workers`, `aif insights`, `aif dead-letters …`."""

import rich_click as click

from aif_console.commands.running import ListsByDefault, Where, asks_a_factory, asks_as_operator, finish, on_stdout

_ID = click.argument("dead_letter_id", metavar="ID")
_STATUSES = click.Choice(["waiting", "replayed", "dismissed"])


@click.command()
@asks_a_factory
def workers(as_json: bool, where: Where) -> None:
    """Show the worker processes that live now, and what they can do."""
    from aif_console.looking import run_workers

    finish(run_workers(where.reach(), on_stdout(), as_json=as_json))


@click.command()
@click.argument("worker", required=False)
@click.option("--period", default="7d", show_default=True, help="Hours or days, such as 24h or 7d.")
@asks_as_operator
def insights(worker: str | None, period: str, as_json: bool, where: Where) -> None:
    """Show measured figures of a worker, or of all, and what is recommended to change. For the operator."""
    from aif_console.looking import run_insights

    finish(run_insights(worker, period, where.reach(as_operator=True), on_stdout(), as_json=as_json))


@click.group(name="dead-letters", cls=ListsByDefault)
def dead_letters() -> None:
    """Messages that could not be processed: list, show, replay, dismiss. For the operator."""


@dead_letters.command(name="list")
@click.option("--status", type=_STATUSES, help="Only those with this status.")
@click.option("--origin", help="Only those of this stream, such as reports.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="How many, newest first.")
@asks_as_operator
def list_them(status: str | None, origin: str | None, limit: int, as_json: bool, where: Where) -> None:
    """List dead letters, newest first."""
    from aif_console.dead_letters import run_dead_letters

    reach = where.reach(as_operator=True)
    finish(run_dead_letters(reach, on_stdout(), status=status, origin=origin, limit=limit, as_json=as_json))


@dead_letters.command()
@_ID
@asks_as_operator
def show(dead_letter_id: str, as_json: bool, where: Where) -> None:
    """Show one with its reason, headers and bytes."""
    from aif_console.dead_letters import run_show_dead_letter

    finish(run_show_dead_letter(dead_letter_id, where.reach(as_operator=True), on_stdout(), as_json=as_json))


@dead_letters.command()
@_ID
@asks_as_operator
def replay(dead_letter_id: str, as_json: bool, where: Where) -> None:
    """Send the message again, as it was."""
    from aif_console.dead_letters import run_replay

    finish(run_replay(dead_letter_id, where.reach(as_operator=True), on_stdout(), as_json=as_json))


@dead_letters.command()
@click.argument("dead_letter_id", metavar="[ID]", required=False)
@click.option("--all", "all_of_them", is_flag=True, help="All that wait, in place of one.")
@click.option("--origin", help="With --all: only those of this stream, such as reports.")
@asks_as_operator
def dismiss(dead_letter_id: str | None, all_of_them: bool, origin: str | None, as_json: bool, where: Where) -> None:
    """Say that nobody needs it any more."""
    from aif_console.dead_letters import run_dismiss, run_dismiss_all

    if (dead_letter_id is None) != all_of_them or (origin is not None and not all_of_them):
        raise click.UsageError("Give the id of one, or --all, which --origin narrows.")
    if dead_letter_id is None:
        finish(run_dismiss_all(where.reach(as_operator=True), on_stdout(), origin=origin, as_json=as_json))
        return
    finish(run_dismiss(dead_letter_id, where.reach(as_operator=True), on_stdout(), as_json=as_json))
