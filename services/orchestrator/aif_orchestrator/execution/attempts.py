"""One stage's attempts: claimed, alive, ended, silent. Every end is recorded, and whatever an attempt spent is charged once."""

from hashlib import sha256

from msgspec.structs import replace

from aif_contracts.events import (
    CompensationCompleted,
    CostIncurred,
    ProgressUpdate,
    StepCompleted,
    StepRetrying,
    StepStarted,
)
from aif_contracts.metering import Metrics, ProviderCall
from aif_contracts.money import ZERO, usd, usd_text
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_contracts.packets import Grant, Granted, Later, PreviousAttempt, Proceed, Superseded
from aif_contracts.performance import PerformanceRecord
from aif_contracts.reports import HANDED_BACK
from aif_orchestrator.execution import ending, judging, readiness, saga, steering
from aif_orchestrator.execution.allowance import allowance_of, still_reserved
from aif_orchestrator.execution.assignee import action_of, worker_of
from aif_orchestrator.execution.commands import (
    AnswerClaim,
    AnswerProgress,
    AttemptAccount,
    BuryPacket,
    RecordAttempt,
    RecordCall,
)
from aif_orchestrator.execution.draft import Draft, is_open, rfc3339
from aif_orchestrator.execution.happenings import (
    AttemptClaimed,
    AttemptCompleted,
    AttemptFailed,
    AttemptProgressed,
    PacketDeclined,
)
from aif_orchestrator.execution.metering import add_metrics, known_cost, metrics_of_call, sum_usd
from aif_orchestrator.execution.state import StageRun

WORKER_LOST = "worker_lost"
NOT_BEGUN = "not_begun"
OUTPUT_INVALID = "output_invalid"
BUDGET_EXCEEDED = "budget_exceeded"
BUDGET_LATER_MS = 1_000
LATER_AT_MOST_MS = 5_000


def claim(draft: Draft, happening: AttemptClaimed) -> None:
    """Give the stage's next attempt to the worker that asks, unless another one holds it or the packet is an old one."""
    stage_id = happening.stage_id
    run = draft.stages[stage_id]
    newest = readiness.packet_id(draft.execution.execution_id, stage_id, run.dispatches)
    if happening.packet_id != newest:
        draft.command(AnswerClaim(answer=Superseded()))
        return
    if happening.claim_id and happening.claim_id == run.claim_id and _has_open_attempt(run):
        # The answer was lost on its way, and its worker asks again.
        draft.change(stage_id, heard_at=draft.at, due_at=_lease_end(draft, run))
        draft.command(AnswerClaim(answer=_granted(draft, stage_id)))
        return
    if run.status is StageStatus.RUNNING and run.due_at is not None and draft.at < run.due_at:
        wait_ms = max(100, min(run.due_at - draft.at, LATER_AT_MOST_MS))
        draft.command(AnswerClaim(answer=Later(retry_after_ms=wait_ms, reason="another worker holds this attempt")))
        return
    if _has_open_attempt(run):
        # The packet came again although its attempt was opened: whoever had it is gone.
        _lose(draft, stage_id)
        if draft.stages[stage_id].status.is_final:
            draft.command(AnswerClaim(answer=Superseded()))
            return
    if draft.execution.status is ExecutionStatus.PAUSED:
        # The packet may go: a pause can last for weeks, and the stage is offered anew after it.
        readiness.park(draft, stage_id)
        draft.command(AnswerClaim(answer=Superseded()))
        return
    grant = _affordable(draft, stage_id)
    if grant is not None:
        _open_attempt(draft, happening, grant)
    elif any(_may_give_back(draft, other) for other in draft.stages.values()):
        reason = "the execution's budget is reserved by its other attempts"
        draft.command(AnswerClaim(answer=Later(retry_after_ms=BUDGET_LATER_MS, reason=reason)))
    else:
        draft.command(AnswerClaim(answer=Superseded()))
        message = f"nothing is left of the {draft.execution.max_cost_usd} USD that the execution may spend"
        readiness.give_up(draft, stage_id, BUDGET_EXCEEDED, message)


