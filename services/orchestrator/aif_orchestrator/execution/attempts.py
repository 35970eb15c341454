"""One stage's attempts after their claim: alive, ended, silent. Every end is recorded, whatever was spent is charged once."""

from collections.abc import Sequence
from hashlib import sha256

from msgspec.structs import replace

from aif_contracts.events import (
    ProgressUpdate,
    StepCompleted,
    StepRetrying,
    StepStarted,
)
from aif_contracts.metering import Metrics, ProviderCall
from aif_contracts.orders import StageStatus
from aif_contracts.packets import PreviousAttempt, Proceed, Superseded
from aif_contracts.reports import HANDED_BACK, ProgressPoint
from aif_orchestrator.execution import charging, judging, offering, outcomes
from aif_orchestrator.execution.assignee import action_of, worker_of
from aif_orchestrator.execution.commands import (
    AnswerProgress,
    BuryPacket,
)
from aif_orchestrator.execution.draft import Draft, has_open_attempt, told
from aif_orchestrator.execution.happenings import (
    AttemptCompleted,
    AttemptFailed,
    AttemptProgressed,
    PacketDeclined,
)
from aif_orchestrator.execution.state import StageRun
from aif_orchestrator.execution.stopping import reserved_to_its_last_word, stop_worker_of
from aif_pipelines.definition import Backoff
from aif_pipelines.plan import StagePlan

WORKER_LOST = "worker_lost"
NOT_BEGUN = "not_begun"
DECLINED = "declined"
OUTPUT_INVALID = "output_invalid"
_BACK_AT_ONCE = 10
"""So many attempts at a stage may come back before the next one has to wait."""
_LONGEST_PAUSE_MS = 30_000
_DECLINED_PAUSE_MS = 1_000
_UNLUCKY_AT_MOST = 7
"""So often a packet that comes to a process without its action is offered again at once, while another one has it."""
_UNLUCKY_DOUBLINGS = 3


def progress(draft: Draft, happening: AttemptProgressed) -> None:
    """Note a sign of life and extend the lease."""
    stage_id = happening.stage_id
    if not _is_current(draft.stages[stage_id], happening.attempt):
        draft.command(AnswerProgress(answer=Superseded()))
        return
    began_ago_ms = max((point.ago_ms for point in happening.points), default=0)
    hear_of(draft, stage_id, happening.instance_id, ago_ms=began_ago_ms)
    _tell_of_points(draft, stage_id, happening.points)
    run = draft.stages[stage_id]
    news = happening.percent > run.progress_percent or bool(happening.message)
    if run.is_waiting:
        draft.change(stage_id, is_waiting=happening.is_waiting)
        run = start_time_anew(draft, stage_id)
    run = draft.change(
        stage_id,
        heard_at=draft.at,
        due_at=lease_end(draft, run.times_out_at),
        progress_percent=max(run.progress_percent, happening.percent),
    )
    if news:
        _tell_progress(draft, stage_id, run, happening.message)
    draft.command(AnswerProgress(answer=Proceed()))


def _tell_progress(draft: Draft, stage_id: str, run: StageRun, message: str, *, happened_at: int | None = None) -> None:
    update = ProgressUpdate(
        progress_percent=draft.progress(), message=told(message), step_name=stage_id, step_percent=run.progress_percent
    )
    draft.emit(update, happened_at=happened_at)


def _tell_of_points(draft: Draft, stage_id: str, points: Sequence[ProgressPoint]) -> None:
    """What an attempt passed too fast to tell of it. It costs no message and no commit of its own."""
    for point in points:
        run = draft.stages[stage_id]
        run = draft.change(stage_id, progress_percent=max(run.progress_percent, point.percent))
        passed_at = max(run.started_at or 0, draft.at - point.ago_ms)
        _tell_progress(draft, stage_id, run, point.message, happened_at=passed_at)


def book_call(draft: Draft, call: ProviderCall) -> None:
    """Charge a provider call. One of the open attempt shows that this runs, so it is told to have started before its calls."""
    run = draft.stages.get(call.stage_id)
    if run is not None and _is_current(run, call.attempt) and call.worker_name == worker_of(draft.plan_of(call.stage_id)):
        hear_of(draft, call.stage_id, None, ago_ms=call.latency_ms)
    charging.book_call(draft, call)


