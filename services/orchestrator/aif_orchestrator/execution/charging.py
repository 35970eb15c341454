"""What attempts cost: each call and each report charged once, whatever became of the attempt; and how each attempt ended."""

from collections.abc import Sequence
from decimal import Decimal
from functools import reduce

from msgspec.structs import replace

from aif_contracts.audit import COST_BEYOND_GRANT, AuditEntry, Severity
from aif_contracts.events import AiGenerationCompleted, CostIncurred
from aif_contracts.metering import Basis, CallOutcome, Metrics, ProviderCall
from aif_contracts.money import ZERO, usd, usd_text
from aif_contracts.performance import PerformanceRecord
from aif_orchestrator.execution.assignee import action_of, worker_of
from aif_orchestrator.execution.commands import (
    AttemptAccount,
    RecordAttempt,
    RecordCall,
    SettleCall,
    TellAudit,
    TellBeyondGrant,
    TellContradiction,
)
from aif_orchestrator.execution.draft import Draft, rfc3339
from aif_orchestrator.execution.happenings import AttemptCompleted, CallSettled
from aif_orchestrator.execution.metering import known_cost
from aif_orchestrator.execution.spent import NOTHING, metrics_of, plus, spent_on_call, with_attempt
from aif_orchestrator.execution.state import BookedCall, StageRun, Statement
from aif_orchestrator.execution.stated_costs import (
    NOTHING_STATED,
    booked_call,
    most_that_is_stated,
    restated,
    statement_of,
)


def book_call(draft: Draft, call: ProviderCall) -> None:
    """Charge a provider call. Until its attempt reports, it counts by itself; the report's statement includes it then.

    It is told of twice or more, when it begins, when it ends and by its attempt's report; the end replaces the beginning, and
    counts and is told to the client once, whichever comes first. One of an attempt that nobody was given is kept, and not
    counted: no report will ever settle it.
    """
    run = draft.stages.get(call.stage_id)
    if run is None or not 1 <= call.attempt <= run.attempt:
        draft.command(RecordCall(call=call))
        return
    if call.attempt in run.settled:
        _book_late(draft, run, call)
        return
    known = next((each for each in run.unreported_calls if each.call_key == call.call_key), None)
    if known is not None and (known.outcome is not CallOutcome.STARTED or call.outcome is CallOutcome.STARTED):
        return
    draft.command(RecordCall(call=call))
    if known is not None and call.cost_usd is None:
        # No answer came. What was decided about it meanwhile stays.
        call = replace(call, cost_usd=known.cost_usd, basis=known.basis)
    others = tuple(each for each in run.unreported_calls if each is not known)
    draft.change(call.stage_id, unreported_calls=(*others, call))
    draft.money_moved()
    if call.outcome is CallOutcome.STARTED:
        return
    _tell_end(draft, call)
    already = usd(known.cost_usd or "0") if known is not None else ZERO
    if call.cost_usd is None:
        _emit_cost(draft, call.stage_id, call.attempt, None, call.provider, call.model)
    elif usd(call.cost_usd) != already:
        difference = usd_text(usd(call.cost_usd) - already)
        _emit_cost(draft, call.stage_id, call.attempt, difference, call.provider, call.model)


def _book_late(draft: Draft, run: StageRun, call: ProviderCall) -> None:
    """Of an attempt that has reported: charged is what the report has not said of it."""
    stage_id, attempt = call.stage_id, call.attempt
    statement = run.statements.get(attempt, NOTHING_STATED)
    known = statement.calls.get(call.call_key)
    if known is not None and known.has_ended:
        return
    draft.command(RecordCall(call=call))
    if known is not None and call.outcome is CallOutcome.STARTED:
        return
    booked = booked_call(call, known)
    before = known_cost(run)
    run = draft.put(stage_id, restated(run, attempt, _with_call(statement, call.call_key, booked), run.spent))
    draft.money_moved()
    difference = known_cost(run) - before
    if difference > ZERO and not booked.is_decided and not booked.is_beside:
        message = f"{call.call_key} was booked after the report, which says {usd_text(difference)} USD less than its calls cost"
        worker = worker_of(draft.plan_of(stage_id))
        draft.command(TellContradiction(stage_id=stage_id, attempt=attempt, worker_name=worker, message=message))
    if call.outcome is CallOutcome.STARTED:
        return
    _tell_end(draft, call)
    if booked.cost_usd is None:
        _emit_cost(draft, stage_id, attempt, None, call.provider, call.model)
    elif difference != ZERO:
        _emit_cost(draft, stage_id, attempt, usd_text(difference), call.provider, call.model)