def progress(draft: Draft, happening: AttemptProgressed) -> None:
    """Note a sign of life and extend the lease."""
    stage_id = happening.stage_id
    if not _is_current(draft.stages[stage_id], happening.attempt):
        draft.command(AnswerProgress(answer=Superseded()))
        return
    _hear_of(draft, stage_id, happening.instance_id)
    run = draft.stages[stage_id]
    news = happening.percent > run.progress_percent or bool(happening.message)
    if run.is_waiting:
        # Its time begins when it begins.
        timeout_ms = int(draft.plan_of(stage_id).stage.timeout_seconds * 1000)
        run = draft.change(stage_id, is_waiting=happening.is_waiting, times_out_at=draft.at + timeout_ms)
    run = draft.change(
        stage_id,
        heard_at=draft.at,
        due_at=_lease_end(draft, run),
        progress_percent=max(run.progress_percent, happening.percent),
    )
    if news:
        draft.emit(
            ProgressUpdate(
                progress_percent=draft.progress(),
                message=happening.message,
                step_name=stage_id,
                step_percent=run.progress_percent,
            )
        )
    draft.command(AnswerProgress(answer=Proceed()))


def complete(draft: Draft, happening: AttemptCompleted) -> None:
    """Apply a result, once it has passed the stage's validation; a result that has not is a failed attempt."""
    stage_id = happening.stage_id
    if not _is_current(draft.stages[stage_id], happening.attempt):
        settle(draft, stage_id, happening.attempt, happening.metrics)
        return
    _hear_of(draft, stage_id, happening.instance_id, ago_ms=happening.metrics.processing_time_ms)
    settle(draft, stage_id, happening.attempt, happening.metrics)
    plan = draft.plan_of(stage_id)
    check = plan.output_check
    mistakes = check.mistakes(happening.value, happening.quality_score) if check is not None else []
    if mistakes:
        message = "; ".join(mistake.message for mistake in mistakes)
        _record(draft, stage_id, happening.metrics, OUTPUT_INVALID, message, happening)
        draft.change(
            stage_id,
            previous=PreviousAttempt(attempt=happening.attempt, code=OUTPUT_INVALID, message=message, output=happening.output),
        )
        _fail_attempt(draft, stage_id, OUTPUT_INVALID, message, retryable=True, retry_after_ms=None)
        return
    _record(draft, stage_id, happening.metrics, None, happening.summary, happening)
    draft.change(
        stage_id,
        ended=happening.attempt,
        output=happening.output,
        made_at=_after_all_that_was_made(draft),
        quality_score=happening.quality_score,
        element_count=happening.element_count,
        progress_percent=100,
        next_rule=0,
        due_at=None,
    )
    if draft.stages[stage_id].compensates is not None:
        _undone(draft, stage_id, happening)
        return
    draft.emit(
        StepCompleted(
            step_name=stage_id,
            attempt=happening.attempt,
            tokens_used=happening.metrics.tokens_used,
            cost_usd=happening.metrics.cost_usd,
            processing_time_ms=happening.metrics.processing_time_ms,
            provider=happening.metrics.provider,
            model=happening.metrics.model,
            quality_score=happening.quality_score,
            element_count=happening.element_count,
            summary=happening.summary,
        )
    )
    if plan.rules:
        judging.judge(draft, stage_id, {})
    else:
        judging.accept(draft, stage_id)


def fail(draft: Draft, happening: AttemptFailed) -> None:
    stage_id = happening.stage_id
    if not _is_current(draft.stages[stage_id], happening.attempt):
        settle(draft, stage_id, happening.attempt, happening.metrics)
        return
    _hear_of(draft, stage_id, happening.instance_id, ago_ms=happening.metrics.processing_time_ms)
    settle(draft, stage_id, happening.attempt, happening.metrics)
    _record(draft, stage_id, happening.metrics, happening.code, happening.message)
    if happening.code == HANDED_BACK:
        _offer_anew(draft, stage_id, happening.message)
        return
    draft.change(stage_id, previous=PreviousAttempt(attempt=happening.attempt, code=happening.code, message=happening.message))
    _fail_attempt(
        draft,
        stage_id,
        happening.code,
        happening.message,
        retryable=happening.retryable,
        retry_after_ms=happening.retry_after_ms,
    )


