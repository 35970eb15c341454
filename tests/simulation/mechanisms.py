"""The mechanisms that keep the promises, each of which can be taken out to see that the simulator misses it.

The core stays as it is: what a mechanism would have prevented is done to what goes into it or to the shell around it.
"""

import enum
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from aif_contracts.orders import StageStatus
from aif_contracts.packets import Grant, Granted
from aif_orchestrator.execution.happenings import AttemptClaimed, AttemptCompleted, AttemptFailed, Happening, OutputsLoaded
from aif_orchestrator.execution.offering import packet_id
from aif_orchestrator.execution.state import Execution, StageRun, newest_instance


class Mechanism(enum.StrEnum):
    FENCING = "fencing"
    """Without it, late reports are applied as if they were of the attempt that is open now."""
    OUTBOX = "outbox"
    """Without it, messages wait for their publishing in memory only."""
    KEPT_ROWS = "kept rows"
    """Without them, a row of the outbox is deleted as soon as its packets are offered."""
    UNANSWERED = "unanswered"
    """Without it, a replica does not see after what it has offered. Only where it is alone does nobody else, either."""
    SWEEPER = "sweeper"
    """Without it, nobody looks for executions whose time has come."""
    SETTLING_ONCE = "settling once"
    """Without it, every report is charged, also one that comes again."""
    CLAIM_LEASE = "claim lease"
    """Without it, a second claim of an attempt that is alive is granted."""
    CLAIMS = "claims"
    """Without them, packets of paid work carry their grant."""
    VERSIONS = "versions"
    """Without them, a replica stores what it made of a state that another one has changed meanwhile."""
    ACK_AFTER_COMMIT = "ack after commit"
    """Without it, reports and usage are acknowledged when they arrive."""
    RESERVATION = "reservation"
    """Without it, every claim is granted all that has not been spent, whatever others may still spend."""
    COMPENSATION_ORDER = "compensation order"
    """Without it, what was made first is undone first."""
    PACKET_FENCE = "packet fence"
    """Without it, every packet of a stage can be claimed, also one of an earlier leg."""
    DIGESTS = "digests"
    """Without them, what was read of an output counts for the one that was made since."""
    ANNOUNCING = "announcing"
    """Without it, calls are told of only when they have ended."""
    CONFIRMED = "confirmed"
    """Without it, a worker calls providers that has not heard for long whether the attempt is still its own."""
    ENVELOPE = "envelope"
    """Without it, executions are admitted whatever is left of their client's budget."""
    SETTLING_CALLS_ONCE = "settling calls once"
    """Without it, every decision about a call in doubt is charged, also one that corrects another."""


def _with_newest_attempt(happening: Happening, execution: Execution) -> Happening:
    """A report under the number of the newest attempt, as a door without a fence sees it."""
    if not isinstance(happening, AttemptCompleted | AttemptFailed):
        return happening
    run = execution.stages.get(happening.stage_id)
    return happening if run is None else replace(happening, attempt=run.attempt)


def _with_newest_packet(happening: Happening, execution: Execution) -> Happening:
    if not isinstance(happening, AttemptClaimed):
        return happening
    run = execution.stages.get(happening.stage_id)
    if run is None:
        return happening
    return replace(happening, packet_id=packet_id(execution.execution_id, happening.stage_id, run.dispatches))


def _with_newest_digests(happening: Happening, execution: Execution) -> Happening:
    if not isinstance(happening, OutputsLoaded):
        return happening
    return replace(
        happening,
        outputs={
            name: replace(loaded, sha256=run.output.sha256) if run is not None and run.output is not None else loaded
            for name, loaded in happening.outputs.items()
            for run in [newest_instance(execution.stages, name)]
        },
    )


def _each_stage(**changes: Any) -> Callable[[Execution], Execution]:
    def change(execution: Execution) -> Execution:
        return replace(execution, stages={key: replace(run, **changes) for key, run in execution.stages.items()})

    return change


def _made_the_other_way_round(execution: Execution) -> Execution:
    return replace(
        execution, stages={key: replace(run, made_at=-abs(run.made_at or 0)) for key, run in execution.stages.items()}
    )


def _with_nothing_decided(execution: Execution) -> Execution:
    return replace(execution, stages={key: _undecided(run) for key, run in execution.stages.items()})


def _undecided(run: StageRun) -> StageRun:
    decided = [call for each in run.statements.values() for call in each.calls.items() if call[1].is_decided]
    if not decided:
        return run
    statements = {
        attempt: replace(
            each,
            calls={key: replace(call, cost_usd=None) if call.is_decided else call for key, call in each.calls.items()},
        )
        for attempt, each in run.statements.items()
    }
    spent = replace(run.spent, unanswered={**run.spent.unanswered, **{key: call.bound_usd for key, call in decided}})
    return replace(run, statements=statements, spent=spent)


CHANGES_HAPPENINGS: Mapping[Mechanism | None, Callable[[Happening, Execution], Happening]] = {
    Mechanism.FENCING: _with_newest_attempt,
    Mechanism.PACKET_FENCE: _with_newest_packet,
    Mechanism.DIGESTS: _with_newest_digests,
}
CHANGES_STATES: Mapping[Mechanism | None, Callable[[Execution], Execution]] = {
    Mechanism.SETTLING_ONCE: _each_stage(settled=(), statements={}),
    Mechanism.RESERVATION: _each_stage(reserved={}),
    Mechanism.COMPENSATION_ORDER: _made_the_other_way_round,
    Mechanism.SETTLING_CALLS_ONCE: _with_nothing_decided,
}


def granted_again(happening: Happening, execution: Execution | None) -> Granted | None:
    """The grant that a second claimant of a live attempt gets when nobody remembers the first."""
    if not isinstance(happening, AttemptClaimed) or execution is None:
        return None
    run = execution.stages.get(happening.stage_id)
    if run is None or run.status is not StageStatus.RUNNING:
        return None
    if happening.packet_id != packet_id(execution.execution_id, happening.stage_id, run.dispatches):
        return None
    return Granted(attempt=run.attempt, grant=Grant(max_cost_usd="1"), timeout_ms=20_000)
