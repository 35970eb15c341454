"""Which stages may start, what their input is, and how they are offered to the workers."""

from collections.abc import Mapping, Sequence, Set
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from aif_contracts.blobs import INLINE_LIMIT_BYTES, BlobRef, StorageType
from aif_contracts.events import ProgressUpdate, StepFailed, StepSkipped
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_contracts.packets import Context, Control, ControlAction, Grant, WorkPacket
from aif_orchestrator.execution import ending, judging, saga, scope
from aif_orchestrator.execution.assignee import action_of, worker_of
from aif_orchestrator.execution.commands import DispatchPacket, LoadOutputs, StoreInput
from aif_orchestrator.execution.draft import Draft, rfc3339, told
from aif_orchestrator.execution.happenings import LoadedOutput, PacketUntold
from aif_orchestrator.execution.state import StageRun
from aif_pipelines.failures import ExpressionFailed, TemplateFailed

FREE_GRANT = Grant(models=(), max_cost_usd="0")
"""Lets an attempt use local providers, which cost nothing."""
LONGEST_PATIENCE_MS = 3_600_000
"""A packet that nobody takes is offered again after this time at the latest."""

_WAITING = StageStatus.WAITING
_BEGINS = frozenset({ExecutionStatus.RUNNING, ExecutionStatus.AWAITING_APPROVAL})
_CONCLUDES = frozenset({*_BEGINS, ExecutionStatus.PAUSED})


def advance(draft: Draft, ended: str | None = None) -> None:
    """Start every stage that has become ready, and end the execution when all are final.

    When it is known that one stage has `ended` and nothing else is new, only what waits for it is looked at.
    """
    looked_at: Sequence[str]
    looked_at = list(draft.stages) if ended is None or not draft.is_as_planned else draft.plan_of(ended).dependents
    while looked_at and draft.execution.status in _BEGINS:
        progressing = False
        for stage_id in looked_at:
            if draft.stages[stage_id].status is _WAITING and _may_start(draft, stage_id):
                prepare(draft, stage_id)
                progressing = progressing or draft.stages[stage_id].status.is_final
                if draft.execution.status not in _BEGINS:
                    return
        looked_at = list(draft.stages) if progressing else ()
    if draft.execution.status in _CONCLUDES and draft.tally().unended == 0:
        ending.conclude(draft)


def prepare(draft: Draft, stage_id: str) -> None:
    """Put the stage's input together, from inline outputs at once, from stored ones after they are read."""
    itself = draft.stages[stage_id]
    if itself.skipped_by is not None:
        skip(draft, stage_id, itself.reason)
        return
    plan = draft.plan_of(stage_id)
    absent = [name for name in plan.requires if (run := draft.newest(name)) is None or not run.has_result]
    if absent:
        skip(draft, stage_id, f"it needs the output of {', '.join(sorted(absent))}, and there is none")
        return
    use_outputs(draft, stage_id, {})


def use_outputs(draft: Draft, stage_id: str, loaded: Mapping[str, LoadedOutput]) -> None:
    """Decide whether the stage runs, resolve its input, and offer it."""
    plan = draft.plan_of(stage_id)
    values, to_load = scope.outputs_of(draft, stage_id, plan.needs, loaded)
    if to_load:
        _wait_for_preparation(draft, stage_id)
        draft.command(LoadOutputs(stage_id=stage_id, refs=to_load))
        return
    whole = scope.whole(draft, values, plan.shared)
    try:
        if plan.when is not None and not plan.when.holds(whole):
            skip(draft, stage_id, f"its condition is not met: {plan.stage.when}")
            return
        content = msgspec.json.encode(plan.input.resolve(whole))
    except ExpressionFailed as failure:
        give_up(draft, stage_id, "condition_unresolvable", f"the condition (when) of {stage_id} cannot be judged: {failure}")
        return
    except TemplateFailed as failure:
        give_up(draft, stage_id, "input_unresolvable", f"the input of {stage_id} cannot be put together: {failure}")
        return
    storage_key = f"data/{draft.execution.execution_id}/{stage_id}/input"
    if len(content) > INLINE_LIMIT_BYTES:
        _wait_for_preparation(draft, stage_id)
        draft.command(StoreInput(stage_id=stage_id, storage_key=storage_key, content=content))
        return
    made = BlobRef(
        storage_type=StorageType.INLINE,
        storage_key=storage_key,
        size_bytes=len(content),
        sha256=sha256(content).hexdigest(),
        inline=content,
    )
    is_repeatable = plan.input_is_repeatable and not loaded
    dispatch(draft, stage_id, made, kept=replace(made, inline=None) if is_repeatable else made)