def decline(draft: Draft, happening: PacketDeclined) -> None:
    """Offer the stage again after the usual patience: another worker may know the action, or have room by then."""
    run = draft.stages[happening.stage_id]
    if happening.packet_id == readiness.packet_id(draft.execution.execution_id, happening.stage_id, run.dispatches):
        draft.change(happening.stage_id, reason=f"a worker declined it: {happening.message}")


def time_passed(draft: Draft) -> None:
    """Attend to everything that is due: the execution's deadline, silent attempts, waiting retries, packets presumed lost."""
    execution = draft.execution
    if execution.is_final:
        return
    if execution.status is ExecutionStatus.SCHEDULED:
        if execution.start_at is not None and execution.start_at <= draft.at:
            steering.start(draft)
        return
    if _limit_passed(draft):
        return
    for stage_id, run in list(draft.stages.items()):
        if run.due_at is None or run.due_at > draft.at or draft.execution.is_final:
            continue
        run = draft.stages[stage_id]
        if run.status is StageStatus.RUNNING:
            _silence(draft, stage_id, run)
        elif run.status is StageStatus.QUEUED and execution.status is not ExecutionStatus.PAUSED:
            readiness.resend(draft, stage_id)
        elif run.status is StageStatus.RETRYING:
            readiness.dispatch(draft, stage_id)
        elif run.status is StageStatus.PREPARING:
            readiness.prepare(draft, stage_id)
        elif run.status is StageStatus.JUDGING:
            judging.judge(draft, stage_id, {})


def _limit_passed(draft: Draft) -> bool:
    """End, or stop undoing, what has had its time as a whole."""
    execution = draft.execution
    if execution.compensate_until is not None:
        if execution.compensate_until <= draft.at:
            saga.run_out_of_time(draft)
            return True
    elif execution.held_since is not None:
        if execution.held_since + draft.circumstances.patience.most_held_ms <= draft.at:
            days = draft.circumstances.patience.most_held_ms / 86_400_000
            ending.fail(draft, None, "held_too_long", f"it was paused, or waited for a person, for {days:g} days")
            return True
    elif execution.deadline_at <= draft.at:
        limit = draft.circumstances.plan.pipeline.timeout_seconds
        ending.fail(draft, None, "deadline_exceeded", f"the execution did not end within its {limit:g} s")
        return True
    return False


def book_call(draft: Draft, call: ProviderCall) -> None:
    """Charge a provider call. Until its attempt reports, it counts by itself; the report then includes it.

    One of an attempt that nobody was given is kept, and not counted: no report will ever settle it.
    """
    draft.command(RecordCall(call=call))
    run = draft.stages.get(call.stage_id)
    if run is None or not 1 <= call.attempt <= run.attempt or call.attempt in run.settled:
        return
    if any(known.call_key == call.call_key for known in run.unreported_calls):
        return
    run = draft.change(call.stage_id, unreported_calls=(*run.unreported_calls, call))
    cost = metrics_of_call(call).cost_usd
    if cost is None or usd(cost) > ZERO:
        _emit_cost(draft, call.stage_id, call.attempt, cost, call.provider, call.model)


