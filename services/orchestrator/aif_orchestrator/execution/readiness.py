"""Which stages may start, and what their input is: how an execution goes on from what has ended."""

from collections.abc import Iterable, Mapping, Set
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from aif_contracts.blobs import INLINE_LIMIT_BYTES, BlobRef, StorageType
from aif_contracts.events import CompensationStarted
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_orchestrator.execution import ending, judging, offering, outcomes, saga, scope
from aif_orchestrator.execution.assignee import action_of, worker_of
from aif_orchestrator.execution.commands import LoadOutputs, StoreInput
from aif_orchestrator.execution.draft import Draft
from aif_orchestrator.execution.happenings import LoadedOutput
from aif_pipelines.failures import ExpressionFailed, TemplateFailed

_WAITING = StageStatus.WAITING
_BEGINS = frozenset({ExecutionStatus.RUNNING, ExecutionStatus.AWAITING_APPROVAL})
_CONCLUDES = frozenset({*_BEGINS, ExecutionStatus.PAUSED})


def advance(draft: Draft) -> None:
    """Start what has become ready in this step, or undo what is to be undone next; end the execution after its last stage.

    The one place from which an execution goes on, at the end of each step: whatever ends a stage says so in the stage alone.
    """
    if not draft.has_news:
        return
    while draft.has_news:
        maybe_ready = draft.take_news()
        if draft.execution.status in _BEGINS:
            _start(draft, maybe_ready)
        elif draft.execution.status is ExecutionStatus.COMPENSATING:
            _undo_next(draft)
    if draft.tally().unended:
        return
    if draft.execution.status in _CONCLUDES:
        ending.conclude(draft)
    elif draft.execution.verdict is not None:
        ending.close(draft, draft.execution.verdict)


def prepare(draft: Draft, stage_id: str) -> None:
    """Put the stage's input together, from inline outputs at once, from stored ones after they are read."""
    itself = draft.stages[stage_id]
    if itself.skipped_by is not None:
        outcomes.skip(draft, stage_id, itself.reason)
        return
    plan = draft.plan_of(stage_id)
    absent = [" or ".join(sorted(names)) for names in plan.requires if not scope.has_result(draft, stage_id, names)]
    if absent:
        outcomes.skip(draft, stage_id, f"it needs the output of {', '.join(sorted(absent))}, and there is none")
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
        # What had been offered when a pause came has been judged: the figures in `when` change, by its own attempts, too.
        if plan.when is not None and draft.stages[stage_id].ready_at is None and not plan.when.holds(whole):
            outcomes.skip(draft, stage_id, f"its condition is not met: {plan.stage.when}")
            return
        content = msgspec.json.encode(plan.input.resolve(whole))
    except ExpressionFailed as failure:
        judging.give_up(
            draft, stage_id, "condition_unresolvable", f"the condition (when) of {stage_id} cannot be judged: {failure}"
        )
        return
    except TemplateFailed as failure:
        judging.give_up(draft, stage_id, "input_unresolvable", f"the input of {stage_id} cannot be put together: {failure}")
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
    offering.dispatch(draft, stage_id, made, kept=replace(made, inline=None) if is_repeatable else made)


def use_input(draft: Draft, stage_id: str, stored: BlobRef) -> None:
    """Offer the stage, whose input was too large to travel with it."""
    offering.dispatch(draft, stage_id, stored, kept=stored)


def _start(draft: Draft, stage_ids: Iterable[str]) -> None:
    for stage_id in stage_ids:
        if draft.execution.status not in _BEGINS:
            # One that could not start has ended it; the compensations that wait now have their own turn.
            return
        if draft.stages[stage_id].status is _WAITING and _may_start(draft, stage_id):
            prepare(draft, stage_id)


def _undo_next(draft: Draft) -> None:
    """Begin the next compensation when none is under way."""
    undoing = next(
        ((stage_id, run) for stage_id, run in draft.stages.items() if run.compensates and not run.status.is_final), None
    )
    if undoing is None or undoing[1].status is not _WAITING or saga.awaits_word(draft, undoing[1]):
        return
    stage_id, run = undoing
    assert run.compensates is not None, "it was chosen for that"
    plan = draft.plan_of(stage_id)
    draft.emit(CompensationStarted(step_name=run.compensates, worker_name=worker_of(plan), action=action_of(plan)))
    prepare(draft, stage_id)


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
    owners = _owners(draft, stage_id)
    before = {name for name in plan.depends_on if name in draft.stages} - owners
    for name, other in draft.stages.items():
        # An added stage stands behind its owner, so that one pass finds those that were added by added ones too.
        if other.added_by in before:
            before.add(name)
    return before | owners


def _owners(draft: Draft, stage_id: str) -> Set[str]:
    """Whose rules have led to the stage: it waits for them, and not for what else they have added."""
    owners: set[str] = set()
    owner = draft.stages[stage_id].added_by
    while owner is not None:
        owners.add(owner)
        owner = draft.stages[owner].added_by
    return owners


def _wait_for_preparation(draft: Draft, stage_id: str) -> None:
    draft.change(
        stage_id,
        status=StageStatus.PREPARING,
        due_at=draft.at + draft.circumstances.patience.preparing_ms,
        reason="its input is being put together",
    )
