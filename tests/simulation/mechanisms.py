"""The mechanisms that keep the promises, each of which can be taken out to see that the simulator misses it.

The core stays as it is: what a mechanism would have prevented is done to what goes into it or to the shell around it.
"""

import enum
from collections.abc import Mapping

from msgspec.structs import replace

from aif_contracts.orders import StageStatus
from aif_contracts.packets import Grant, Granted
from aif_orchestrator.execution.happenings import AttemptClaimed, AttemptCompleted, AttemptFailed, Happening
from aif_orchestrator.execution.readiness import packet_id
from aif_orchestrator.execution.state import Execution


class Mechanism(enum.StrEnum):
    FENCING = "fencing"
    """Without it, late reports are applied as if they were of the attempt that is open now."""
    OUTBOX = "outbox"
    """Without it, messages wait for their publishing in memory only."""
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


def with_newest_attempt(happening: Happening, execution: Execution | None) -> Happening:
    """A report under the number of the newest attempt, as a door without a fence sees it."""
    if not isinstance(happening, AttemptCompleted | AttemptFailed) or execution is None:
        return happening
    run = execution.stages.get(happening.stage_id)
    return happening if run is None else replace(happening, attempt=run.attempt)


def without_settlements(executions: Mapping[str, Execution]) -> dict[str, Execution]:
    return {
        execution_id: replace(
            execution, stages={stage_id: replace(run, settled=()) for stage_id, run in execution.stages.items()}
        )
        for execution_id, execution in executions.items()
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