def settle(draft: Draft, stage_id: str, attempt: int, metrics: Metrics) -> None:
    """Charge what an attempt says it spent, once, whatever became of the attempt. Its booked calls are part of it."""
    run = draft.stages.get(stage_id)
    if run is None or attempt in run.settled or attempt > run.attempt:
        return
    booked = [call for call in run.unreported_calls if call.attempt == attempt]
    draft.change(
        stage_id,
        spent=add_metrics(run.spent, metrics),
        settled=(*run.settled, attempt),
        reserved=still_reserved(run.reserved, attempt, metrics),
        unreported_calls=tuple(call for call in run.unreported_calls if call.attempt != attempt),
    )
    if metrics.cost_usd is None:
        return
    already = sum_usd(metrics_of_call(call).cost_usd or "0" for call in booked)
    difference = usd(metrics.cost_usd) - already
    if difference != ZERO:
        _emit_cost(draft, stage_id, attempt, usd_text(difference), metrics.provider, metrics.model)


def _after_all_that_was_made(draft: Draft) -> int:
    """Now; or later, when another replica's clock was ahead: what is made from something is never older than that."""
    return max(draft.at, *((run.made_at or 0) + 1 for run in draft.stages.values()))


def _undone(draft: Draft, stage_id: str, happening: AttemptCompleted) -> None:
    run = draft.change(
        stage_id, status=StageStatus.COMPLETED, input_ref=None, progress_percent=100, finished_at=draft.at, reason=""
    )
    assert run.compensates is not None, "only a compensation undoes a stage"
    draft.change(run.compensates, is_undone=True)
    draft.emit(CompensationCompleted(step_name=run.compensates, attempt=happening.attempt, summary=happening.summary))
    saga.advance(draft)


def _may_give_back(draft: Draft, run: StageRun) -> bool:
    """Some of what its attempts have reserved may be free soon: one is open, or was stopped and may not have said so yet."""
    if not run.reserved:
        return False
    lease_ms = draft.circumstances.patience.lease_ms
    return _has_open_attempt(run) or (run.finished_at is not None and draft.at - run.finished_at < lease_ms)


def _affordable(draft: Draft, stage_id: str) -> Grant | None:
    """What the next attempt may spend; None when nothing is left."""
    plan = draft.plan_of(stage_id)
    if (worker_of(plan), action_of(plan)) in draft.circumstances.free_actions:
        return readiness.FREE_GRANT
    remaining = allowance_of(draft.execution, draft.stages.values()).remaining
    if remaining == ZERO:
        return None
    amount = min(usd(draft.circumstances.max_attempt_cost_usd), remaining)
    return Grant(max_cost_usd=usd_text(amount), cache=plan.stage.cache)


def _open_attempt(draft: Draft, happening: AttemptClaimed, grant: Grant) -> None:
    """Give the stage's next attempt to the worker that asks, and reserve what it may spend."""
    stage_id = happening.stage_id
    run = draft.stages[stage_id]
    attempt = run.attempt + 1
    draft.change(
        stage_id,
        attempt=attempt,
        heard_at=None,
        started_at=None,
        times_out_at=None,
        claim_id=happening.claim_id,
        is_waiting=_is_suspect(draft, run),
        grant=grant,
        reserved=run.reserved if grant.max_cost_usd == "0" else {**run.reserved, attempt: grant.max_cost_usd},
    )
    _hear_of(draft, stage_id, happening.instance_id)
    draft.command(AnswerClaim(answer=_granted(draft, stage_id)))


def _granted(draft: Draft, stage_id: str) -> Granted:
    run = draft.stages[stage_id]
    return Granted(
        attempt=run.attempt,
        grant=run.grant or readiness.FREE_GRANT,
        timeout_ms=int(draft.plan_of(stage_id).stage.timeout_seconds * 1000),
        alone=_is_suspect(draft, run),
    )


def _is_suspect(draft: Draft, run: StageRun) -> bool:
    return run.losses >= draft.circumstances.patience.suspect_losses