def complete(draft: Draft, happening: AttemptCompleted) -> None:
    """Apply a result, once it has passed the stage's validation; a result that has not is a failed attempt."""
    stage_id = happening.stage_id
    if not _is_current(draft.stages[stage_id], happening.attempt):
        charging.settle(draft, stage_id, happening.attempt, happening.metrics, happening.calls)
        return
    hear_of(draft, stage_id, happening.instance_id, ago_ms=happening.metrics.processing_time_ms)
    _tell_of_points(draft, stage_id, happening.points)
    metrics = charging.settle(draft, stage_id, happening.attempt, happening.metrics, happening.calls) or happening.metrics
    plan = draft.plan_of(stage_id)
    check = plan.output_check
    mistakes = check.mistakes(happening.value, happening.quality_score) if check is not None else []
    if mistakes:
        message = told("; ".join(mistake.message for mistake in mistakes))
        charging.record_attempt(draft, stage_id, metrics, OUTPUT_INVALID, message, happening)
        draft.change(
            stage_id,
            previous=PreviousAttempt(attempt=happening.attempt, code=OUTPUT_INVALID, message=message, output=happening.output),
        )
        _fail_attempt(draft, stage_id, OUTPUT_INVALID, message, retryable=True, retry_after_ms=None)
        return
    summary = told(happening.summary)
    charging.record_attempt(draft, stage_id, metrics, None, summary, happening)
    run = replace(
        draft.stages[stage_id],
        ended=happening.attempt,
        output=happening.output,
        made_at=draft.next_made_at(),
        quality_score=happening.quality_score,
        element_count=happening.element_count,
        progress_percent=100,
        next_rule=0,
        due_at=None,
    )
    if run.compensates is not None:
        draft.put(stage_id, run)
        outcomes.undone(draft, stage_id, happening.attempt, summary)
        return
    draft.put(stage_id, run if plan.rules else outcomes.accepted(draft, run))
    draft.emit(
        StepCompleted(
            step_name=stage_id,
            attempt=happening.attempt,
            tokens_used=metrics.tokens_used,
            cost_usd=metrics.cost_usd,
            processing_time_ms=metrics.processing_time_ms,
            provider=metrics.provider,
            model=metrics.model,
            quality_score=happening.quality_score,
            element_count=happening.element_count,
            summary=summary,
        )
    )
    if plan.rules:
        judging.judge(draft, stage_id, {})


def fail(draft: Draft, happening: AttemptFailed) -> None:
    stage_id = happening.stage_id
    if not _is_current(draft.stages[stage_id], happening.attempt):
        charging.settle(draft, stage_id, happening.attempt, happening.metrics, happening.calls)
        return
    message = told(happening.message)
    reported = happening.metrics
    hear_of(draft, stage_id, happening.instance_id, ago_ms=0 if reported is None else reported.processing_time_ms)
    _tell_of_points(draft, stage_id, happening.points)
    if reported is None:
        draft.change(stage_id, reserved=reserved_to_its_last_word(draft, draft.stages[stage_id]))
    charged = charging.settle(draft, stage_id, happening.attempt, reported, happening.calls)
    metrics = charged or reported or charging.booked(draft.stages[stage_id])
    charging.record_attempt(draft, stage_id, metrics, happening.code, message)
    if happening.code == HANDED_BACK:
        _offer_anew(draft, stage_id, message)
        return
    draft.change(stage_id, previous=PreviousAttempt(attempt=happening.attempt, code=happening.code, message=message))
    _fail_attempt(
        draft,
        stage_id,
        happening.code,
        message,
        retryable=happening.retryable,
        retry_after_ms=happening.retry_after_ms,
    )


def decline(draft: Draft, happening: PacketDeclined) -> None:
    """Offer the stage again soon, and later each time: another worker may know the action, or have room by then.

    Where a live process knows the action it is a matter of who takes the packet, and no time makes that likelier. Who was
    unlucky so often waits for one that is busy: it comes often enough for that, and each time costs a commit that is kept.

    An attempt that the declined packet has opened ends with it: nobody has begun it, so whoever takes the next packet finds no
    worker that was lost.
    """
    stage_id = happening.stage_id
    run = draft.stages[stage_id]
    reason = f"a worker declined it: {told(happening.message)}"
    if happening.packet_id == offering.packet_id(draft.execution.execution_id, stage_id, run.dispatches):
        plan = draft.plan_of(stage_id)
        is_known = (worker_of(plan), action_of(plan)) in draft.circumstances.known_actions
        is_unlucky = happening.is_action_unknown and is_known
        doublings = min(max(0, run.resends - _UNLUCKY_AT_MOST), _UNLUCKY_DOUBLINGS) if is_unlucky else run.resends
        again_at = draft.at + _declined_pause_ms(happening.packet_id, doublings)
        run = draft.change(stage_id, due_at=again_at, reason=reason)
    opened_by = offering.packet_id(draft.execution.execution_id, stage_id, run.dispatches - run.resends)
    if happening.packet_id == opened_by and has_open_attempt(run):
        _end_unbegun(draft, stage_id, DECLINED, told(reason), retry_in_ms=max(0, (run.due_at or draft.at) - draft.at))


