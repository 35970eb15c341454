"""What concerns many orders: `aif batch`, `aif batches …`."""

from pathlib import Path

import rich_click as click

from aif_console.commands.running import (
    AT,
    MAX_COST,
    PARAMS,
    URGENCY,
    VERSION,
    ListsByDefault,
    Where,
    asks_a_factory,
    finish,
    on_stdout,
    output_of,
)

_ID = click.argument("batch_id", metavar="ID")
_STATUSES = ("submitting", "running", "completed", "partially_completed", "failed", "cancelled", "refused")


@click.command()
@click.argument("template")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@PARAMS
@URGENCY
@AT
@MAX_COST
@VERSION
@click.option("--wait/--no-wait", default=True, show_default=True, help="Follow it until all orders have ended.")
@asks_a_factory
def batch(
    template: str,
    file: Path,
    params: tuple[str, ...],
    urgency: str,
    at: str | None,
    max_cost: str | None,
    version: str | None,
    wait: bool,
    as_json: bool,
    where: Where,
) -> None:
    """Order the same from many inputs: JSON lines, a JSON list, or CSV with a header.

    Each input holds parameters of the template; --param gives those that all have in common. A `source` that names a
    file, as seen from FILE, is uploaded.
    """
    from aif_console.batches import BatchWish, run_batch
    from aif_console.cost_limits import cost_limit
    from aif_console.moments import coming_moment
    from aif_console.parameters import named_texts
    from aif_runtime.clock import SystemClock

    wish = BatchWish(
        template=template,
        file=file,
        texts=named_texts(params),
        urgency=urgency,
        start_at=coming_moment(at, "--at", SystemClock().now()),
        max_cost_usd=cost_limit(max_cost, "--max-cost"),
        version=version,
    )
    finish(run_batch(wish, where.reach(), output_of(as_json, None), wait=wait))


@click.group(cls=ListsByDefault)
def batches() -> None:
    """Many orders at once: list, show, watch, cancel."""


@batches.command(name="list")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="How many, newest first.")
@asks_a_factory
def list_them(limit: int, as_json: bool, where: Where) -> None:
    """List batches, newest first."""
    from aif_console.batches import run_batches

    finish(run_batches(where.reach(), on_stdout(), limit=limit, as_json=as_json))


@batches.command()
@_ID
@click.option("--status", type=click.Choice(_STATUSES), help="Only orders with this status.")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="How many orders.")
@asks_a_factory
def show(batch_id: str, status: str | None, limit: int, as_json: bool, where: Where) -> None:
    """Show a batch and its orders."""
    from aif_console.batches import run_show_batch

    finish(run_show_batch(batch_id, where.reach(), on_stdout(), status=status, limit=limit, as_json=as_json))


@batches.command()
@_ID
@asks_a_factory
def watch(batch_id: str, as_json: bool, where: Where) -> None:
    """Follow a batch until all its orders have ended."""
    from aif_console.batches import run_watch_batch

    finish(run_watch_batch(batch_id, where.reach(), output_of(as_json, None)))


@batches.command()
@_ID
@asks_a_factory
def cancel(batch_id: str, as_json: bool, where: Where) -> None:
    """Cancel what has not ended."""
    from aif_console.batches import run_cancel_batch

    finish(run_cancel_batch(batch_id, where.reach(), on_stdout(), as_json=as_json))
