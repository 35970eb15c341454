"""How far a batch is: a bar on a terminal, and a line for every change where there is none."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from aif_console.gateway.batches import BatchAnswer
from aif_console.reading.plain_text import dollars, plain

BAR_WIDTH = 50


async def follow_batch(
    look: Callable[[], Awaitable[BatchAnswer]], *, console: Console | None, pause_seconds: float
) -> BatchAnswer:
    """Look again and again until every order of it has ended; without a console, in silence."""
    if console is None:
        return await _followed(look, lambda _: None, pause_seconds)
    if not console.is_terminal:
        return await _followed(look, _Lines(console), pause_seconds)
    with Live(console=console, refresh_per_second=4) as live:
        return await _followed(look, lambda batch: live.update(rendered_progress(batch)), pause_seconds)


def rendered_progress(batch: BatchAnswer) -> RenderableType:
    return Group(ProgressBar(total=100, completed=batch.progress_percent, width=BAR_WIDTH), Text(progress_words(batch)))


def progress_words(batch: BatchAnswer) -> str:
    """`12 of 40 ended, 61 %, $0.12: 10 completed, 2 failed, 28 running`."""
    counts = ", ".join(f"{count} {status}" for status, count in batch.counts.items() if count)
    return plain(f"{batch.ended} of {batch.total} ended, {batch.progress_percent} %, {dollars(batch.total_cost_usd)}: {counts}")


class _Show(Protocol):
    def __call__(self, batch: BatchAnswer, /) -> None: ...


class _Lines:
    """Says nothing twice."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = ""

    def __call__(self, batch: BatchAnswer, /) -> None:
        words = progress_words(batch)
        if words != self._said:
            self._console.print(Text(words), soft_wrap=True)
        self._said = words


async def _followed(look: Callable[[], Awaitable[BatchAnswer]], show: _Show, pause_seconds: float) -> BatchAnswer:
    while True:
        batch = await look()
        show(batch)
        if batch.has_ended:
            return batch
        await asyncio.sleep(pause_seconds)