def fall_silent(draft: Draft, stage_id: str, run: StageRun) -> None:
    """The open attempt has had its time, or its worker is silent.

    A worker that lives ends its attempt in time and says so. Only one that is heard of beyond that time overruns it; one that
    is not has fallen silent, and a short timeout must not make a crash use up a retry.
    """
    patience = draft.circumstances.patience
    if run.times_out_at is not None and run.times_out_at + patience.timeout_slack_ms <= draft.at:
        stop_worker_of(draft, stage_id)
        if run.heard_at is not None and run.heard_at >= run.times_out_at:
            seconds = draft.plan_of(stage_id).stage.timeout_seconds
            message = f"attempt {run.attempt} of {stage_id} did not end within its {seconds:g} s"
            charging.record_attempt(draft, stage_id, charging.booked(run), "timeout", message)
            draft.change(
                stage_id,
                previous=PreviousAttempt(attempt=run.attempt, code="timeout", message=message),
                reserved=reserved_to_its_last_word(draft, run),
            )
            _fail_attempt(draft, stage_id, "timeout", message, retryable=True, retry_after_ms=None)
            return
    if lose(draft, stage_id):
        offering.dispatch(draft, stage_id)


def lose(draft: Draft, stage_id: str) -> bool:
    """The open attempt fell silent. Its calls stay on the bill; what it still reports is late. True when another one is due.

    One that waited to be alone had no part in the end of its process, and that is not held against it.
    """
    run = draft.stages[stage_id]
    message = f"the worker of attempt {run.attempt} of {stage_id} fell silent"
    if run.is_waiting:
        # Nobody begins without having said so and been answered.
        _end_unbegun(draft, stage_id, NOT_BEGUN, f"{message} before it began", retry_in_ms=0)
        return True
    charging.record_attempt(draft, stage_id, charging.booked(run), WORKER_LOST, message, last_heard_at=run.heard_at)
    reserved = reserved_to_its_last_word(draft, run)
    run = draft.change(stage_id, ended=run.attempt, losses=run.losses + 1, reserved=reserved)
    if run.losses >= draft.circumstances.patience.max_losses:
        before = run.losses - 1
        message = f"{message}, as {before} others did before; the input may be what kills them"
        draft.command(BuryPacket(packet=offering.packet_of(draft, stage_id, run, None), reason=message))
        judging.give_up(draft, stage_id, WORKER_LOST, message)
        return False
    draft.emit(StepRetrying(step_name=stage_id, attempt=run.attempt, code=WORKER_LOST, message=message, retry_in_ms=0))
    return True


def _end_unbegun(draft: Draft, stage_id: str, code: str, message: str, *, retry_in_ms: int) -> None:
    """The open attempt has spent nothing, and says nothing about the work."""
    charging.record_attempt(draft, stage_id, Metrics(), code, message)
    run = draft.stages[stage_id]
    nothing_of_it = {number: each for number, each in run.reserved.items() if number != run.attempt}
    draft.change(stage_id, ended=run.attempt, reserved=nothing_of_it)
    draft.emit(StepRetrying(step_name=stage_id, attempt=run.attempt, code=code, message=message, retry_in_ms=retry_in_ms))


def hear_of(draft: Draft, stage_id: str, instance_id: str | None, *, ago_ms: int = 0) -> None:
    """The open attempt shows itself for the first time: from now on it runs, with a lease and a timeout.

    Short work shows itself only by its report, which tells how long `ago_ms` it began. A provider call does not say which
    process made it, so its `instance_id` is None.
    """
    run = draft.stages[stage_id]
    if run.heard_at is not None:
        if run.holder is None and instance_id is not None:
            draft.change(stage_id, holder=instance_id)
        return
    plan = draft.plan_of(stage_id)
    started_at = max(draft.at - ago_ms, run.offered_at or 0)
    times_out_at = _times_out_at(draft, plan)
    draft.put(
        stage_id,
        replace(
            run,
            status=StageStatus.RUNNING,
            heard_at=draft.at,
            holder=instance_id,
            started_at=started_at,
            times_out_at=times_out_at,
            due_at=lease_end(draft, times_out_at),
            progress_percent=0,
            resends=0,
            reason="",
        ),
    )
    if run.compensates is not None:
        return
    started = StepStarted(step_name=stage_id, attempt=run.attempt, worker_name=worker_of(plan), action=action_of(plan))
    draft.emit(started, happened_at=started_at)


def start_time_anew(draft: Draft, stage_id: str) -> StageRun:
    """Of an open attempt that has not begun until now: its time begins when it begins."""
    run = draft.change(stage_id, times_out_at=_times_out_at(draft, draft.plan_of(stage_id)))
    if run.attempt not in run.reserved:
        return run
    begins_anew = replace(run.reserved[run.attempt], until=ended_by(draft, stage_id))
    return draft.change(stage_id, reserved={**run.reserved, run.attempt: begins_anew})


