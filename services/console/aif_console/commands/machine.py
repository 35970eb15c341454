"""What concerns this machine: `aif up`, `aif doctor`."""

import os

import rich_click as click

from aif_console.commands.running import DATA, finish, on_stdout

_PORTS = click.IntRange(1, 65_535)


@click.command()
@DATA
@click.option(
    "--port",
    type=_PORTS,
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
    finish(run_up(wishes, os.environ, Console(soft_wrap=True)))


@click.command()
@DATA
@click.option("--port", type=_PORTS, envvar="AIF_KAM_PORT", default=8420, show_default=True)
def doctor(data: str | None, port: int) -> None:
    """Look whether this machine has what a factory needs, and whether the one that runs here is well."""
    from aif_console.doctor import run_doctor
    from aif_console.factory.plan import data_folder

    finish(run_doctor(data_folder(data, os.environ), port, os.environ, on_stdout()))
