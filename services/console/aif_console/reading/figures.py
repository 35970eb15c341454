"""What an execution used: tokens, time, resources, money."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from aif_console.reading.hanging import Hanging, rows
from aif_console.reading.plain_text import counted, dollars, in_place_of, milliseconds, plain
from aif_contracts.events import Kept, Totals
from aif_contracts.metering import Metrics, Tokens
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
            f"{used.api_calls} {'API call' if used.api_calls == 1 else 'API calls'}, "
            f"{used.kv_operations} key-value and {used.r2_operations} object operations, "
            f"{used.cpu_time_ms} ms CPU, {used.memory_mb} MB memory",
        ),
        ("Attempts", str(totals.attempts)),
        ("Quality", _quality(execution.stages)),
        ("Cost", cost_words(totals)),
    ]
    return rows(pairs)


def rendered_stages(execution: ExecutionView) -> RenderableType:
    """Each stage with what it used, failed attempts included."""
    lines: list[RenderableType] = []
    for stage in execution.stages:
        metrics = stage.metrics
        quality = "" if stage.quality_score is None else f", quality {stage.quality_score:.2f}"
        words = (
            f"{_origin(stage)}{stage.status.value}, {stage.progress_percent} %, attempt {stage.attempt}: "
            f"{metrics.tokens_used.total_tokens} tokens, {milliseconds(metrics.processing_time_ms)}, "
            f"{dollars(metrics.cost_usd)}{quality}, by {stage.worker_name} {stage.action}{_fallback(stage)}"
        )
        lines.append(Hanging(Text(plain(words)), marker=Text(f"{plain(stage.stage_id)}  ", style="cyan")))
        if stage.reason:
            lines.append(Hanging(Text(plain(stage.reason), style="dim"), indent=2))
    return Group(*lines)


def _origin(stage: StageView) -> str:
    """For stages that the template does not name as work."""
    if stage.compensates is not None:
        return f"undoes {stage.compensates}: "
    return f"added by {stage.added_by}: " if stage.added_by is not None else ""


def _fallback(stage: StageView) -> str:
    words = in_place_of(stage.metrics.fallback_from, stage.metrics.fallback_reason)
    return f" with {stage.metrics.model} {words}" if words else ""


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


def kept_words(kept: Kept) -> str:
    """What a resumed execution has saved."""
    if not kept.stages:
        return "nothing was kept: every stage runs anew"
    return (
        f"kept {counted(len(kept.stages), 'stage')}: {dollars(kept.cost_usd)}, "
        f"{kept.tokens_used.total_tokens:,} tokens, {kept.processing_time_ms / 1000:.1f} s not paid for again"
    )


def cost_words(totals: Totals) -> str:
    return dollars(totals.cost_usd, is_complete=totals.cost_is_complete)


def makers(stages: Iterable[StageView]) -> str:
    """Provider and model of each stage that had one, and in whose place, each once."""
    made = [maker(stage.metrics) for stage in stages if stage.metrics.provider]
    return ", ".join(dict.fromkeys(made))


def maker(metrics: Metrics) -> str:
    """Provider and model, and in whose place; empty where none was reached."""
    parts = (metrics.provider, metrics.model, in_place_of(metrics.fallback_from, metrics.fallback_reason))
    return " ".join(part for part in parts if part)


def _quality(stages: Iterable[StageView]) -> str:
    return ", ".join(f"{stage.stage_id} {stage.quality_score:.2f}" for stage in stages if stage.quality_score is not None)