def _with_call(statement: Statement, call_key: str, call: BookedCall) -> Statement:
    return replace(statement, calls={**statement.calls, call_key: call})


def _tell_end(draft: Draft, call: ProviderCall) -> None:
    draft.emit(
        AiGenerationCompleted(
            step_name=call.stage_id,
            attempt=call.attempt,
            action=call.action,
            provider=call.provider,
            model=call.model,
            purpose=call.purpose,
            outcome=call.outcome,
            tokens_used=call.tokens.total_tokens,
            cost_usd=call.cost_usd,
            latency_ms=call.latency_ms,
            fallback_from=call.fallback_from,
            reason=call.reason,
        )
    )


def settle(
    draft: Draft, stage_id: str, attempt: int, metrics: Metrics | None, calls: Sequence[ProviderCall] = ()
) -> Metrics | None:
    """Charge what an attempt says it spent, once, whatever became of the attempt. Its calls are part of it: those that were
    booked, and those that its report names, whose own messages may be under way yet.

    Gives what is charged, which is more than was said where the worker contradicts itself; None when nothing is. One that has
    not said it, whose `metrics` are None, is charged when it does; until then its calls count by themselves.
    """
    for call in calls:
        book_call(draft, call)
    run = draft.stages.get(stage_id)
    if metrics is None or run is None or attempt in run.settled or attempt > run.attempt:
        return None
    booked = [call for call in run.unreported_calls if call.attempt == attempt]
    metrics, contradiction = most_that_is_stated(metrics, booked)
    if contradiction:
        worker = worker_of(draft.plan_of(stage_id))
        draft.command(TellContradiction(stage_id=stage_id, attempt=attempt, worker_name=worker, message=contradiction))
    _tell_if_beyond_grant(draft, stage_id, attempt, metrics)
    before = known_cost(run)
    statement = statement_of(metrics, booked)
    spent = with_attempt(run.spent, metrics)
    stated = run if statement == NOTHING_STATED else restated(run, attempt, statement, spent)
    run = draft.put(
        stage_id,
        replace(
            stated,
            spent=spent if stated is run else stated.spent,
            settled=(*run.settled, attempt),
            reserved={number: amount for number, amount in run.reserved.items() if number != attempt}
            if run.reserved
            else run.reserved,
            unreported_calls=tuple(call for call in run.unreported_calls if call.attempt != attempt)
            if booked
            else run.unreported_calls,
        ),
    )
    if metrics.cost_usd != "0" or metrics.unanswered or booked or draft.execution.max_cost_usd != "0":
        draft.money_moved()
    difference = known_cost(run) - before
    if difference != ZERO:
        _emit_cost(draft, stage_id, attempt, usd_text(difference), metrics.provider, metrics.model)
    return metrics


def _tell_if_beyond_grant(draft: Draft, stage_id: str, attempt: int, metrics: Metrics) -> None:
    """What is reported is charged, whatever was granted: a provider may have billed it. No worker should have let it come so
    far, and what its client may spend is gone, so a person has to look."""
    of_calls = usd(metrics.cost_lines.ai_generation_usd)
    granted = _most_granted(draft, stage_id, attempt)
    if of_calls <= granted:
        return
    execution = draft.execution
    worker = worker_of(draft.plan_of(stage_id))
    told = TellBeyondGrant(
        stage_id=stage_id,
        attempt=attempt,
        worker_name=worker,
        charged_usd=usd_text(of_calls),
        granted_usd=usd_text(granted),
    )
    draft.command(told)
    entry = AuditEntry(
        audit_id=f"beyond.{execution.execution_id}.{stage_id}.{attempt}",
        action=COST_BEYOND_GRANT,
        severity=Severity.CRITICAL,
        actor=f"worker:{worker}",
        occurred_at=rfc3339(draft.at),
        details={
            "stage_id": stage_id,
            "attempt": attempt,
            "charged_usd": told.charged_usd,
            "granted_usd": told.granted_usd,
            "provider": metrics.provider,
            "model": metrics.model,
        },
        client_id=execution.client_id,
        execution_id=execution.execution_id,
    )
    draft.command(TellAudit(entry=entry))


def _most_granted(draft: Draft, stage_id: str, attempt: int) -> Decimal:
    """Of an attempt that is over, and whose reservation has been given back, the most that any is granted."""
    run = draft.stages[stage_id]
    reservation = run.reserved.get(attempt)
    if reservation is not None:
        return usd(reservation.amount)
    if attempt <= run.ended:
        return usd(draft.circumstances.max_attempt_cost_usd)
    return ZERO if run.grant is None else usd(run.grant.max_cost_usd)


