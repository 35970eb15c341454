"""The `aif` command. What a command needs is imported when it runs, so that `aif --help` is quick."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from aif_console.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Console

    from aif_console.gateway.reach import Reach
    from aif_console.orders import Output

DATA = click.option(
    "--data",
    type=click.Path(file_okay=False),
    help="Data folder of the factory on this machine; AIF_DATA_DIR, else var/ here.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def aif() -> None:
    """AI Factory: run it on this machine, order from it, watch it work.

    Exit codes: 0 done, 1 the execution failed, 2 bad input or refused, 3 no factory answers.
    """


@aif.command()
@DATA
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    envvar="AIF_KAM_PORT",
    default=8420,
    show_default=True,
    help="HTTP port; the next free one is taken if this one is not.",
)
@click.option("--external-nats", envvar="AIF_NATS_URL", metavar="URL", help="Use this NATS server instead of running one.")
@click.option(
    "--external-postgres",
    envvar="AIF_POSTGRES_URL",
    metavar="URL",
    help="Use this Postgres server, as a role that may create roles and databases, instead of running one.",
)
@click.option("--verbose", "-v", is_flag=True, help="Show all that the services log, not only warnings.")
def up(data: str | None, port: int, external_nats: str | None, external_postgres: str | None, verbose: bool) -> None:
    """Run everything on this machine: NATS, Postgres and all services. Ctrl-C stops it."""
    from rich.console import Console

    from aif_console.factory.plan import data_folder
    from aif_console.up import UpWishes, run_up

    wishes = UpWishes(
        folder=data_folder(data, os.environ),
        port=port,
        verbose=verbose,
        nats_url=external_nats or None,
        postgres_url=external_postgres or None,
    )
    sys.exit(_run(run_up(wishes, os.environ, Console(soft_wrap=True))))


URL = click.option("--url", metavar="URL", help="Address of the factory; AIF_URL, else the one that runs on this machine.")
KEY = click.option("--key", metavar="KEY", help="API key; AIF_API_KEY, else the one in the data folder.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else on standard output.")
OUT = click.option("--out", type=click.Path(dir_okay=False), help="Save the deliverable here instead of the data folder.")


@aif.command()
@click.argument("kind", type=click.Choice(["course", "quiz"]))
@click.option("--source", type=click.Path(), help="Document: .md .txt .html .pdf .docx")
@click.option("--topic", help="What it is about; without a source this needs a language model.")
@click.option("--level", type=int, help="How finely to divide the material, 1 to 5.")
@click.option("--audience", help="Whom it is for, in a few words.")
@click.option("--questions", type=int, help="How many questions (quiz), 1 to 50.")
@click.option("--watch/--no-watch", default=True, show_default=True, help="Follow it to the end and print what came out.")
@OUT
@JSON
@URL
@KEY
@DATA
def order(
    kind: str,
    source: str | None,
    topic: str | None,
    level: int | None,
    audience: str | None,
    questions: int | None,
    watch: bool,
    out: str | None,
    as_json: bool,
    url: str | None,
    key: str | None,
    data: str | None,
) -> None:
    """Order a course or a quiz from a document or a topic."""
    from aif_console.orders import OrderWish, run_order

    wish = OrderWish(
        kind=kind,
        source=Path(source) if source else None,
        topic=topic,
        level=level,
        audience=audience,
        questions=questions,
    )
    sys.exit(_run(run_order(wish, _reach(url, key, data), _output(as_json, out), watch=watch)))


@aif.command()
@click.argument("some_id", metavar="ID")
@OUT
@JSON
@URL
@KEY
@DATA
def watch(some_id: str, out: str | None, as_json: bool, url: str | None, key: str | None, data: str | None) -> None:
    """Follow a request or an execution to its end, and print what came out."""
    from aif_console.orders import run_watch

    sys.exit(_run(run_watch(some_id, _reach(url, key, data), _output(as_json, out))))


@aif.command()
@click.argument("some_id", metavar="ID")
@JSON
@URL
@KEY
@DATA
def show(some_id: str, as_json: bool, url: str | None, key: str | None, data: str | None) -> None:
    """Show an execution: its stages, what it gave and what it used."""
    from aif_console.looking import run_show

    sys.exit(_run(run_show(some_id, _reach(url, key, data), _console(), as_json=as_json)))


@aif.command(name="list")
@click.option("--status", help="Only requests with this status, such as running or failed.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="How many, newest first.")
@JSON
@URL
@KEY
@DATA
def list_requests(status: str | None, limit: int, as_json: bool, url: str | None, key: str | None, data: str | None) -> None:
    """List requests, newest first."""
    from aif_console.looking import run_list

    sys.exit(_run(run_list(_reach(url, key, data), _console(), status=status, limit=limit, as_json=as_json)))


@aif.command()
@click.argument("some_id", metavar="ID")
@JSON
@URL
@KEY
@DATA
def cancel(some_id: str, as_json: bool, url: str | None, key: str | None, data: str | None) -> None:
    """Cancel a request and its execution."""
    from aif_console.looking import run_cancel

    sys.exit(_run(run_cancel(some_id, _reach(url, key, data), _console(), as_json=as_json)))


@aif.command()
@JSON
@URL
@KEY
@DATA
def templates(as_json: bool, url: str | None, key: str | None, data: str | None) -> None:
    """Show what can be ordered, with every parameter."""
    from aif_console.looking import run_templates

    sys.exit(_run(run_templates(_reach(url, key, data), _console(), as_json=as_json)))


@aif.command()
@click.argument("worker", required=False)
@click.option("--period", default="7d", show_default=True, help="Hours or days, such as 24h or 7d.")
@JSON
@URL
@KEY
@DATA
def insights(worker: str | None, period: str, as_json: bool, url: str | None, key: str | None, data: str | None) -> None:
    """Show measured figures of a worker, or of all, and what is recommended to change."""
    from aif_console.looking import run_insights

    sys.exit(_run(run_insights(worker, period, _reach(url, key, data), _console(), as_json=as_json)))


@aif.command()
@DATA
@click.option("--port", type=click.IntRange(1, 65_535), envvar="AIF_KAM_PORT", default=8420, show_default=True)
def doctor(data: str | None, port: int) -> None:
    """Look whether this machine has what a factory needs, and whether the one that runs here is well."""
    from aif_console.doctor import run_doctor
    from aif_console.factory.plan import data_folder

    sys.exit(_run(run_doctor(data_folder(data, os.environ), port, os.environ, _console())))


def _run(command: Coroutine[None, None, int]) -> int:
    """The exit code; Ctrl-C has one of its own."""
    try:
        return asyncio.run(command)
    except KeyboardInterrupt:
        return INTERRUPTED


def _reach(url: str | None, key: str | None, data: str | None) -> "Reach":
    from aif_console.factory.plan import data_folder
    from aif_console.gateway.reach import find_reach

    return find_reach(url=url, key=key, folder=data_folder(data, os.environ), environ=os.environ)


def _console() -> "Console":
    from rich.console import Console

    return Console()


def _output(as_json: bool, out: str | None) -> "Output":
    from rich.console import Console

    from aif_console.orders import Output
    from aif_runtime.clock import SystemClock

    console = Console()
    on_stderr = Console(stderr=True)
    progress = console if not as_json else on_stderr if on_stderr.is_terminal else None
    return Output(
        console=console, progress=progress, clock=SystemClock(), as_json=as_json, out=Path(out).absolute() if out else None
    )
