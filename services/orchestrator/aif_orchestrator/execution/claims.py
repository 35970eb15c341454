"""A worker asks for the attempt that a packet offers: who gets it, what it may spend, who has to wait."""

from msgspec.structs import replace

from aif_contracts.money import ZERO, usd, usd_text
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_contracts.packets import Grant, Granted, Later, Superseded
from aif_orchestrator.execution import attempts, judging, offering
from aif_orchestrator.execution.allowance import stage_allowance
from aif_orchestrator.execution.assignee import action_of, worker_of
from aif_orchestrator.execution.commands import AnswerClaim
from aif_orchestrator.execution.draft import Draft, has_open_attempt
from aif_orchestrator.execution.envelope import stage_limit
from aif_orchestrator.execution.happenings import AttemptClaimed
from aif_orchestrator.execution.state import Reservation, StageRun

BUDGET_EXCEEDED = "budget_exceeded"
BUDGET_LATER_MS = 1_000
UNKNOWN_LATER_MS = 1_000
LATER_AT_MOST_MS = 5_000


def claim(draft: Draft, happening: AttemptClaimed) -> None:
    """Give the stage's next attempt to the worker that asks, unless another one holds it or the packet is an old one."""
    stage_id = happening.stage_id
    run = draft.stages[stage_id]
    newest = offering.packet_id(draft.execution.execution_id, stage_id, run.dispatches)
    if happening.packet_id != newest:
        draft.command(AnswerClaim(answer=Superseded()))
        return
    if happening.claim_id and happening.claim_id == run.claim_id and has_open_attempt(run):
        # The answer was lost on its way, and its worker asks again: it has not begun.
        run = attempts.start_time_anew(draft, stage_id)
        draft.change(stage_id, heard_at=draft.at, due_at=attempts.lease_end(draft, run.times_out_at))
        draft.command(AnswerClaim(answer=_granted(draft, stage_id)))
        return
    if run.status is StageStatus.RUNNING and run.due_at is not None and draft.at < run.due_at:
        wait_ms = max(100, min(run.due_at - draft.at, LATER_AT_MOST_MS))
        draft.command(AnswerClaim(answer=Later(retry_after_ms=wait_ms, reason="another worker holds this attempt")))
        return
    if attempts.is_open_by_its_packet(run) and happening.is_first_delivery:
        # The worker could have begun without asking; that it asks says that it lives.
        _take_over(draft, happening)
        return
    if has_open_attempt(run):
        # The packet came again although its attempt was opened: whoever had it is gone.
        if not attempts.lose(draft, stage_id):
            draft.command(AnswerClaim(answer=Superseded()))
            return
        # Whoever asks may have to wait for money; the stage is offered until then, and the lost attempt has ended.
        draft.change(
            stage_id,
            status=StageStatus.QUEUED,
            offered_anew_at=draft.at,
            due_at=draft.at + draft.circumstances.patience.unclaimed_ms,
            times_out_at=None,
            heard_at=None,
            holder=None,
            claim_id="",
            progress_percent=0,
        )
    if draft.execution.status is ExecutionStatus.PAUSED:
        # The packet may go: a pause can last for weeks, and the stage is offered anew after it.
        offering.park(draft, stage_id)
        draft.command(AnswerClaim(answer=Superseded()))
        return
    is_blocked = draft.circumstances.is_blocked and not _costs_nothing(draft, stage_id)
    grant = None if is_blocked else _affordable(draft, stage_id)
    if grant is None and worker_of(draft.plan_of(stage_id)) not in draft.circumstances.live_workers:
        # It has just begun, or was frozen: whether its action costs anything at all is not known yet.
        reason = "its worker is not in the registry yet"
        draft.command(AnswerClaim(answer=Later(retry_after_ms=UNKNOWN_LATER_MS, reason=reason)))
    elif is_blocked:
        draft.command(AnswerClaim(answer=Superseded()))
        message = "the client's budget is passed, and nothing that costs money begins any more"
        judging.give_up(draft, stage_id, BUDGET_EXCEEDED, message)
    elif grant is not None:
        _open_attempt(draft, happening, grant)
    elif any(other.reserved for other in draft.stages.values()):
        # It is free again when they report, or can no longer be at it.
        reason = "the execution's budget is reserved by its other attempts"
        draft.command(AnswerClaim(answer=Later(retry_after_ms=_until_something_is_free(draft), reason=reason)))
    else:
        draft.command(AnswerClaim(answer=Superseded()))
        judging.give_up(draft, stage_id, BUDGET_EXCEEDED, _what_is_spent(draft, stage_id))


