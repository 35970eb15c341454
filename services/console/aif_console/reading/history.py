"""What happened in an execution: its attempts, its provider calls, its events."""

from collections.abc import Sequence

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from aif_console.moments import local_time
from aif_console.reading.columns import Columns
from aif_console.reading.event_words import event_line, is_chatter
from aif_console.reading.figures import maker, token_words
from aif_console.reading.hanging import rows
from aif_console.reading.plain_text import dollars, milliseconds, plain, size
from aif_contracts.events import ExecutionEvent
from aif_contracts.history import AttemptOutcome, AttemptView
from aif_contracts.metering import ProviderCall
from aif_contracts.packets import Grant

SHORT_LOG = 12
_OUTCOME_STYLES = {AttemptOutcome.COMPLETED: "green", AttemptOutcome.FAILED: "red", AttemptOutcome.RUNNING: "cyan"}


def attempts_in_short(attempts: Sequence[AttemptView]) -> RenderableType:
    """One line for each."""
    return Columns(
        ("STAGE", "TRY", "OUTCOME", "QUEUED", "TOOK", "TOKENS", "COST", "WHY"),
        (
            (
                attempt.stage_id,
                str(attempt.attempt),
                attempt.outcome.value,
                milliseconds(attempt.queue_time_ms),
                milliseconds(attempt.execution_time_ms),
                str(attempt.metrics.tokens_used.total_tokens),
                dollars(attempt.metrics.cost_usd),
                _why(attempt),
            )
            for attempt in attempts
        ),
    )


def attempts_in_full(attempts: Sequence[AttemptView]) -> RenderableType:
    """With the grant, the worker's process, and what came of it."""
    parts: list[RenderableType] = []
    for attempt in attempts:
        head = Text.assemble(
            (f"{plain(attempt.stage_id)} {attempt.attempt}  ", "bold cyan"),
            (attempt.outcome.value, _OUTCOME_STYLES[attempt.outcome]),
            plain(f"  by {attempt.worker_name} {attempt.action}"),
        )
        parts += [head, rows(_attempt_rows(attempt)), Text("")]
    return Group(*parts[:-1])


def calls_in_full(calls: Sequence[ProviderCall]) -> RenderableType:
    """One line for each provider call."""
    return Columns(
        ("STAGE", "TRY", "PROVIDER AND MODEL", "PURPOSE", "OUTCOME", "TOKENS", "COST", "TOOK", "ERROR"),
        (
            (
                call.stage_id,
                str(call.attempt),
                f"{call.provider} {call.model}",
                call.purpose,
                call.outcome.value,
                str(call.tokens.total_tokens),
                _call_cost(call),
                milliseconds(call.latency_ms),
                call.error or "",
            )
            for call in calls
        ),
    )


def events_in_full(events: Sequence[ExecutionEvent]) -> RenderableType:
    """One line for each event, times as they are here."""
    return Columns(
        ("EVENT", "AT", "DONE", "WHAT"),
        (
            (str(event.sequence), local_time(event.time)[5:], f"{event.progress_percent:3d} %", event_line(event))
            for event in events
        ),
    )


def events_in_short(events: Sequence[ExecutionEvent]) -> RenderableType:
    """The newest ones of those that tell more than progress and cost."""
    telling = [event for event in events if not is_chatter(event)]
    log = events_in_full(telling[-SHORT_LOG:])
    left_out = len(events) - min(len(telling), SHORT_LOG)
    return Group(log, Text(f"{left_out} more: --events", style="dim")) if left_out else log


def _attempt_rows(attempt: AttemptView) -> list[tuple[str, str]]:
    metrics = attempt.metrics
    used, time = metrics.resource_usage, metrics.breakdown
    made_by = f" at {maker(metrics)}" if metrics.provider else ""
    return [
        ("  worker", attempt.instance_id or "not known: its report was its only sign of life"),
        ("  packet", attempt.packet_id),
        ("  grant", "" if attempt.grant is None else grant_words(attempt.grant)),
        ("  began", local_time(attempt.started_at)),
        ("  ended", local_time(attempt.ended_at)),
        (
            "  time",
            f"{milliseconds(attempt.queue_time_ms)} queued, {milliseconds(attempt.execution_time_ms)} of work: "
            f"AI {milliseconds(time.ai_generation_ms)}, validation {milliseconds(time.validation_ms)}, "
            f"storage {milliseconds(time.storage_ms)}",
        ),
        ("  used", f"{dollars(metrics.cost_usd)}, tokens {token_words(metrics.tokens_used)}{made_by}"),
        (
            "  resources",
            f"{used.api_calls} API, {used.kv_operations} key-value, {used.r2_operations} object calls, "
            f"{used.cpu_time_ms} ms CPU, {used.memory_mb} MB memory",
        ),
        ("  made", _made(attempt)),
        ("  failure", attempt.failure_code or ""),
        ("  said", attempt.message),
    ]


def grant_words(grant: Grant) -> str:
    """What an attempt was allowed."""
    match grant.models:
        case None:
            models = "any model of the worker"
        case ():
            models = "local providers only"
        case named:
            models = ", ".join(named)
    tokens = "" if grant.max_tokens is None else f", at most {grant.max_tokens} output tokens"
    energy = f", energy {grant.energy}" if grant.energy else ""
    tuned = f", {msgspec.json.encode(grant.parameters).decode()}" if grant.parameters else ""
    return f"{models}, at most {dollars(grant.max_cost_usd)}{tokens}{energy}, cache {'on' if grant.cache else 'off'}{tuned}"


def _made(attempt: AttemptView) -> str:
    words = []
    if attempt.quality_score is not None:
        words.append(f"quality {attempt.quality_score:.2f}")
    if attempt.element_count is not None:
        words.append(f"{attempt.element_count} elements")
    if attempt.output is not None:
        output = attempt.output
        words.append(f"{size(output.size_bytes)} in {output.storage_type.value} {output.storage_key}")
    return ", ".join(words)


def _why(attempt: AttemptView) -> str:
    return f"{attempt.failure_code}: {attempt.message}".removesuffix(": ") if attempt.failure_code else attempt.message


def _call_cost(call: ProviderCall) -> str:
    if call.cost_usd is None and call.upper_bound_usd is not None:
        return f"up to {dollars(call.upper_bound_usd)}"
    return dollars(call.cost_usd)