def use_input(draft: Draft, stage_id: str, stored: BlobRef) -> None:
    """Offer the stage, whose input was too large to travel with it."""
    dispatch(draft, stage_id, stored, kept=stored)


def dispatch(draft: Draft, stage_id: str, made: BlobRef | None = None, *, kept: BlobRef | None = None) -> None:
    """Offer the stage to the workers with a new packet. An input that was just made comes with what the state keeps of it.

    A stage that costs nothing carries its grant and opens its attempt here; any other is claimed first.
    """
    run = draft.stages[stage_id]
    ready_at = run.ready_at if made is None else draft.at
    input_ref = run.input_ref if made is None else kept
    if draft.execution.status is ExecutionStatus.PAUSED:
        draft.put(stage_id, replace(run, input_ref=input_ref, ready_at=ready_at))
        park(draft, stage_id)
        return
    plan = draft.plan_of(stage_id)
    worker = worker_of(plan)
    free = (worker, action_of(plan)) in draft.circumstances.free_actions
    run = draft.put(
        stage_id,
        replace(
            run,
            status=StageStatus.QUEUED,
            dispatches=run.dispatches + 1,
            attempt=run.attempt + 1 if free else run.attempt,
            resends=0,
            input_ref=input_ref,
            ready_at=ready_at,
            due_at=draft.at + draft.circumstances.patience.unclaimed_ms,
            times_out_at=None,
            started_at=None,
            heard_at=None,
            holder=None,
            claim_id="",
            is_waiting=False,
            grant=None,
            progress_percent=0,
            reason=_waiting_reason(draft, worker),
        ),
    )
    draft.command(DispatchPacket(packet=packet_of(draft, stage_id, run, FREE_GRANT if free else None, made)))


def park(draft: Draft, stage_id: str) -> None:
    """Offer the stage after the pause; its input is put together again then."""
    draft.change(stage_id, status=StageStatus.WAITING, due_at=None, progress_percent=0, reason="the execution is paused")


def resend(draft: Draft, stage_id: str) -> None:
    """Offer the stage again because nobody took its packet in time: the broker may have lost it, or everybody is busy.

    The new packet has no grant, so whoever takes it has to ask, and is told when the first packet did find its worker. The
    patience doubles each time: ten thousand stages in a long queue must not fill it with copies of themselves.
    """
    plan = draft.plan_of(stage_id)
    run = draft.stages[stage_id]
    patience = draft.circumstances.patience.unclaimed_ms * 2 ** (run.resends + 1)
    run = draft.change(
        stage_id,
        dispatches=run.dispatches + 1,
        resends=run.resends + 1,
        due_at=draft.at + min(patience, LONGEST_PATIENCE_MS),
        reason=_waiting_reason(draft, worker_of(plan)),
    )
    draft.command(DispatchPacket(packet=packet_of(draft, stage_id, run, None), is_repeated=True))


def tell_again(draft: Draft, happening: PacketUntold) -> None:
    """The same packet once more, if it is the newest; the broker drops it when it has it already.

    During a pause nothing is offered: the stage is due as soon as that ends.
    """
    stage_id = happening.stage_id
    run = draft.stages[stage_id]
    newest = packet_id(draft.execution.execution_id, stage_id, run.dispatches)
    if happening.packet_id != newest:
        return
    if draft.execution.status is ExecutionStatus.PAUSED:
        draft.change(stage_id, due_at=draft.at)
        return
    opened_its_attempt = run.attempt > run.ended and run.resends == 0
    packet = packet_of(draft, stage_id, run, FREE_GRANT if opened_its_attempt else None)
    draft.command(DispatchPacket(packet=packet, is_repeated=True))


def give_up(draft: Draft, stage_id: str, code: str, message: str) -> None:
    """No more attempts. A result that a rule wanted bettered stands; without one the stage ends as failed."""
    run = draft.stages[stage_id]
    if run.output is None:
        end_without_result(draft, stage_id, code, message)
        return
    draft.emit(
        ProgressUpdate(progress_percent=draft.progress(), message=f"{message}; the earlier result stands", step_name=stage_id)
    )
    # The rules are through with it: they had asked for another one, and there is none.
    draft.change(stage_id, next_rule=len(draft.plan_of(stage_id).rules), ended=run.attempt)
    judging.accept(draft, stage_id)