def _times_out_at(draft: Draft, plan: StagePlan) -> int:
    return draft.at + int(plan.stage.timeout_seconds * 1000)


def lease_end(draft: Draft, times_out_at: int | None) -> int:
    patience = draft.circumstances.patience
    lease_end = draft.at + patience.lease_ms
    # One that shows itself when its time is over already is due now.
    return lease_end if times_out_at is None else max(draft.at, min(lease_end, times_out_at + patience.timeout_slack_ms))


def ended_by(draft: Draft, stage_id: str) -> int:
    """By when a worker that begins now has ended, whatever became of it: its time, our slack, and its last word."""
    patience = draft.circumstances.patience
    timeout_ms = int(draft.plan_of(stage_id).stage.timeout_seconds * 1000)
    return draft.at + timeout_ms + patience.timeout_slack_ms + patience.last_word_ms


def is_open_by_its_packet(run: StageRun) -> bool:
    """The newest packet carries the attempt's grant, and nothing has been heard of it yet."""
    return has_open_attempt(run) and run.heard_at is None and run.resends == 0


def _is_current(run: StageRun, attempt: int) -> bool:
    """A stage that is offered anew still has the number of the attempt that ended last, until somebody claims the next one."""
    return attempt == run.attempt and has_open_attempt(run)


def _offer_anew(draft: Draft, stage_id: str, message: str) -> None:
    """A worker that ends gives its attempt back. That says nothing about the work and uses up no retry.

    Workers that give back whatever they get would go round for ever: one that comes back often waits a while.
    """
    run = draft.stages[stage_id]
    times_back = run.handed_back + 1
    draft.change(stage_id, ended=run.attempt, handed_back=times_back)
    delay_ms = min(2**times_back, _LONGEST_PAUSE_MS) if times_back > _BACK_AT_ONCE else 0
    draft.emit(StepRetrying(step_name=stage_id, attempt=run.attempt, code=HANDED_BACK, message=message, retry_in_ms=delay_ms))
    if not delay_ms:
        offering.dispatch(draft, stage_id)
        return
    draft.change(
        stage_id,
        status=StageStatus.RETRYING,
        due_at=draft.at + delay_ms,
        progress_percent=0,
        reason=f"attempt {run.attempt} came back as the {times_back - 1} before it: {message}",
    )


def _fail_attempt(draft: Draft, stage_id: str, code: str, message: str, *, retryable: bool, retry_after_ms: int | None) -> None:
    run = draft.stages[stage_id]
    retry = draft.plan_of(stage_id).stage.retry
    run = draft.change(stage_id, ended=run.attempt, failures=run.failures + 1)
    if not retryable or run.failures >= retry.max_attempts:
        judging.give_up(draft, stage_id, code, message)
        return
    delay_ms = retry_after_ms if retry_after_ms is not None else _backoff_ms(draft, stage_id, run.failures)
    ends_at = draft.execution.compensate_until or draft.execution.deadline_at
    if draft.at + delay_ms >= ends_at and draft.execution.held_since is None:
        too_late = f"the next attempt could begin in {delay_ms / 1000:g} s, when the execution's time is over"
        judging.give_up(draft, stage_id, code, f"{message}; {too_late}")
        return
    draft.change(
        stage_id,
        status=StageStatus.RETRYING,
        due_at=draft.at + delay_ms,
        progress_percent=0,
        reason=f"attempt {run.attempt} failed ({code}): {message}",
    )
    draft.emit(StepRetrying(step_name=stage_id, attempt=run.attempt, code=code, message=message, retry_in_ms=delay_ms))


def longest_pause_ms(backoff: Backoff) -> int:
    """Before a retry of which nobody has said when to come again."""
    return max(_LONGEST_PAUSE_MS, int(backoff.max_ms * (1 + backoff.jitter)))


def _declined_pause_ms(packet_id: str, doublings: int) -> int:
    """From half of the pause to all of it, by the packet.

    The broker serves workers in turn: packets that kept step with each other would come to the same ones each time.
    """
    longest = min(_DECLINED_PAUSE_MS << doublings, _LONGEST_PAUSE_MS)
    return longest // 2 + longest // 2 * sha256(packet_id.encode()).digest()[0] // 255


def _backoff_ms(draft: Draft, stage_id: str, failures: int) -> int:
    """Exponential backoff, spread by a fraction that depends on the execution alone, so that a repeated step decides alike."""
    backoff = draft.plan_of(stage_id).stage.retry.backoff
    delay = min(backoff.initial_ms * backoff.factor ** (failures - 1), backoff.max_ms)
    digest = sha256(f"{draft.execution.execution_id}.{stage_id}.{failures}".encode()).digest()
    spread = (digest[0] / 255 * 2 - 1) * backoff.jitter
    return max(0, int(delay * (1 + spread)))