def settle_call(draft: Draft, decision: CallSettled) -> None:
    """Charge a call without an answer with what it was decided to have cost, or correct an earlier decision."""
    run = draft.stages.get(decision.stage_id)
    if run is None:
        return
    before = known_cost(run)
    decided = _with_decision(run, decision)
    if decided is None:
        return
    draft.put(decision.stage_id, decided)
    draft.money_moved()
    draft.command(
        SettleCall(
            call_key=decision.call_key,
            cost_usd=decision.cost_usd,
            basis=decision.basis,
            note=decision.note,
            tokens=decision.tokens,
        )
    )
    difference = known_cost(decided) - before
    if difference != ZERO:
        _emit_cost(draft, decision.stage_id, decision.attempt, usd_text(difference), None, None)


def _with_decision(run: StageRun, decision: CallSettled) -> StageRun | None:
    """None when there is nothing to decide: nobody has heard of the call, or its answer has told its cost."""
    key = decision.call_key
    waiting = next((call for call in run.unreported_calls if call.call_key == key), None)
    if waiting is not None:
        if waiting.cost_usd is not None and waiting.basis is Basis.USAGE:
            return None
        tokens = decision.tokens or waiting.tokens
        settled = replace(waiting, cost_usd=decision.cost_usd, basis=decision.basis, tokens=tokens)
        return replace(run, unreported_calls=tuple(settled if call is waiting else call for call in run.unreported_calls))
    statement = run.statements.get(decision.attempt, NOTHING_STATED)
    known = statement.calls.get(key)
    if known is None or (known.cost_usd is not None and not known.is_decided):
        return None
    beside = None if known.is_counted else decision.tokens or known.tokens
    known = replace(known, cost_usd=decision.cost_usd, is_decided=True, tokens=beside)
    return restated(run, decision.attempt, _with_call(statement, key, known), run.spent)


def forget_the_silent(draft: Draft) -> None:
    """Give back what attempts reserved that nobody can be working on any more; the calls that they announced stay."""
    for stage_id, run in list(draft.stages.items()):
        over = [number for number, each in run.silent.items() if each.until <= draft.at]
        if over:
            draft.change(stage_id, reserved={number: each for number, each in run.reserved.items() if number not in over})
            draft.money_moved()


def _emit_cost(draft: Draft, stage_id: str, attempt: int, cost: str | None, provider: str | None, model: str | None) -> None:
    draft.emit(
        CostIncurred(
            step_name=stage_id,
            attempt=attempt,
            cost_usd=cost,
            total_cost_usd=usd_text(draft.bill().known),
            provider=provider,
            model=model,
        )
    )


def booked(run: StageRun) -> Metrics:
    """What is known of the newest attempt while it has not reported: its calls so far."""
    calls = (spent_on_call(call) for call in run.unreported_calls if call.attempt == run.attempt)
    return metrics_of(reduce(plus, calls, NOTHING))


def record_attempt(
    draft: Draft,
    stage_id: str,
    metrics: Metrics,
    failure_code: str | None,
    message: str,
    made: AttemptCompleted | None = None,
    *,
    last_heard_at: int | None = None,
) -> None:
    """Keep how the open attempt has ended; `made` is its result, valid or not. One that fell silent has worked until it was
    last heard of, as far as anybody knows."""
    plan = draft.plan_of(stage_id)
    run = draft.stages[stage_id]
    execution = draft.execution
    started_at = _began_at(draft, run, metrics)
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
        execution_time_ms=metrics.processing_time_ms or max(0, (last_heard_at or draft.at) - started_at),
        queue_time_ms=max(0, started_at - (run.offered_at or started_at)),
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
        dispatches=run.dispatches,
        leg=execution.leg,
        instance_id=run.holder,
        started_at=None if run.started_at is None else started_at,
        grant=run.grant,
        message=message,
        output=replace(made.output, inline=None) if made else None,
    )
    draft.command(RecordAttempt(record=record, account=account))


def _began_at(draft: Draft, run: StageRun, metrics: Metrics) -> int:
    """When the open attempt began: before it was first heard of, if its report says that it has worked for longer than that."""
    heard_to_begin = run.started_at if run.started_at is not None else draft.at
    return min(heard_to_begin, max(draft.at - metrics.processing_time_ms, run.offered_at or 0))
