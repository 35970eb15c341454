"""What concerns executions: `aif show`, `list`, `requests`, `pause`, `resume`, `approve`, `reject`, `cancel`,
`skip-compensation`."""

import rich_click as click

from aif_console.commands.running import Where, asks_a_factory, finish, on_stdout
from aif_contracts.orders import ExecutionStatus

_LIMIT = click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="How many, newest first.")
_ID = click.argument("some_id", metavar="ID")


@click.command()
@_ID
@click.option("--events", is_flag=True, help="Every event.")
@click.option("--attempts", is_flag=True, help="Every attempt: grant, worker process, figures, failure.")
@click.option("--calls", is_flag=True, help="Every provider call.")
@asks_a_factory
def show(some_id: str, events: bool, attempts: bool, calls: bool, as_json: bool, where: Where) -> None:
    """Show an execution: its stages, what happened, what it gave and what it used."""
    from aif_console.showing import ShowWish, run_show

    wish = ShowWish(events=events, attempts=attempts, calls=calls)
    finish(run_show(some_id, wish, where.reach(), on_stdout(), as_json=as_json))


@click.command(name="list")
@click.option("--status", type=click.Choice([each.value for each in ExecutionStatus]), help="Only executions with this status.")
@click.option("--template", metavar="NAME", help="Only executions of this template.")
@click.option("--text", help="Only those with this text in id, template or parameters.")
@click.option(
    "--since", metavar="TIME", help="Ordered then or later: 2026-05-01, 2026-05-01T09:00, 09:00, or 2h for two hours ago."
)
@click.option("--until", metavar="TIME", help="Ordered before then.")
@_LIMIT
@click.option("--cursor", help="Go on where an earlier list ended.")
@asks_a_factory
def list_all(
    status: str | None,
    template: str | None,
    text: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
    where: Where,
) -> None:
    """List executions, newest first."""
    from aif_console.gateway.executions import ExecutionFilter
    from aif_console.looking import run_list
    from aif_console.moments import past_moment
    from aif_runtime.clock import SystemClock

    now = SystemClock().now()
    wanted = ExecutionFilter(
        status=status,
        template=template,
        text=text,
        created_after=past_moment(since, "--since", now),
        created_before=past_moment(until, "--until", now),
    )
    finish(run_list(wanted, where.reach(), on_stdout(), cursor=cursor, limit=limit, as_json=as_json))


@click.command()
@click.option("--status", help="Only requests with this status, such as running or refused.")
@_LIMIT
@asks_a_factory
def requests(status: str | None, limit: int, as_json: bool, where: Where) -> None:
    """List what was asked for, newest first, refused orders included."""
    from aif_console.looking import run_requests

    finish(run_requests(where.reach(), on_stdout(), status=status, limit=limit, as_json=as_json))


@click.command()
@_ID
@click.option("--reason", help="Why, for whoever looks at it later.")
@asks_a_factory
def pause(some_id: str, reason: str | None, as_json: bool, where: Where) -> None:
    """Begin nothing new in an execution; attempts under way may end, and its time stands still."""
    from aif_console.steering import run_pause

    finish(run_pause(some_id, reason, where.reach(), on_stdout(), as_json=as_json))


@click.command()
@_ID
@asks_a_factory
def resume(some_id: str, as_json: bool, where: Where) -> None:
    """Go on after a pause, or try again what failed, was cancelled or completed in part.

    Completed stages are kept and not paid for again.
    """
    from aif_console.steering import run_resume

    finish(run_resume(some_id, where.reach(), on_stdout(), as_json=as_json))


_STAGE = click.option("--stage", metavar="STAGE", help="The stage that waits; needed only when several do.")


@click.command()
@_ID
@_STAGE
@click.option("--comment", help="What there is to say about it.")
@asks_a_factory
def approve(some_id: str, stage: str | None, comment: str | None, as_json: bool, where: Where) -> None:
    """Agree with what a stage has made, so that what follows starts."""
    _decide(some_id, where, approved=True, stage=stage, comment=comment, as_json=as_json)


@click.command()
@_ID
@_STAGE
@click.option("--comment", "--reason", "comment", help="What is wrong with it.")
@asks_a_factory
def reject(some_id: str, stage: str | None, comment: str | None, as_json: bool, where: Where) -> None:
    """Refuse what a stage has made."""
    _decide(some_id, where, approved=False, stage=stage, comment=comment, as_json=as_json)


def _decide(some_id: str, where: Where, *, approved: bool, stage: str | None, comment: str | None, as_json: bool) -> None:
    from aif_console.steering import run_decide

    finish(run_decide(some_id, where.reach(), on_stdout(), approved=approved, stage_id=stage, comment=comment, as_json=as_json))


@click.command(name="skip-compensation")
@_ID
@click.option(
    "--stage", metavar="STAGE", help="The stage that is not to be undone; needed only while several are left to undo."
)
@click.option("--comment", "--reason", "comment", help="Why it is given up, for whoever looks at it later.")
@asks_a_factory
def skip_compensation(some_id: str, stage: str | None, comment: str | None, as_json: bool, where: Where) -> None:
    """Give up undoing a stage, whose effects remain then.

    The rest is undone, and the execution ends and names what was not.
    """
    from aif_console.steering import run_skip_compensation

    finish(run_skip_compensation(some_id, where.reach(), on_stdout(), stage_id=stage, comment=comment, as_json=as_json))


@click.command()
@_ID
@asks_a_factory
def cancel(some_id: str, as_json: bool, where: Where) -> None:
    """Cancel a request and its execution."""
    from aif_console.steering import run_cancel

    finish(run_cancel(some_id, where.reach(), on_stdout(), as_json=as_json))
