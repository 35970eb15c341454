"""Which stages may start, what their input is, and how they are offered to the workers."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from aif_contracts.blobs import INLINE_LIMIT_BYTES, BlobRef, StorageType
from aif_contracts.events import StepFailed, StepSkipped
from aif_contracts.money import usd
from aif_contracts.orders import StageStatus
from aif_contracts.packets import Context, Control, Grant, WorkPacket
from aif_orchestrator.execution import ending
from aif_orchestrator.execution.assignee import action_of, worker_of
from aif_orchestrator.execution.commands import DispatchPacket, LoadOutputs, StoreInput
from aif_orchestrator.execution.draft import Draft, rfc3339
from aif_orchestrator.execution.metering import stage_metrics
from aif_orchestrator.execution.state import StageRun
from aif_pipelines.failures import ExpressionFailed, TemplateFailed

FREE_GRANT = Grant(models=(), max_cost_usd="0")
"""Lets an attempt use local providers, which cost nothing."""


def advance(draft: Draft) -> None:
    """Start every stage that has become ready, and end the execution when all are final."""
    progressing = True
    while progressing and not draft.execution.is_final:
        progressing = False
        for stage_id in draft.circumstances.plan.order:
            if draft.stages[stage_id].status is StageStatus.WAITING and _dependencies_ended(draft, stage_id):
                prepare(draft, stage_id)
                progressing = progressing or draft.stages[stage_id].status.is_final
            if draft.execution.is_final:
                return
    if not draft.execution.is_final and all(run.status.is_final for run in draft.stages.values()):
        ending.conclude(draft)


def prepare(draft: Draft, stage_id: str) -> None:
    """Put the stage's input together, from inline outputs at once, from stored ones after they are read."""
    plan = draft.plan_of(stage_id)
    absent = sorted(needed for needed in plan.requires if draft.stages[needed].output is None)
    if absent:
        skip(draft, stage_id, f"it needs the output of {', '.join(absent)}, and there is none")
        return
    stored = {
        needed: ref
        for needed in plan.needs
        if (ref := draft.stages[needed].output) is not None and ref.inline is None and ref.media_type == "application/json"
    }
    if stored:
        _wait_for_preparation(draft, stage_id)
        draft.command(LoadOutputs(stage_id=stage_id, refs=stored))
        return
    use_outputs(draft, stage_id, {})


def use_outputs(draft: Draft, stage_id: str, loaded: Mapping[str, Any]) -> None:
    """Decide whether the stage runs, resolve its input, and offer it."""
    plan = draft.plan_of(stage_id)
    scope = _scope(draft, plan.needs, loaded)
    try:
        if plan.when is not None and not plan.when.holds(scope):
            skip(draft, stage_id, f"its condition is not met: {plan.stage.when}")
            return
        content = msgspec.json.encode(plan.input.resolve(scope))
    except (ExpressionFailed, TemplateFailed) as failure:
        give_up(draft, stage_id, "input_unresolvable", f"the input of {stage_id} cannot be put together: {failure}")
        return
    storage_key = f"data/{draft.execution.execution_id}/{stage_id}/input"
    if len(content) > INLINE_LIMIT_BYTES:
        _wait_for_preparation(draft, stage_id)
        draft.command(StoreInput(stage_id=stage_id, storage_key=storage_key, content=content))
        return
    use_input(
        draft,
        stage_id,
        BlobRef(
            storage_type=StorageType.INLINE,
            storage_key=storage_key,
            size_bytes=len(content),
            sha256=sha256(content).hexdigest(),
            inline=content,
        ),
    )


def use_input(draft: Draft, stage_id: str, input_ref: BlobRef) -> None:
    draft.change(stage_id, input_ref=input_ref, ready_at=draft.at)
    dispatch(draft, stage_id)


def dispatch(draft: Draft, stage_id: str) -> None:
    """Offer the stage to the workers with a new packet.

    A stage that costs nothing carries its grant and opens its attempt here; any other is claimed first.
    """
    plan = draft.plan_of(stage_id)
    run = draft.stages[stage_id]
    free = (worker_of(plan), action_of(plan)) in draft.circumstances.free_actions
    run = draft.change(
        stage_id,
        status=StageStatus.QUEUED,
        dispatches=run.dispatches + 1,
        attempt=run.attempt + 1 if free else run.attempt,
        resends=0,
        due_at=draft.at + draft.circumstances.patience.unclaimed_ms,
        times_out_at=None,
        started_at=None,
        heard_at=None,
        holder=None,
        progress_percent=0,
        reason=_waiting_reason(draft, worker_of(plan)),
    )
    draft.command(DispatchPacket(packet=_packet(draft, stage_id, run, FREE_GRANT if free else None)))


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
        due_at=draft.at + min(patience, 3_600_000),
        reason=_waiting_reason(draft, worker_of(plan)),
    )
    draft.command(DispatchPacket(packet=_packet(draft, stage_id, run, None)))