def _hear_of(draft: Draft, stage_id: str, instance_id: str | None, *, ago_ms: int = 0) -> None:
    """The open attempt shows itself for the first time: from now on it runs, with a lease and a timeout.

    Short work shows itself only by its report, which tells how long `ago_ms` it began.
    """
    run = draft.stages[stage_id]
    if run.heard_at is not None:
        return
    plan = draft.plan_of(stage_id)
    run = draft.change(
        stage_id,
        status=StageStatus.RUNNING,
        heard_at=draft.at,
        holder=instance_id,
        started_at=max(draft.at - ago_ms, run.ready_at or 0),
        times_out_at=draft.at + int(plan.stage.timeout_seconds * 1000),
        progress_percent=0,
        resends=0,
        reason="",
    )
    draft.change(stage_id, due_at=_lease_end(draft, run))
    if run.compensates is not None:
        return
    started = StepStarted(step_name=stage_id, attempt=run.attempt, worker_name=worker_of(plan), action=action_of(plan))
    draft.emit(started, happened_at=run.started_at)


def _lease_end(draft: Draft, run: StageRun) -> int:
    patience = draft.circumstances.patience
    lease_end = draft.at + patience.lease_ms
    return lease_end if run.times_out_at is None else min(lease_end, run.times_out_at + patience.timeout_slack_ms)


def _has_open_attempt(run: StageRun) -> bool:
    """An attempt was opened, by a claim or together with its packet, and has not ended."""
    return is_open(run) and run.attempt > run.ended


def _is_current(run: StageRun, attempt: int) -> bool:
    """A stage that is offered anew still has the number of the attempt that ended last, until somebody claims the next one."""
    return attempt == run.attempt and _has_open_attempt(run)


def _silence(draft: Draft, stage_id: str, run: StageRun) -> None:
    """The open attempt has had its time, or its worker is silent.

    A worker that lives ends its attempt in time and says so. Only one that is heard of beyond that time overruns it; one that
    is not has fallen silent, and a short timeout must not make a crash use up a retry.
    """
    patience = draft.circumstances.patience
    if run.times_out_at is not None and run.times_out_at + patience.timeout_slack_ms <= draft.at:
        ending.stop_worker_of(draft, stage_id)
        if run.heard_at is not None and run.heard_at >= run.times_out_at:
            seconds = draft.plan_of(stage_id).stage.timeout_seconds
            message = f"attempt {run.attempt} of {stage_id} did not end within its {seconds:g} s"
            _record(draft, stage_id, Metrics(), "timeout", message)
            draft.change(stage_id, previous=PreviousAttempt(attempt=run.attempt, code="timeout", message=message))
            _fail_attempt(draft, stage_id, "timeout", message, retryable=True, retry_after_ms=None)
            return
    _lose(draft, stage_id)
    if not draft.stages[stage_id].status.is_final:
        readiness.dispatch(draft, stage_id)


def _lose(draft: Draft, stage_id: str) -> None:
    """The open attempt fell silent. Its calls stay on the bill; whatever it still reports is late.

    One that waited to be alone had no part in the end of its process, and that is not held against it.
    """
    run = draft.stages[stage_id]
    message = f"the worker of attempt {run.attempt} of {stage_id} fell silent"
    if run.is_waiting:
        message = f"{message} before it began"
        _record(draft, stage_id, Metrics(), NOT_BEGUN, message)
        draft.change(stage_id, ended=run.attempt)
        draft.emit(StepRetrying(step_name=stage_id, attempt=run.attempt, code=NOT_BEGUN, message=message, retry_in_ms=0))
        return
    _record(draft, stage_id, Metrics(), WORKER_LOST, message)
    run = draft.change(stage_id, ended=run.attempt, losses=run.losses + 1)
    if run.losses >= draft.circumstances.patience.max_losses:
        before = run.losses - 1
        message = f"{message}, as {before} others did before; the input may be what kills them"
        draft.command(BuryPacket(packet=readiness.packet_of(draft, stage_id, run, None), reason=message))
        readiness.give_up(draft, stage_id, WORKER_LOST, message)
        return
    draft.emit(StepRetrying(step_name=stage_id, attempt=run.attempt, code=WORKER_LOST, message=message, retry_in_ms=0))


