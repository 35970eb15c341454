"""What an execution used: tokens, time, resources, money."""

from collections.abc import Iterable

from rich.console import RenderableType
from rich.table import Table

from aif_console.reading.hanging import rows
from aif_console.reading.plain_text import dollars, milliseconds, plain
from aif_contracts.events import Totals
from aif_contracts.metering import Tokens
from aif_contracts.orders import ExecutionView, StageView


def rendered_totals(execution: ExecutionView) -> RenderableType:
    """One line for each kind of thing."""
    totals = execution.totals
    used, time = totals.resource_usage, totals.breakdown
    pairs = [
        ("Made by", makers(execution.stages)),
        ("Tokens", token_words(totals.tokens_used)),
        (
            "Time",
            f"{milliseconds(totals.wall_time_ms)} from order to end, {milliseconds(totals.busy_time_ms)} of work: "
            f"AI {milliseconds(time.ai_generation_ms)}, validation {milliseconds(time.validation_ms)}, "
            f"storage {milliseconds(time.storage_ms)}",
        ),
        (
            "Resources",
            f"{used.api_calls} API {'call' if used.api_calls == 1 else 'calls'}, {used.kv_operations} key-value and {used.r2_operations} object operations, "
            f"{used.cpu_time_ms} ms CPU, {used.memory_mb} MB memory",
        ),
        ("Attempts", str(totals.attempts)),
        ("Quality", _quality(execution.stages)),
        ("Cost", cost_words(totals)),
    ]
    return rows(pairs)


def rendered_stages(execution: ExecutionView) -> RenderableType:
    """One row for each stage."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("stage", "status", "%", "attempt", "tokens", "time", "cost", "quality"):
        table.add_column(column, no_wrap=True)
    table.add_column("worker", overflow="fold")
    for stage in execution.stages:
        metrics = stage.metrics
        table.add_row(
            plain(stage.stage_id),
            stage.status.value,
            str(stage.progress_percent),
            str(stage.attempt),
            str(metrics.tokens_used.total_tokens),
            milliseconds(metrics.processing_time_ms),
            dollars(metrics.cost_usd),
            "" if stage.quality_score is None else f"{stage.quality_score:.2f}",
            plain(f"{stage.worker_name} {stage.action} {stage.reason}".strip()),
        )
    return table


def token_words(tokens: Tokens) -> str:
    finer = [
        f"{count} {name}"
        for name, count in (
            ("read from cache", tokens.cache_read_tokens),
            ("written to cache", tokens.cache_write_tokens),
            ("reasoning", tokens.reasoning_tokens),
        )
        if count
    ]
    words = f"{tokens.total_tokens} ({tokens.prompt_tokens} prompt, {tokens.completion_tokens} completion)"
    return f"{words}; of these {', '.join(finer)}" if finer else words


def cost_words(totals: Totals) -> str:
    return dollars(totals.cost_usd, is_complete=totals.cost_is_complete)


def makers(stages: Iterable[StageView]) -> str:
    """Provider and model of each stage that had one, each pair once."""
    pairs = [f"{stage.metrics.provider} {stage.metrics.model or ''}".strip() for stage in stages if stage.metrics.provider]
    return ", ".join(dict.fromkeys(pairs))


def _quality(stages: Iterable[StageView]) -> str:
    return ", ".join(f"{stage.stage_id} {stage.quality_score:.2f}" for stage in stages if stage.quality_score is not None)
