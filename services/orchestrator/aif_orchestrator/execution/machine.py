"""The machine: `begin` makes an execution, `step` applies one happening to it.

Both change a draft and nothing else. A batch takes its steps on one draft and finishes it once: a wide execution is not copied
for every report that comes.

A stage goes

    waiting ──> preparing ──> queued ──> running ──> judging ──> completed
       │            │           │ ^         │           │ │
       │            │           │ └─ retrying <─┤       │ └─> awaiting_approval ──> completed
       │            │           │   (failed or silent, tries left; or a rule asks for better)
       └──> skipped └──> failed <──────────┴───────────┘        (no tries left, a rule, or a person)

and `cancelled` from every state that is not final. `preparing` and `judging` are left out when what they read is at hand. The
execution is `running` (`awaiting_approval` while a stage is, `paused` on demand, `scheduled` before its time) until every stage
is final (`completed`, or `partially_completed` if an optional stage failed), until a stage that is not optional fails
(`failed`), or until somebody cancels it (`cancelled`); before the last two it is `compensating` while there is something to
undo. `resume` begins a new leg of one that did not complete.

What a happening does depends on the stage that it meets. `ACTS` lists the pairs that change the state; `LATE` lists those that
come too late or twice and change nothing but the bill. A pair in neither table is a mistake of ours and raises. Late is not
rare: the broker delivers at least once, workers freeze and thaw, and a stale worker's report must find a closed door.
"""

from datetime import datetime
from typing import assert_never

from aif_contracts.orders import Execute, ExecutionStatus, StageStatus
from aif_contracts.packets import Cancelled, Superseded
from aif_orchestrator.execution import (
    attempts,
    books,
    charging,
    claims,
    ending,
    judging,
    offering,
    outcomes,
    readiness,
    saga,
    set_clock,
    steering,
    waking,
)
from aif_orchestrator.execution.assignee import worker_of
from aif_orchestrator.execution.commands import AnswerClaim, AnswerProgress, Command
from aif_orchestrator.execution.draft import Draft
from aif_orchestrator.execution.failures import IllegalHappening, NotItsWorker
from aif_orchestrator.execution.happenings import (
    ApprovalDecisionMade,
    AttemptClaimed,
    AttemptCompleted,
    AttemptFailed,
    AttemptProgressed,
    CallBooked,
    CallSettled,
    CancelAsked,
    Circumstances,
    ClockSetBack,
    CompensationSkipAsked,
    Happening,
    InputStored,
    InputUnavailable,
    OutputsLoaded,
    PacketDeclined,
    PacketUntold,
    PauseAsked,
    ResumeAsked,
    TimePassed,
)
from aif_orchestrator.execution.state import Execution, StageRun
from aif_orchestrator.execution.terms import NO_CEILING, Terms

StageHappening = (
    AttemptClaimed
    | AttemptProgressed
    | AttemptCompleted
    | AttemptFailed
    | PacketDeclined
    | PacketUntold
    | OutputsLoaded
    | InputStored
    | InputUnavailable
)

_NOT_BEGUN = StageRun()
_S = StageStatus
_FINAL = frozenset({_S.COMPLETED, _S.FAILED, _S.SKIPPED, _S.CANCELLED})
_OPEN = frozenset({_S.QUEUED, _S.RUNNING})
_NOT_OPEN = frozenset({_S.WAITING, _S.PREPARING, _S.RETRYING, _S.JUDGING, _S.AWAITING_APPROVAL})
_PREPARING = frozenset({_S.PREPARING})
_READING = frozenset({_S.PREPARING, _S.JUDGING})

ACTS: dict[type[StageHappening], frozenset[StageStatus]] = {
    AttemptClaimed: _OPEN,
    AttemptProgressed: _OPEN,
    AttemptCompleted: _OPEN,
    AttemptFailed: _OPEN,
    PacketDeclined: frozenset({_S.QUEUED}),
    PacketUntold: frozenset({_S.QUEUED}),
    OutputsLoaded: _READING,
    InputStored: _PREPARING,
    InputUnavailable: _READING,
}
LATE: dict[type[StageHappening], frozenset[StageStatus]] = {
    AttemptClaimed: _NOT_OPEN | _FINAL,
    AttemptProgressed: _NOT_OPEN | _FINAL,
    AttemptCompleted: _NOT_OPEN | _FINAL,
    AttemptFailed: _NOT_OPEN | _FINAL,
    PacketDeclined: _NOT_OPEN | _FINAL | {_S.RUNNING},
    PacketUntold: _NOT_OPEN | _FINAL | {_S.RUNNING},
    OutputsLoaded: _FINAL | _OPEN | _NOT_OPEN - _READING,
    InputStored: _FINAL | _OPEN | _NOT_OPEN - _PREPARING,
    InputUnavailable: _FINAL | _OPEN | _NOT_OPEN - _READING,
}


