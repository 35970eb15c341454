"""What must be so of rules: each was judged over the result that counted, acted when its condition held, and not too often."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from aif_contracts.events import (
    ApprovalDecided,
    ApprovalRequested,
    StepAdded,
    StepCompleted,
    StepFailed,
    StepRetrying,
)
from aif_contracts.orders import StageStatus
from aif_orchestrator.execution.judging import RETRY_RULE
from aif_orchestrator.execution.state import Execution
from aif_pipelines.definition import AddStage, Approve, Fail, RetryStage, Rule
from aif_pipelines.plan import Plan
from simulation.legs import Leg

Broken = tuple[str, str]
ResultOf = Callable[[str, int], Mapping[str, Any]]
"""By stage and attempt."""


class Rulings:
    """The rules of one execution's stages, and how they were judged."""

    def __init__(self, execution: Execution, plan: Plan, result_of: ResultOf) -> None:
        self._execution = execution
        self._plan = plan
        self._result_of = result_of
        self._newest: dict[str, int] = {}
        """The attempt whose result counts, by stage."""

    def mistakes(self, legs: Sequence[Leg]) -> Iterator[Broken]:
        for leg in legs:
            yield from self._unjustified(leg)
        yield from self._added_too_often()
        if self._execution.is_final:
            yield from self._forgotten(legs[-1])

    def _unjustified(self, leg: Leg) -> Iterator[Broken]:
        """Things that rules did although no condition asked for it, or more often than they may."""
        retried: Counter[str] = Counter()
        for event in leg.events:
            match event.data:
                case StepCompleted(step_name=stage_id, attempt=attempt):
                    self._newest[stage_id] = attempt
                case StepRetrying(step_name=stage_id, code=code) if code == RETRY_RULE:
                    retried[stage_id] += 1
                    if not self._holds(stage_id, RetryStage):
                        yield "rules", f"{stage_id} was tried again although it was good"
                case StepAdded(step_name=added, added_by=stage_id):
                    if not self._holds(stage_id, AddStage):
                        yield "rules", f"{added} was added although {stage_id} needs none"
                case ApprovalRequested(step_name=stage_id):
                    if not self._holds(stage_id, Approve):
                        yield "rules", f"a person was asked about {stage_id} without need"
                case StepFailed(step_name=stage_id, code="failed_by_rule"):
                    if not self._holds(stage_id, Fail):
                        yield "rules", f"{stage_id} was failed without reason"
                case _:
                    pass
        for stage_id, times in retried.items():
            most = sum(rule.max_retries for rule in self._rules(stage_id) if isinstance(rule, RetryStage))
            if times > most:
                yield "rules", f"{stage_id} was tried again {times} times on leg {leg.number} and may be {most} times"

    def _added_too_often(self) -> Iterator[Broken]:
        there = Counter(
            run.follows
            for run in self._execution.stages.values()
            if run.added_by is not None and not run.withdrawn and run.follows is not None
        )
        for stage_id, run in self._execution.stages.items():
            for rule in self._rules(run.follows or stage_id):
                if isinstance(rule, AddStage) and there[rule.stage.id] > rule.max_times:
                    yield "rules", f"{rule.stage.id} is there {there[rule.stage.id]} times"

    def _forgotten(self, leg: Leg) -> Iterator[Broken]:
        """Things that rules ask for of results that stand, and that were not done."""
        agreed = {event.data.step_name for event in leg.events if isinstance(event.data, ApprovalDecided)}
        ran = {event.data.step_name for event in leg.events if isinstance(event.data, StepCompleted)}
        added = {run.follows for run in self._execution.stages.values() if not run.withdrawn}
        for stage_id, run in self._execution.stages.items():
            if run.status is not StageStatus.COMPLETED or stage_id not in ran:
                continue
            for index, rule in enumerate(self._rules(stage_id)):
                if not self._condition_holds(stage_id, index):
                    continue
                match rule:
                    case RetryStage(max_retries=most):
                        was_done = run.retries_by_rule.get(index) == most
                    case AddStage(stage=stage):
                        was_done = stage.id in added
                    case Approve():
                        was_done = stage_id in agreed
                    case Fail():
                        was_done = False
                    case _:
                        was_done = True
                if not was_done:
                    yield "rules", f"{type(rule).__name__} of {stage_id} holds and did not act"

    def _rules(self, stage_id: str) -> Sequence[Rule]:
        run = self._execution.stages.get(stage_id)
        plan_id = stage_id if run is None or run.follows is None else run.follows
        return self._plan.stage_plan(plan_id).stage.rules

    def _holds(self, stage_id: str, kind: type[Rule]) -> bool:
        return any(
            isinstance(rule, kind) and self._condition_holds(stage_id, index)
            for index, rule in enumerate(self._rules(stage_id))
        )

    def _condition_holds(self, stage_id: str, index: int) -> bool:
        """Over the stage's own result, which is all that these conditions read."""
        name = self._execution.stages[stage_id].follows or stage_id
        result = self._result_of(stage_id, self._newest[stage_id])
        scope: dict[str, Any] = {name: result}
        return self._plan.stage_plan(name).rules[index].condition.holds(scope)