def _offer_anew(draft: Draft, stage_id: str, message: str) -> None:
    """A worker that ends gives its attempt back. That says nothing about the work and uses up no retry."""
    run = draft.stages[stage_id]
    draft.change(stage_id, ended=run.attempt)
    draft.emit(StepRetrying(step_name=stage_id, attempt=run.attempt, code=HANDED_BACK, message=message, retry_in_ms=0))
    readiness.dispatch(draft, stage_id)


def _fail_attempt(draft: Draft, stage_id: str, code: str, message: str, *, retryable: bool, retry_after_ms: int | None) -> None:
    run = draft.stages[stage_id]
    retry = draft.plan_of(stage_id).stage.retry
    run = draft.change(stage_id, ended=run.attempt, failures=run.failures + 1)
    if not retryable or run.failures >= retry.max_attempts:
        readiness.give_up(draft, stage_id, code, message)
        return
    delay_ms = retry_after_ms if retry_after_ms is not None else _backoff_ms(draft, stage_id, run.failures)
    draft.change(
        stage_id,
        status=StageStatus.RETRYING,
        due_at=draft.at + delay_ms,
        progress_percent=0,
        reason=f"attempt {run.attempt} failed ({code}): {message}",
    )
    draft.emit(StepRetrying(step_name=stage_id, attempt=run.attempt, code=code, message=message, retry_in_ms=delay_ms))


def _backoff_ms(draft: Draft, stage_id: str, failures: int) -> int:
    """Exponential backoff, spread by a fraction that depends on the execution alone, so that a repeated step decides alike."""
    backoff = draft.plan_of(stage_id).stage.retry.backoff
    delay = min(backoff.initial_ms * backoff.factor ** (failures - 1), backoff.max_ms)
    digest = sha256(f"{draft.execution.execution_id}.{stage_id}.{failures}".encode()).digest()
    spread = (digest[0] / 255 * 2 - 1) * backoff.jitter
    return max(0, int(delay * (1 + spread)))


def _emit_cost(draft: Draft, stage_id: str, attempt: int, cost: str | None, provider: str | None, model: str | None) -> None:
    total = sum((known_cost(run) for run in draft.stages.values()), ZERO)
    draft.emit(
        CostIncurred(
            step_name=stage_id,
            attempt=attempt,
            cost_usd=cost,
            total_cost_usd=usd_text(total),
            provider=provider,
            model=model,
        )
    )


def _record(
    draft: Draft,
    stage_id: str,
    metrics: Metrics,
    failure_code: str | None,
    message: str,
    made: AttemptCompleted | None = None,
) -> None:
    """Keep how the open attempt has ended; `made` is its result, valid or not."""
    plan = draft.plan_of(stage_id)
    run = draft.stages[stage_id]
    execution = draft.execution
    started_at = run.started_at if run.started_at is not None else draft.at
    record = PerformanceRecord(
        execution_id=execution.execution_id,
        stage_id=stage_id,
        attempt=run.attempt,
        client_id=execution.client_id,
        worker_name=worker_of(plan),
        action=action_of(plan),
        template=execution.template,
        template_version=execution.template_version,
        success=failure_code is None,
        execution_time_ms=metrics.processing_time_ms or max(0, draft.at - started_at),
        queue_time_ms=max(0, started_at - (run.ready_at or started_at)),
        metrics=metrics,
        timestamp=rfc3339(draft.at),
        quality_score=made.quality_score if made else None,
        element_count=made.element_count if made else None,
        input_size_bytes=run.input_ref.size_bytes if run.input_ref else 0,
        output_size_bytes=made.output.size_bytes if made else 0,
        failure_code=failure_code,
        timeout_ms=int(plan.stage.timeout_seconds * 1000),
    )
    account = AttemptAccount(
        packet_id=readiness.packet_id(execution.execution_id, stage_id, run.dispatches),
        leg=execution.leg,
        instance_id=run.holder,
        started_at=run.started_at,
        grant=run.grant or readiness.FREE_GRANT,
        message=message,
        output=replace(made.output, inline=None) if made else None,
    )
    draft.command(RecordAttempt(record=record, account=account))
