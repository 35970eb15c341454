"""Progress on a terminal, redrawn in place; and as plain lines where there is no terminal."""

from collections.abc import AsyncIterator
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aif_console.following.progress import Progress, StageProgress, advanced, elapsed_seconds
from aif_console.reading.event_words import event_line, is_steering
from aif_console.reading.plain_text import dollars, plain
from aif_contracts.events import ExecutionEvent
from aif_contracts.orders import StageStatus
from aif_runtime.clock import Clock

REDRAWS_PER_SECOND = 8
BAR_WIDTH = 28

_STYLES = {
    StageStatus.COMPLETED: "green",
    StageStatus.FAILED: "red",
    StageStatus.RETRYING: "yellow",
    StageStatus.RUNNING: "cyan",
    StageStatus.AWAITING_APPROVAL: "bold magenta",
}


async def follow(events: AsyncIterator[ExecutionEvent], *, console: Console | None, clock: Clock) -> Progress:
    """Show the events as they come, until there are no more; without a console, in silence."""
    if console is None:
        return await _followed(events, _Silence())
    if not console.is_terminal:
        return await _followed(events, _Lines(console))
    picture = _Picture(console, clock)
    with Live(get_renderable=picture.render, console=console, refresh_per_second=REDRAWS_PER_SECOND):
        return await _followed(events, picture)


class _Silence:
    def show(self, progress: Progress, event: ExecutionEvent) -> None:
        """Nothing."""


class _Lines:
    """One line an event, with the time since the first one."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, progress: Progress, event: ExecutionEvent) -> None:
        seconds = elapsed_seconds(progress.began, None, datetime.fromisoformat(event.time))
        self._console.print(Text(f"{seconds:7.1f} s {progress.percent:4d} %  {event_line(event)}"), soft_wrap=True)


class _Picture:
    """The newest progress; the display asks for it several times a second. What changes its course stays above it as a line."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._progress = Progress()

    def show(self, progress: Progress, event: ExecutionEvent) -> None:
        self._progress = progress
        if is_steering(event):
            self._console.print(Text(event_line(event)), soft_wrap=True)

    def render(self) -> RenderableType:
        progress, now = self._progress, self._clock.now()
        head = Text.assemble(
            (f"{plain(progress.template) or 'waiting for the first event'}  ", "bold"),
            (f"{progress.status}  " if progress.status != "running" else ""),
            f"{progress.percent} %  {elapsed_seconds(progress.began, progress.ended, now):.1f} s  ",
            f"{progress.tokens} tokens  {dollars(progress.cost_usd)}",
        )
        table = Table.grid(padding=(0, 2))
        for stage in progress.stages:
            seconds = elapsed_seconds(stage.began, stage.ended or progress.ended, now)
            table.add_row(*stage_row(stage, seconds))
        return Group(head, table)


def stage_row(stage: StageProgress, seconds: float) -> list[RenderableType]:
    """Status, name, bar, percent, time, tokens, cost, and what there is to say."""
    attempt = f" (attempt {stage.attempt})" if stage.attempt > 1 else ""
    return [
        Text(stage.status.value, style=_STYLES.get(stage.status, "dim")),
        Text(stage.name + attempt, style="bold"),
        ProgressBar(total=100, completed=stage.percent, width=BAR_WIDTH),
        Text(f"{stage.percent:3d} %"),
        Text(f"{seconds:.1f} s"),
        Text(f"{stage.tokens} tokens" if stage.tokens else ""),
        Text(dollars(stage.cost_usd) if stage.cost_usd is not None else ""),
        Text(plain("; ".join(words for words in (stage.fallback, stage.note) if words)), style="dim"),
    ]


async def _followed(events: AsyncIterator[ExecutionEvent], display: _Silence | _Lines | _Picture) -> Progress:
    progress = Progress()
    async for event in events:
        progress = advanced(progress, event)
        display.show(progress, event)
    return progress
