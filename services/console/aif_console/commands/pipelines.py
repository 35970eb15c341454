"""What concerns pipelines: `aif templates`, `aif pipelines …`."""

from pathlib import Path

import rich_click as click

from aif_console.commands.running import ListsByDefault, Where, asks_a_factory, finish, on_stdout

_FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
_WITHOUT_WORKERS = click.option(
    "--without-workers", is_flag=True, help="Allow workers and actions that nobody offers now, to be started later."
)


@click.command()
@asks_a_factory
def templates(as_json: bool, where: Where) -> None:
    """Show what can be ordered, with every parameter."""
    from aif_console.looking import run_templates

    finish(run_templates(where.reach(), on_stdout(), as_json=as_json))


@click.group(cls=ListsByDefault)
def pipelines() -> None:
    """Pipelines as documents: list, check, save, show."""


@pipelines.command(name="list")
@click.option("--name", help="Only the versions of this one.")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="How many.")
@asks_a_factory
def list_stored(name: str | None, limit: int, as_json: bool, where: Where) -> None:
    """List what is stored, newest version first."""
    from aif_console.stored_pipelines import run_pipelines

    finish(run_pipelines(name, where.reach(), on_stdout(), limit=limit, as_json=as_json))


@pipelines.command()
@_FILE
@_WITHOUT_WORKERS
@click.option("--offline", is_flag=True, help="Ask no factory, even if one runs here.")
@asks_a_factory
def check(file: Path, without_workers: bool, offline: bool, as_json: bool, where: Where) -> None:
    """Look for mistakes in a document, YAML or JSON. Where no factory runs, its workers stay out of the check."""
    from aif_console.stored_pipelines import find_factory, run_check

    is_named = where.names_a_factory
    reach = None if offline else find_factory(where.reach, is_named=is_named)
    finish(run_check(file, reach, on_stdout(), is_named=is_named, require_workers=not without_workers, as_json=as_json))


@pipelines.command()
@_FILE
@click.option("--for-everybody", is_flag=True, help="Offer it to every client; this takes the operator's key.")
@_WITHOUT_WORKERS
@asks_a_factory
def save(file: Path, for_everybody: bool, without_workers: bool, as_json: bool, where: Where) -> None:
    """Store a document as a version of a pipeline. A stored version never changes."""
    from aif_console.stored_pipelines import run_save

    reach = where.reach(as_operator=for_everybody)
    finish(
        run_save(file, reach, on_stdout(), for_everybody=for_everybody, require_workers=not without_workers, as_json=as_json)
    )


@pipelines.command()
@click.argument("name")
@click.option("--version", help="Another version than the newest.")
@click.option("--yaml", "as_yaml", is_flag=True, help="Print the document, with every default, to be changed and saved again.")
@asks_a_factory
def show(name: str, version: str | None, as_yaml: bool, as_json: bool, where: Where) -> None:
    """Show a pipeline: parameters, stages, rules."""
    from aif_console.stored_pipelines import run_show_pipeline

    finish(run_show_pipeline(name, version, where.reach(), on_stdout(), as_yaml=as_yaml, as_json=as_json))
