"""What must be so of compensations: each thing that was made is undone once, the newest first, or named as not undone,
as what a person gives up.

What an attempt made that was cut off counts as the newest; whether it made something, its worker says, or nobody knows.
"""

from collections.abc import Iterator, Sequence

from aif_contracts.events import (
    CompensationCompleted,
    CompensationFailed,
    CompensationStarted,
    StepCompleted,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowResumed,
)
from aif_orchestrator.execution.saga import COMPENSATION_SKIPPED, EFFECT_UNKNOWN
from aif_orchestrator.execution.state import Execution
from aif_pipelines.plan import Plan, compensation_id
from simulation.legs import Leg


def undoing_mistakes(execution: Execution, plan: Plan, legs: Sequence[Leg]) -> Iterator[tuple[str, str]]:
    """The rules that are broken, and how."""
    made: dict[str, int] = {}
    """When each thing that stands was made, by the number of the event that told so."""
    remain: set[str] = set()
    """What could not be undone, on an earlier leg perhaps."""
    for leg in legs:
        first = leg.events[0].data
        if leg.number > 1 and isinstance(first, WorkflowResumed):
            made = {stage_id: sequence for stage_id, sequence in made.items() if stage_id in first.kept.stages}
        begun: list[str] = []
        undone: list[str] = []
        failed: list[str] = []
        unknown: list[str] = []
        before_their_turn: list[str] = []
        """Given up by a person."""
        for event in leg.events:
            match event.data:
                case StepCompleted(step_name=stage_id):
                    made[stage_id] = event.sequence
                case CompensationStarted(step_name=stage_id):
                    begun.append(stage_id)
                case CompensationCompleted(step_name=stage_id):
                    undone.append(stage_id)
                case CompensationFailed(step_name=stage_id, code=code):
                    failed.append(stage_id)
                    if code == EFFECT_UNKNOWN:
                        unknown.append(stage_id)
                    if code == COMPENSATION_SKIPPED and stage_id not in begun:
                        before_their_turn.append(stage_id)
                case _:
                    pass
        last = leg.events[-1].data
        if not isinstance(last, WorkflowFailed | WorkflowCancelled):
            if begun or undone or failed:
                yield "compensation", f"leg {leg.number} ended as {type(last).__name__} and undid {begun}"
            continue
        wanted = [
            stage_id
            for stage_id in sorted(made, key=lambda name: made[name], reverse=True)
            if compensation_id(execution.stages[stage_id].follows or stage_id) in plan.extra
        ]
        cut_off = [stage_id for stage_id in begun if stage_id not in made]
        to_begin = [stage_id for stage_id in cut_off + wanted if stage_id not in before_their_turn]
        if begun != to_begin[: len(begun)]:
            yield "compensation order", f"leg {leg.number} undid {begun}, and made {wanted[::-1]}"
        if set(unknown) & {*begun, *made}:
            yield "compensation", f"leg {leg.number} undid {begun}, made {wanted}, and knows nothing of {unknown}"
        unheard = [stage_id for stage_id in before_their_turn if stage_id not in made]
        if sorted(undone + failed) != sorted(wanted + cut_off + unknown + unheard):
            yield "compensation", f"leg {leg.number} made {wanted}, undid {undone}, failed to undo {failed}"
        remain = (remain - set(undone)) | set(failed)
        if set(last.not_undone) != remain or len(last.not_undone) != len(remain):
            yield "compensation", f"leg {leg.number} did not undo {remain} and says {last.not_undone}"