def give_up(draft: Draft, stage_id: str, code: str, message: str) -> None:
    """End the stage without a result. An execution whose stage was not optional ends with it."""
    run = draft.change(stage_id, status=StageStatus.FAILED, reason=message, due_at=None, finished_at=draft.at)
    draft.emit(StepFailed(step_name=stage_id, attempt=run.attempt, code=code, message=message))
    if draft.plan_of(stage_id).stage.optional:
        advance(draft)
    else:
        ending.fail(draft, stage_id, code, message)


def skip(draft: Draft, stage_id: str, reason: str) -> None:
    draft.change(stage_id, status=StageStatus.SKIPPED, reason=reason, due_at=None, finished_at=draft.at)
    draft.emit(StepSkipped(step_name=stage_id, reason=reason))


def packet_id(execution_id: str, stage_id: str, dispatches: int) -> str:
    return f"packet_{execution_id.removeprefix('exec_')}.{stage_id}.{dispatches}"


def _dependencies_ended(draft: Draft, stage_id: str) -> bool:
    plan = draft.plan_of(stage_id)
    return all(draft.stages[needed].status.is_final for needed in plan.depends_on)


def _wait_for_preparation(draft: Draft, stage_id: str) -> None:
    draft.change(
        stage_id,
        status=StageStatus.PREPARING,
        due_at=draft.at + draft.circumstances.patience.preparing_ms,
        reason="its input is being put together",
    )


def _scope(draft: Draft, needs: frozenset[str], loaded: Mapping[str, Any]) -> dict[str, Any]:
    scope: dict[str, Any] = {
        "params": draft.execution.parameters,
        "execution": {"id": draft.execution.execution_id, "client_id": draft.execution.client_id},
    }
    for stage_id in needs:
        # A stage without an output is not there at all: an optional reference to it gives null.
        if draft.stages[stage_id].output is not None:
            scope[stage_id] = stage_value(draft.stages[stage_id], loaded.get(stage_id))
    return scope


def stage_value(run: StageRun, loaded: Any) -> Any:
    """A stage as expressions and templates see it: its output's fields and what is known about it."""
    value = loaded
    if value is None and run.output is not None and run.output.inline is not None:
        value = msgspec.json.decode(run.output.inline)
    if value is not None and not isinstance(value, dict):
        return value
    used = stage_metrics(run)
    return {
        **(value or {}),
        "quality_score": run.quality_score,
        "element_count": run.element_count,
        "cost_usd": None if used.cost_usd is None else usd(used.cost_usd),
        "tokens": used.tokens_used.total_tokens,
    }


def _waiting_reason(draft: Draft, worker: str) -> str:
    if worker in draft.circumstances.live_workers:
        return ""
    return f"no worker named {worker} is running; the stage waits until one is"


def _packet(draft: Draft, stage_id: str, run: StageRun, grant: Grant | None) -> WorkPacket:
    plan = draft.plan_of(stage_id)
    execution = draft.execution
    assert run.input_ref is not None, "a stage is offered only after its input is known"
    return WorkPacket(
        packet_id=packet_id(execution.execution_id, stage_id, run.dispatches),
        execution_id=execution.execution_id,
        stage_id=stage_id,
        attempt=run.attempt if grant is not None else 0,
        worker_name=worker_of(plan),
        action=action_of(plan),
        control=Control(
            priority=execution.priority,
            timeout_ms=int(plan.stage.timeout_seconds * 1000),
            deadline=rfc3339(execution.deadline_at),
        ),
        data_ref=run.input_ref,
        grant=grant,
        context=Context(
            client_id=execution.client_id,
            request_id=execution.request_id,
            workspace_id=execution.workspace_id,
            tier=execution.tier,
        ),
        inline_limit_bytes=0 if plan.output_names else INLINE_LIMIT_BYTES,
    )