def _until_something_is_free(draft: Draft) -> int:
    """Milliseconds; an attempt that is alive may report at any time."""
    over = [each.until - draft.at for run in draft.stages.values() for each in run.silent.values()]
    return min([BUDGET_LATER_MS, *(max(each, 50) for each in over)])


def _affordable(draft: Draft, stage_id: str) -> Grant | None:
    """What the next attempt may spend; None when nothing is left."""
    plan = draft.plan_of(stage_id)
    if _costs_nothing(draft, stage_id):
        return offering.FREE_GRANT
    execution = draft.execution
    remaining = draft.allowance().remaining
    of_stage = stage_allowance(draft.stages[stage_id], stage_limit(draft.circumstances, plan)).remaining
    amount = min(usd(draft.circumstances.max_attempt_cost_usd), remaining, of_stage)
    if amount == ZERO:
        return None
    fallback = plan.stage.fallback
    return Grant(
        max_cost_usd=usd_text(amount),
        energy=execution.account.energy_per_stage,
        quality=execution.quality,
        quality_reason=execution.quality_reason,
        prefer_providers=plan.stage.prefer_providers,
        max_fallbacks=fallback.max_fallbacks if fallback is not None else None,
        cache=plan.stage.cache,
    )


def _what_is_spent(draft: Draft, stage_id: str) -> str:
    if draft.allowance().remaining == ZERO:
        return f"nothing is left of the {draft.execution.max_cost_usd} USD that the execution may spend"
    limit = stage_limit(draft.circumstances, draft.plan_of(stage_id))
    return f"nothing is left of the {usd_text(limit)} USD that {stage_id} may spend"


def _costs_nothing(draft: Draft, stage_id: str) -> bool:
    """Also where its action has begun to cost something since the execution was ordered as one that costs nothing: a model
    that was configured meanwhile is for later orders, and what there was without it serves this one."""
    plan = draft.plan_of(stage_id)
    is_free = (worker_of(plan), action_of(plan)) in draft.circumstances.free_actions
    return is_free or draft.execution.max_cost_usd == "0"


def _open_attempt(draft: Draft, happening: AttemptClaimed, grant: Grant) -> None:
    """Give the stage's next attempt to the worker that asks, and reserve what it may spend."""
    stage_id = happening.stage_id
    run = draft.stages[stage_id]
    attempt = run.attempt + 1
    draft.put(
        stage_id,
        replace(
            run,
            attempt=attempt,
            heard_at=None,
            claim_id=happening.claim_id,
            is_waiting=_is_suspect(draft, run),
            grant=grant,
            reserved=_with_reservation(draft, stage_id, grant),
        ),
    )
    attempts.hear_of(draft, stage_id, happening.instance_id)
    draft.command(AnswerClaim(answer=_granted(draft, stage_id)))


def _take_over(draft: Draft, happening: AttemptClaimed) -> None:
    """Give the worker that asks the attempt that its packet has opened."""
    stage_id = happening.stage_id
    draft.change(stage_id, claim_id=happening.claim_id)
    attempts.hear_of(draft, stage_id, happening.instance_id)
    draft.command(AnswerClaim(answer=_granted(draft, stage_id)))


def _with_reservation(draft: Draft, stage_id: str, grant: Grant) -> dict[int, Reservation]:
    run = draft.stages[stage_id]
    if grant.max_cost_usd == "0":
        return run.reserved
    reservation = Reservation(amount=grant.max_cost_usd, until=attempts.ended_by(draft, stage_id))
    return {**run.reserved, run.attempt + 1: reservation}


def _granted(draft: Draft, stage_id: str) -> Granted:
    run = draft.stages[stage_id]
    return Granted(
        attempt=run.attempt,
        grant=run.grant or offering.FREE_GRANT,
        timeout_ms=int(draft.plan_of(stage_id).stage.timeout_seconds * 1000),
        alone=_is_suspect(draft, run),
    )


def _is_suspect(draft: Draft, run: StageRun) -> bool:
    return run.losses >= draft.circumstances.patience.suspect_losses
