"""How a stage is offered to the workers: in a packet, again when nobody takes it, not at all during a pause."""

import msgspec
from msgspec.structs import replace

from aif_contracts.blobs import INLINE_LIMIT_BYTES, BlobRef, StorageType
from aif_contracts.events import ProgressUpdate
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_contracts.packets import Context, Control, ControlAction, Grant, WorkPacket
from aif_orchestrator.execution import scope
from aif_orchestrator.execution.assignee import action_of, worker_of
from aif_orchestrator.execution.commands import DispatchPacket
from aif_orchestrator.execution.draft import Draft, rfc3339
from aif_orchestrator.execution.happenings import PacketUntold, Patience
from aif_orchestrator.execution.state import StageRun

FREE_GRANT = Grant(models=(), max_cost_usd="0")
"""Lets an attempt use local providers, which cost nothing."""
LONGEST_PATIENCE_MS = 3_600_000
"""A packet that nobody takes is offered again after this time at the latest."""
TOLD_AFTER_MS = 5_000
"""That a stage waits for a worker that is not running is told after this time: one that is started anew is back by then."""


def dispatch(draft: Draft, stage_id: str, made: BlobRef | None = None, *, kept: BlobRef | None = None) -> None:
    """Offer the stage to the workers with a new packet. An input that was just made comes with what the state keeps of it.

    A stage that costs nothing carries its grant and opens its attempt here. Any other is claimed first, and so is one whose
    attempts have taken workers down: the claim's answer says that the next one is to be alone.
    """
    if draft.execution.status is ExecutionStatus.PAUSED:
        park(draft, stage_id)
        return
    run = draft.stages[stage_id]
    plan = draft.plan_of(stage_id)
    worker = worker_of(plan)
    is_suspect = run.losses >= draft.circumstances.patience.suspect_losses
    opens_attempt = (worker, action_of(plan)) in draft.circumstances.free_actions and not is_suspect
    waits_for = _waiting_reason(draft, worker)
    unclaimed_ms = draft.circumstances.patience.unclaimed_ms
    run = draft.put(
        stage_id,
        replace(
            run,
            status=StageStatus.QUEUED,
            dispatches=run.dispatches + 1,
            attempt=run.attempt + 1 if opens_attempt else run.attempt,
            resends=0,
            input_ref=run.input_ref if made is None else kept,
            ready_at=run.ready_at if made is None else draft.at,
            offered_anew_at=draft.at if made is None else None,
            due_at=draft.at + (min(unclaimed_ms, TOLD_AFTER_MS) if waits_for else unclaimed_ms),
            times_out_at=None,
            started_at=None,
            heard_at=None,
            holder=None,
            claim_id="",
            is_waiting=False,
            grant=None,
            progress_percent=0,
            reason=waits_for,
        ),
    )
    draft.command(DispatchPacket(packet=packet_of(draft, stage_id, run, FREE_GRANT if opens_attempt else None, made)))


def park(draft: Draft, stage_id: str) -> None:
    """Offer the stage after the pause; its input is put together again then."""
    draft.change(stage_id, status=StageStatus.WAITING, due_at=None, progress_percent=0, reason="the execution is paused")


def attend(draft: Draft, stage_id: str) -> None:
    """The time of a stage that was offered is up: its packet is sent again, or what it waits for is told first.

    That no such worker is running is told once, after a short time; when one has come, the stage's start says so. A packet for
    a worker that is not there is not lost, so telling does not send it again.
    """
    run = draft.stages[stage_id]
    worker = worker_of(draft.plan_of(stage_id))
    waits_for = _waiting_reason(draft, worker)
    unclaimed_until = (run.offered_at or 0) + draft.circumstances.patience.unclaimed_ms
    is_first_look = run.reason == _nobody_is(worker) and run.due_at is not None and run.due_at < unclaimed_until
    if waits_for and (is_first_look or _is_news(draft, run, waits_for)):
        draft.emit(ProgressUpdate(progress_percent=draft.progress(), message=waits_for, step_name=stage_id))
    if is_first_look:
        draft.change(stage_id, due_at=max(unclaimed_until, draft.at), reason=waits_for)
    else:
        resend(draft, stage_id)


def _is_news(draft: Draft, run: StageRun, waits_for: str) -> bool:
    """Of a stage whose packet is sent again now, which happens before it is time to tell where the patience is short."""
    offered_at = run.offered_at or 0
    told_from = offered_at + TOLD_AFTER_MS
    if draft.at < told_from:
        return False
    patience = draft.circumstances.patience
    if run.reason != waits_for or patience.unclaimed_ms > TOLD_AFTER_MS:
        return run.reason != waits_for
    sent_at = offered_at if run.resends == 0 else (run.due_at or 0) - longest_patience_ms(patience, run.resends)
    return sent_at < told_from


def resend(draft: Draft, stage_id: str) -> None:
    """Offer the stage again because nobody took its packet in time: the broker may have lost it, or everybody is busy.

    The new packet has no grant, so whoever takes it has to ask, and is told when the first packet did find its worker. The
    patience doubles each time: ten thousand stages in a long queue must not fill it with copies of themselves.
    """
    plan = draft.plan_of(stage_id)
    run = draft.stages[stage_id]
    patience_ms = longest_patience_ms(draft.circumstances.patience, run.resends + 1)
    run = draft.change(
        stage_id,
        dispatches=run.dispatches + 1,
        resends=run.resends + 1,
        due_at=draft.at + patience_ms,
        reason=_waiting_reason(draft, worker_of(plan)),
    )
    draft.command(DispatchPacket(packet=packet_of(draft, stage_id, run, None), is_repeated=True))


def longest_patience_ms(patience: Patience, resends: int) -> int:
    """With a packet that was sent again so often."""
    return min(patience.unclaimed_ms << resends, max(patience.unclaimed_ms, LONGEST_PATIENCE_MS))


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


def packet_id(execution_id: str, stage_id: str, dispatches: int) -> str:
    return f"packet_{execution_id.removeprefix('exec_')}.{stage_id}.{dispatches}"


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


def _waiting_reason(draft: Draft, worker: str) -> str:
    return "" if worker in draft.circumstances.live_workers else _nobody_is(worker)


def _nobody_is(worker: str) -> str:
    return f"no worker named {worker} is running; the stage waits until one is"


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