def begin(
    order: Execute,
    circumstances: Circumstances,
    trace: dict[str, str],
    owner: str = "",
    terms: Terms = NO_CEILING,
) -> Draft:
    """A new execution, with its first commands. The order has been checked and admitted.

    `owner` is the client whose own pipeline it runs; empty for one of the factory's.
    """
    assert order.execution_id is not None, "an admitted order has one"
    pipeline = circumstances.plan.pipeline
    start_at = _milliseconds(order.start_at)
    if start_at is not None and start_at <= circumstances.at_ms:
        start_at = None
    execution = Execution(
        execution_id=order.execution_id,
        client_id=order.client_id,
        request_id=order.request_id,
        workspace_id=order.workspace_id,
        tier=order.tier,
        template=pipeline.name,
        template_version=pipeline.version,
        template_owner=owner,
        priority=order.priority,
        parameters=order.parameters,
        created_at=circumstances.at_ms,
        deadline_at=circumstances.at_ms + int(pipeline.timeout_seconds * 1000),
        stages=dict.fromkeys(circumstances.plan.order, _NOT_BEGUN),
        status=ExecutionStatus.RUNNING if start_at is None else ExecutionStatus.SCHEDULED,
        start_at=start_at,
        trace=trace,
    )
    draft = Draft(execution, circumstances)
    books.open_account(draft, order.max_cost_usd, terms)
    if start_at is None:
        steering.start(draft)
    else:
        steering.say_scheduled(draft, start_at)
    _go_on(draft)
    return draft


def step(draft: Draft, happening: Happening) -> list[Command]:
    """What follows from a happening; the draft is then the execution after it.

    Never raises for something late or repeated. Raises IllegalHappening for a pair that is in neither table, and NotItsWorker
    for a report of somebody else's worker; the draft is of no use then.
    """
    draft.next_step()
    match happening:
        case (
            AttemptCompleted()
            | AttemptClaimed()
            | AttemptProgressed()
            | AttemptFailed()
            | PacketDeclined()
            | PacketUntold()
            | OutputsLoaded()
            | InputStored()
            | InputUnavailable()
        ):
            _apply(draft, happening)
        case CancelAsked():
            ending.cancel(draft, happening.reason)
        case TimePassed():
            waking.time_passed(draft)
        case ClockSetBack():
            set_clock.bring_near(draft)
        case CallBooked():
            attempts.book_call(draft, happening.call)
        case CallSettled():
            charging.settle_call(draft, happening)
        case PauseAsked():
            steering.pause(draft, happening.reason)
        case ResumeAsked():
            steering.resume(draft, happening.lost)
        case ApprovalDecisionMade():
            steering.decide(draft, happening)
        case CompensationSkipAsked():
            steering.skip_compensation(draft, happening)
        case _:
            assert_never(happening)
    _go_on(draft)
    return draft.commands


def _go_on(draft: Draft) -> None:
    readiness.advance(draft)
    books.bring_up_to_date(draft)


def _apply(draft: Draft, happening: StageHappening) -> None:
    run = draft.stages.get(happening.stage_id)
    if run is None:
        # A report for a stage that this execution does not have: forged, or of another version of the plan.
        _turn_away(draft, happening)
        return
    if isinstance(happening, AttemptCompleted | AttemptFailed | PacketDeclined):
        _check_worker(draft, happening)
    kind = type(happening)
    if run.status not in ACTS[kind]:
        if run.status not in LATE[kind]:
            raise IllegalHappening(run.status, kind.__name__)
        _turn_away(draft, happening)
        return
    match happening:
        case AttemptCompleted():
            attempts.complete(draft, happening)
        case AttemptClaimed():
            claims.claim(draft, happening)
        case AttemptProgressed():
            attempts.progress(draft, happening)
        case AttemptFailed():
            attempts.fail(draft, happening)
        case PacketDeclined():
            attempts.decline(draft, happening)
        case PacketUntold():
            offering.tell_again(draft, happening)
        case OutputsLoaded():
            if run.status is StageStatus.JUDGING:
                judging.judge(draft, happening.stage_id, happening.outputs)
                return
            readiness.use_outputs(draft, happening.stage_id, happening.outputs)
        case InputStored():
            readiness.use_input(draft, happening.stage_id, happening.input_ref)
        case InputUnavailable():
            if run.status is StageStatus.JUDGING:
                outcomes.end_without_result(draft, happening.stage_id, happening.code, happening.message)
            else:
                judging.give_up(draft, happening.stage_id, happening.code, happening.message)
        case _:
            assert_never(happening)


def _check_worker(draft: Draft, report: AttemptCompleted | AttemptFailed | PacketDeclined) -> None:
    worker = worker_of(draft.plan_of(report.stage_id))
    if report.worker_name != worker:
        raise NotItsWorker(report.stage_id, report.worker_name, worker)


def _turn_away(draft: Draft, happening: StageHappening) -> None:
    match happening:
        case AttemptClaimed():
            draft.command(AnswerClaim(answer=_refusal(draft)))
        case AttemptProgressed():
            draft.command(AnswerProgress(answer=_refusal(draft)))
        case AttemptCompleted():
            charging.settle(draft, happening.stage_id, happening.attempt, happening.metrics, happening.calls)
            saga.hear(draft, happening.stage_id, happening.attempt, happening.output)
        case AttemptFailed():
            charging.settle(draft, happening.stage_id, happening.attempt, happening.metrics, happening.calls)
            if happening.metrics is not None:
                # A report that could not be used says nothing of what was done.
                saga.hear(draft, happening.stage_id, happening.attempt, None)
        case _:
            pass


def _milliseconds(moment: str | None) -> int | None:
    return None if moment is None else int(datetime.fromisoformat(moment).timestamp() * 1000)


def _refusal(draft: Draft) -> Superseded | Cancelled:
    return Cancelled() if draft.execution.status is ExecutionStatus.CANCELLED else Superseded()
