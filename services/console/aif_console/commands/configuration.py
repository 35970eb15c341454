"""What the operator changes while the factory runs: `aif config …`."""

from pathlib import Path

import rich_click as click

from aif_console.commands.running import ListsByDefault, Where, asks_as_operator, finish, on_stdout

_NAME = click.argument("name", metavar="KEY")
_VERSION = click.option(
    "--if-version", "version", type=click.IntRange(0), help="Only if it still has this version; 0: if it is not set."
)


@click.group(cls=ListsByDefault)
def config() -> None:
    """The factory's configuration: list, get, set, unset. Every process goes by it within a second. For the operator."""


@config.command(name="list")
@asks_as_operator
def list_them(as_json: bool, where: Where) -> None:
    """List the general keys and all others that are set."""
    from aif_console.configuration import run_config

    finish(run_config(where.reach(as_operator=True), on_stdout(), as_json=as_json))


@config.command()
@_NAME
@asks_as_operator
def get(name: str, as_json: bool, where: Where) -> None:
    """Show one key in full, and what it means."""
    from aif_console.configuration import run_get_config

    finish(run_get_config(name, where.reach(as_operator=True), on_stdout(), as_json=as_json))


@config.command(name="set")
@_NAME
@click.argument("value", required=False)
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="The value as JSON, for prices for example.")
@_VERSION
@asks_as_operator
def set_value(name: str, value: str | None, file: Path | None, version: int | None, as_json: bool, where: Where) -> None:
    """Set a key: to text, or to JSON such as true, 90 or null.

    Keys: orchestrator_primary_model, orchestrator_fallback_model, orchestrator_enable_fallback, prices,
    agent.<action>.primary_model (fallback_model, enable_fallback), provider_requests_per_minute.<provider>.
    """
    from aif_console.configuration import run_set_config, typed_value

    typed = typed_value(value, file)
    reach = where.reach(as_operator=True)
    finish(run_set_config(name, typed, reach, on_stdout(), version=version, as_json=as_json))


@config.command()
@_NAME
@_VERSION
@asks_as_operator
def unset(name: str, version: int | None, as_json: bool, where: Where) -> None:
    """Unset a key: each process goes by its settings again."""
    from aif_console.configuration import run_unset_config

    finish(run_unset_config(name, where.reach(as_operator=True), on_stdout(), version=version, as_json=as_json))
