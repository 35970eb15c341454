"""`aif batch`, `aif batches`: many orders of one kind."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.text import Text

from aif_console.batch_file import read_inputs, with_sources
from aif_console.exit_codes import DONE, FAILED
from aif_console.following.batch_display import follow_batch, progress_words
from aif_console.gateway.batches import (
    BatchAnswer,
    BatchItem,
    NewBatch,
    cancel_batch,
    list_batches,
    list_items,
    place_batch,
    read_batch,
)
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.ids import checked_id, checked_name
from aif_console.gateway.reach import Reach
from aif_console.moments import local_time
from aif_console.orders import Output
from aif_console.parameters import SourceUploads, schema_of, typed
from aif_console.reading.columns import Columns
from aif_console.reading.hanging import rows
from aif_console.reading.json_output import print_json
from aif_console.reading.plain_text import counted, dollars, plain
from aif_contracts.money import UsdText

KIND = "batch"
LISTED_BY = "aif batches"
LOOK_EVERY_SECONDS = 0.5
TROUBLES_SHOWN = 20
TROUBLE = ("failed", "refused", "cancelled")
HEADINGS = ("BATCH", "ORDERED", "ENDED", "COST", "TEMPLATE")


class BatchWish(Struct, frozen=True, kw_only=True):
    """What the command line of `aif batch` asks for."""

    template: str
    file: Path
    texts: Mapping[str, str]
    """Parameters of every order, as they were typed."""
    urgency: str = "normal"
    start_at: str | None = None
    """RFC 3339; None for at once."""
    max_cost_usd: UsdText | None = None
    """Of each execution; None for the operator's limit."""
    version: str | None = None
    """None for the newest of the template."""


async def run_batch(wish: BatchWish, reach: Reach, output: Output, *, wait: bool) -> int:
    """Place all orders or none, and follow them until all have ended."""
    async with Gateway(reach.url, reach.key) as gateway:
        properties = await schema_of(gateway, checked_name(wish.template, "TEMPLATE"), wish.version)
        uploads = SourceUploads(gateway, wish.template, wish.version)
        inputs = await with_sources(read_inputs(wish.file, properties), wish.file.parent, uploads)
        shared = await with_sources([typed(wish.texts, properties)], Path(), uploads)
        batch = await place_batch(
            gateway,
            NewBatch(
                selected_template=wish.template,
                inputs=inputs,
                parameters=shared[0],
                message=f"{wish.template} from {wish.file.name}"[:4000],
                urgency_level=wish.urgency,
                start_at=wish.start_at,
                max_cost_usd=wish.max_cost_usd,
                template_version=wish.version,
            ),
        )
        _say(output.progress, f"{batch.batch_id}: {counted(batch.total, 'order')} placed")
        if wait:
            return await _until_end(gateway, batch, output)
    if output.as_json:
        print_json(output.console, batch)
    else:
        _say(output.console, f"watch it: aif batches watch {batch.batch_id}")
    return DONE


async def run_watch_batch(batch_id: str, reach: Reach, output: Output) -> int:
    """Follow a batch to its end."""
    async with Gateway(reach.url, reach.key) as gateway:
        return await _until_end(gateway, await read_batch(gateway, checked_id(batch_id, KIND, LISTED_BY)), output)


async def run_batches(reach: Reach, console: Console, *, limit: int, as_json: bool) -> int:
    """The newest ones."""
    async with Gateway(reach.url, reach.key) as gateway:
        page = await list_batches(gateway, limit=limit)
    if as_json:
        print_json(console, page)
    elif not page.batches:
        _say(console, "no batch was ordered yet")
    else:
        console.print(Columns(HEADINGS, (_cells(batch) for batch in page.batches)), soft_wrap=True)
    return DONE


async def run_show_batch(
    batch_id: str, reach: Reach, console: Console, *, status: str | None, limit: int, as_json: bool
) -> int:
    """One batch and its orders."""
    async with Gateway(reach.url, reach.key) as gateway:
        batch = await read_batch(gateway, checked_id(batch_id, KIND, LISTED_BY))
        page = await list_items(gateway, batch_id, status=status, limit=limit)
    if as_json:
        print_json(console, BatchWithItems(batch=batch, items=page.items, next_cursor=page.next_cursor))
        return DONE
    console.print(
        rows(
            (
                ("Batch", batch.batch_id),
                ("Template", f"{batch.selected_template} {batch.template_version or ''}".strip()),
                ("Ordered", local_time(batch.created_at)),
                ("State", progress_words(batch)),
                ("Limit", "" if batch.max_cost_usd is None else f"{dollars(batch.max_cost_usd)} for each order"),
            )
        )
    )
    console.print()
    console.print(_rendered_items(page.items), soft_wrap=True)
    if page.next_cursor is not None:
        console.print(Text(f"these are the first {limit}; --limit shows more, up to 100, --status only some", style="dim"))
    return DONE


async def run_cancel_batch(batch_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """End what has not ended."""
    async with Gateway(reach.url, reach.key) as gateway:
        batch = await cancel_batch(gateway, checked_id(batch_id, KIND, LISTED_BY))
    if as_json:
        print_json(console, batch)
    else:
        _say(console, f"{batch.batch_id}: {progress_words(batch)}")
    return DONE


class BatchWithItems(Struct, frozen=True, kw_only=True):
    """What `aif batches show --json` prints."""

    batch: BatchAnswer
    items: tuple[BatchItem, ...]
    next_cursor: str | None


async def _until_end(gateway: Gateway, batch: BatchAnswer, output: Output) -> int:
    try:
        ended = await follow_batch(
            lambda: read_batch(gateway, batch.batch_id), console=output.progress, pause_seconds=LOOK_EVERY_SECONDS
        )
    except asyncio.CancelledError:
        _say(output.progress, f"it goes on without you; come back with: aif batches watch {batch.batch_id}")
        raise
    troubles = ended.count_of(*TROUBLE)
    if output.as_json:
        print_json(output.console, ended)
    else:
        for status in TROUBLE:
            if ended.count_of(status):
                page = await list_items(gateway, batch.batch_id, status=status, limit=TROUBLES_SHOWN)
                output.console.print(_rendered_items(page.items), soft_wrap=True)
        _say(output.console, f"all of it: aif batches show {batch.batch_id}")
    return FAILED if troubles else DONE


def _rendered_items(items: tuple[BatchItem, ...]) -> Columns:
    return Columns(("INPUT", "REQUEST", "STATUS", "WHY"), (_item_cells(item) for item in items))


def _item_cells(item: BatchItem) -> tuple[str, ...]:
    request = item.request
    why = "" if request.problem is None else request.problem.message
    return (str(item.index), request.request_id, request.execution_status or request.status, why)


def _cells(batch: BatchAnswer) -> tuple[str, ...]:
    ended = f"{batch.ended} of {batch.total}"
    return (
        batch.batch_id,
        local_time(batch.created_at)[5:16],
        ended,
        dollars(batch.total_cost_usd),
        batch.selected_template,
    )


def _say(console: Console | None, words: str) -> None:
    if console is not None:
        console.print(Text(plain(words)), soft_wrap=True)
