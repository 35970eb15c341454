"""The `aif` command. What a command needs is imported when it runs, so that `aif --help` is quick."""

import asyncio
import os
import sys

import rich_click as click

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
    sys.exit(asyncio.run(run_up(wishes, os.environ, Console(soft_wrap=True))))