def end_without_result(draft: Draft, stage_id: str, code: str, message: str) -> None:
    """End the stage as failed. An execution whose stage was not optional ends with it."""
    message = told(message)
    if draft.stages[stage_id].compensates is not None:
        saga.fail(draft, stage_id, code, message)
        return
    fail_stage(draft, stage_id, code, message)
    if draft.plan_of(stage_id).stage.optional:
        advance(draft)
    else:
        ending.fail(draft, stage_id, code, message)


def fail_stage(draft: Draft, stage_id: str, code: str, message: str) -> None:
    run = draft.change(stage_id, status=StageStatus.FAILED, reason=message, due_at=None, finished_at=draft.at)
    draft.emit(StepFailed(step_name=stage_id, attempt=run.attempt, code=code, message=message))


def skip(draft: Draft, stage_id: str, reason: str) -> None:
    draft.change(stage_id, status=StageStatus.SKIPPED, reason=reason, due_at=None, finished_at=draft.at)
    draft.emit(StepSkipped(step_name=stage_id, reason=reason))


def packet_id(execution_id: str, stage_id: str, dispatches: int) -> str:
    return f"packet_{execution_id.removeprefix('exec_')}.{stage_id}.{dispatches}"


def _may_start(draft: Draft, stage_id: str) -> bool:
    before = awaited(draft, stage_id)
    if len(before) > len(draft.stages) - draft.tally().unended:
        # Fewer have ended than it waits for: there is no need to look for the one that has not.
        return False
    return all(draft.stages[name].status.is_final for name in before)


def awaited(draft: Draft, stage_id: str) -> Set[str]:
    """What the stage waits for, what rules have added on the way included."""
    plan = draft.plan_of(stage_id)
    if draft.is_as_planned:
        return plan.depends_on
    run = draft.stages[stage_id]
    if run.added_by is not None:
        return {name for name in (run.added_by, *plan.depends_on) if name in draft.stages}
    before = set(plan.depends_on)
    for name, other in draft.stages.items():
        # An added stage stands behind its owner, so that one pass finds those that were added by added ones too.
        if other.added_by in before:
            before.add(name)
    return before


def _wait_for_preparation(draft: Draft, stage_id: str) -> None:
    draft.change(
        stage_id,
        status=StageStatus.PREPARING,
        due_at=draft.at + draft.circumstances.patience.preparing_ms,
        reason="its input is being put together",
    )


def _waiting_reason(draft: Draft, worker: str) -> str:
    if worker in draft.circumstances.live_workers:
        return ""
    return f"no worker named {worker} is running; the stage waits until one is"


def packet_of(draft: Draft, stage_id: str, run: StageRun, grant: Grant | None, made: BlobRef | None = None) -> WorkPacket:
    """`made` is the stage's input where it is at hand."""
    plan = draft.plan_of(stage_id)
    execution = draft.execution
    return WorkPacket(
        packet_id=packet_id(execution.execution_id, stage_id, run.dispatches),
        execution_id=execution.execution_id,
        stage_id=stage_id,
        attempt=run.attempt if grant is not None else 0,
        worker_name=worker_of(plan),
        action=action_of(plan),
        control=Control(
            action=ControlAction.CONTINUE if run.compensates is None else ControlAction.COMPENSATE,
            priority=execution.priority,
            timeout_ms=int(plan.stage.timeout_seconds * 1000),
            deadline=rfc3339(execution.compensate_until or execution.deadline_at),
        ),
        data_ref=made or _input_of(draft, stage_id, run),
        grant=grant,
        context=Context(
            client_id=execution.client_id,
            request_id=execution.request_id,
            workspace_id=execution.workspace_id,
            tier=execution.tier,
        ),
        inline_limit_bytes=0 if plan.output_names else INLINE_LIMIT_BYTES,
        previous=run.previous,
    )


def _input_of(draft: Draft, stage_id: str, run: StageRun) -> BlobRef:
    """The input as the worker gets it, made again where the state does not hold it."""
    kept = run.input_ref
    assert kept is not None, "a stage is offered only after its input is known"
    if kept.storage_type is not StorageType.INLINE or kept.inline is not None:
        return kept
    plan = draft.plan_of(stage_id)
    values, to_load = scope.outputs_of(draft, stage_id, plan.needs, {})
    assert not to_load, "an input made of loaded outputs is kept whole"
    return replace(kept, inline=msgspec.json.encode(plan.input.resolve(scope.whole(draft, values, frozenset()))))
