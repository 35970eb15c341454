"""What concerns orders that repeat: `aif schedules …`."""

from pathlib import Path

import rich_click as click

from aif_console.commands.running import MAX_COST, PARAMS, URGENCY, ListsByDefault, Where, asks_a_factory, finish, on_stdout

_ID = click.argument("schedule_id", metavar="ID")


@click.group(cls=ListsByDefault)
def schedules() -> None:
    """Orders that repeat: list, show, add, change, pause, resume, remove."""


@schedules.command(name="list")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="How many, newest first.")
@asks_a_factory
def list_them(limit: int, as_json: bool, where: Where) -> None:
    """List schedules, newest first."""
    from aif_console.schedules import run_schedules

    finish(run_schedules(where.reach(), on_stdout(), limit=limit, as_json=as_json))


@schedules.command()
@_ID
@asks_a_factory
def show(schedule_id: str, as_json: bool, where: Where) -> None:
    """Show a schedule and how it went so far."""
    from aif_console.schedules import run_show_schedule

    finish(run_show_schedule(schedule_id, where.reach(), on_stdout(), as_json=as_json))


@schedules.command()
@click.argument("name")
@click.argument("template")
@click.option(
    "--cron",
    required=True,
    metavar="FIELDS",
    help='Minute, hour, day of month, month, day of week: "0 6 * * 1" is Mondays at six.',
)
@click.option("--timezone", default="UTC", show_default=True, help="Whose clock, such as Europe/Vienna.")
@click.option("--source", type=click.Path(dir_okay=False, path_type=Path), help="Document or recording, as in `aif order`")
@PARAMS
@URGENCY
@MAX_COST
@click.option("--version", help="A version of the template to stay with; else the newest whenever it is due.")
@click.option(
    "--overlap",
    type=click.Choice(["skip", "allow"]),
    default="skip",
    show_default=True,
    help="What to do when the execution before has not ended.",
)
@asks_a_factory
def add(
    name: str,
    template: str,
    cron: str,
    timezone: str,
    source: Path | None,
    params: tuple[str, ...],
    urgency: str,
    max_cost: str | None,
    version: str | None,
    overlap: str,
    as_json: bool,
    where: Where,
) -> None:
    """Order something again and again."""
    from aif_console.cost_limits import cost_limit
    from aif_console.parameters import named_texts
    from aif_console.schedules import ScheduleWish, run_add_schedule

    wish = ScheduleWish(
        name=name,
        template=template,
        cron=cron,
        timezone=timezone,
        texts=named_texts(params),
        source=source,
        urgency=urgency,
        overlap=overlap,
        max_cost_usd=cost_limit(max_cost, "--max-cost"),
        version=version,
    )
    finish(run_add_schedule(wish, where.reach(), on_stdout(), as_json=as_json))


@schedules.command()
@_ID
@click.option("--name", help="Another name.")
@click.option("--template", metavar="NAME", help="Another template.")
@click.option("--cron", metavar="FIELDS", help="Another rhythm.")
@click.option("--timezone", help="Another clock, such as Europe/Vienna.")
@click.option("--source", type=click.Path(dir_okay=False, path_type=Path), help="Another document.")
@PARAMS
@click.option("--without", metavar="NAME", multiple=True, help="A parameter to leave to the template; may be repeated.")
@click.option("--urgency", type=click.Choice(["low", "normal", "high", "critical"]), help="How soon.")
@MAX_COST
@click.option("--no-max-cost", is_flag=True, help="Back to the operator's limit.")
@click.option("--version", help="A version of the template to stay with.")
@click.option("--newest-version", is_flag=True, help="Back to the newest whenever it is due; so it is for another template.")
@click.option("--overlap", type=click.Choice(["skip", "allow"]), help="What to do when the execution before has not ended.")
@asks_a_factory
def change(
    schedule_id: str,
    name: str | None,
    template: str | None,
    cron: str | None,
    timezone: str | None,
    source: Path | None,
    params: tuple[str, ...],
    without: tuple[str, ...],
    urgency: str | None,
    max_cost: str | None,
    no_max_cost: bool,
    version: str | None,
    newest_version: bool,
    overlap: str | None,
    as_json: bool,
    where: Where,
) -> None:
    """Change what is ordered or when; what is not named stays as it is."""
    from aif_console.cost_limits import cost_limit
    from aif_console.parameters import named_texts
    from aif_console.schedules import ScheduleChange, run_change_schedule

    wanted = ScheduleChange(
        name=name,
        template=template,
        cron=cron,
        timezone=timezone,
        texts=named_texts(params),
        without=frozenset(without),
        source=source,
        urgency=urgency,
        overlap=overlap,
        max_cost_usd=cost_limit(max_cost, "--max-cost"),
        without_limit=no_max_cost,
        version=version,
        newest_version=newest_version,
    )
    finish(run_change_schedule(schedule_id, wanted, where.reach(), on_stdout(), as_json=as_json))


@schedules.command()
@_ID
@asks_a_factory
def pause(schedule_id: str, as_json: bool, where: Where) -> None:
    """Order nothing until it is resumed."""
    from aif_console.schedules import run_pause_schedule

    finish(run_pause_schedule(schedule_id, where.reach(), on_stdout(), as_json=as_json))


@schedules.command()
@_ID
@asks_a_factory
def resume(schedule_id: str, as_json: bool, where: Where) -> None:
    """Go on from now; what was due meanwhile is not made up for."""
    from aif_console.schedules import run_resume_schedule

    finish(run_resume_schedule(schedule_id, where.reach(), on_stdout(), as_json=as_json))


@schedules.command()
@_ID
@asks_a_factory
def remove(schedule_id: str, as_json: bool, where: Where) -> None:
    """Remove a schedule; what it ordered stays."""
    from aif_console.schedules import run_remove_schedule

    finish(run_remove_schedule(schedule_id, where.reach(), on_stdout(), as_json=as_json))
