"""The clients: they order, order again out of impatience, pause, go on, decide what waits for them, cancel and try again.

Two people may do so at once, do it late or twice, and ask again when no answer comes.
"""

from aif_contracts.budgets import BUDGET_EXCEEDED, BUDGET_RESERVED
from aif_contracts.events import (
    ApprovalRequested,
    CompensationStarted,
    ExecutionEvent,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowPaused,
    WorkflowScheduled,
)
from aif_contracts.money import usd
from aif_contracts.orders import Execute
from aif_orchestrator.engine.arrivals import Applied, ExecutionOrdered
from aif_orchestrator.execution.draft import rfc3339
from aif_orchestrator.execution.happenings import (
    ApprovalDecisionMade,
    CancelAsked,
    CompensationSkipAsked,
    Happening,
    PauseAsked,
    ResumeAsked,
)
from simulation.orchestrators import Cluster
from simulation.shapes import Shapes, parameters_of
from simulation.timeline import Timeline
from simulation.truth import Truth
from simulation.weather import Weather

AGAIN_MS = 1_000
MOST_TRIES = 3
MOST_TRIES_OF_A_SMALL_THING = 8
MOST_SMALL_THINGS = 40
SMALL_USD = "0.1"
"""As much as one call may cost."""
MOST_LEGS = 3
PEOPLE = ("ada", "bob")
_CHANGES = (CompensationStarted, ApprovalRequested, WorkflowPaused, WorkflowScheduled)
_HEEDED = frozenset({*_CHANGES, WorkflowFailed, WorkflowCancelled, WorkflowCompleted})


class Clients:
    def __init__(self, timeline: Timeline, weather: Weather, cluster: Cluster, truth: Truth, shapes: Shapes) -> None:
        self._timeline = timeline
        self._weather = weather
        self._cluster = cluster
        self._truth = truth
        self._shapes = shapes
        cluster.tell_clients = self._hear

    def order(self, execution_id: str) -> None:
        timeline, weather = self._timeline, self._weather
        pipeline = self._shapes.any(timeline.chance)
        order = Execute(
            execution_id=execution_id,
            client_id="acme",
            template_name=pipeline.name,
            template_version=pipeline.version,
            parameters=parameters_of(timeline.chance),
            start_at=rfc3339(timeline.now + timeline.between(0, 30_000)) if timeline.happens(weather.delays) else None,
            max_cost_usd=timeline.chance.choice(("0.15", "0.25", "0.4")) if timeline.happens(weather.thrift) else None,
        )
        if order.max_cost_usd is not None:
            self._truth.limits[execution_id] = usd(order.max_cost_usd)
        self._submit(execution_id, order, MOST_TRIES)
        if timeline.happens(0.25):
            timeline.after(timeline.between(0, 5_000), self._submit, execution_id, order, 0)
        if weather.cancels:
            timeline.after(timeline.between(10, 60_000), self._cancel, execution_id)
        if weather.pauses:
            timeline.after(timeline.between(10, 20_000), self._pause, execution_id)

    def order_until_nothing_is_left(self, name: str) -> None:
        """Small things, one after the other, for as long as there is something to spend."""
        self._order_a_small_thing(name, 0)

    def _order_a_small_thing(self, name: str, number: int) -> None:
        timeline = self._timeline
        pipeline = self._shapes.small(timeline.chance)
        execution_id = f"{name}_{number}"
        order = Execute(
            execution_id=execution_id,
            client_id="acme",
            template_name=pipeline.name,
            template_version=pipeline.version,
            parameters=parameters_of(timeline.chance),
            max_cost_usd=SMALL_USD,
        )
        self._truth.limits[execution_id] = usd(SMALL_USD)
        self._submit(execution_id, order, MOST_TRIES_OF_A_SMALL_THING)
        if number < MOST_SMALL_THINGS and not self._truth.refused[BUDGET_EXCEEDED]:
            timeline.after(timeline.between(1_000, 15_000), self._order_a_small_thing, name, number + 1)

    def _submit(self, execution_id: str, order: Execute, tries_left: int) -> None:
        def answered(applied: Applied | None) -> None:
            if applied is None:
                self._timeline.after(AGAIN_MS, self._submit, execution_id, order, tries_left)
            elif applied.denied is not None:
                self._truth.refused[applied.denied] += 1
                self._truth.seen[applied.denied] += 1
                if applied.denied == BUDGET_RESERVED and tries_left > 0:
                    self._timeline.after(
                        self._timeline.between(2_000, 60_000), self._submit, execution_id, order, tries_left - 1
                    )
            elif execution_id not in self._truth.accepted:
                self._truth.accepted.append(execution_id)

        self._cluster.ask(execution_id, ExecutionOrdered(order=order, trace={}), answered)

    def _hear(self, event: ExecutionEvent, leg: int) -> None:
        if type(event.data) not in _HEEDED:
            return
        timeline, weather, execution_id = self._timeline, self._weather, event.subject
        match event.data:
            case WorkflowPaused():
                self._end_the_pause(execution_id)
            case CompensationStarted(step_name=stage_id):
                self._perhaps_give_up_undoing(execution_id, stage_id)
            case ApprovalRequested(step_name=stage_id):
                self._decide_on(execution_id, stage_id)
            case WorkflowFailed() | WorkflowCancelled():
                self._perhaps_try_again(execution_id, leg)
            case WorkflowCompleted(status="partially_completed"):
                self._perhaps_try_again(execution_id, leg)
            case _:
                pass
        if isinstance(event.data, _CHANGES) and weather.cancels and timeline.happens(0.2):
            timeline.after(timeline.between(0, 2_000), self._cancel, execution_id)

    def _pause(self, execution_id: str) -> None:
        if execution_id in self._truth.accepted:
            self._ask(execution_id, PauseAsked(reason="lunch"))

    def _end_the_pause(self, execution_id: str) -> None:
        timeline, weather = self._timeline, self._weather
        if timeline.happens(weather.inattention):
            return
        people = 2 if timeline.happens(0.2) else 1
        for _ in range(people):
            timeline.after(timeline.between(10, 15_000), self._ask, execution_id, ResumeAsked())
        if timeline.happens(weather.pauses / 3):
            timeline.after(timeline.between(10, 40_000), self._pause, execution_id)

    def _decide_on(self, execution_id: str, stage_id: str) -> None:
        """One person looks at it, or two who need not agree, or nobody in time."""
        timeline = self._timeline
        if timeline.happens(self._weather.inattention):
            return
        for person in PEOPLE[: 2 if timeline.happens(0.25) else 1]:
            decision = ApprovalDecisionMade(
                stage_id=None if timeline.happens(0.3) else stage_id,
                approved=timeline.happens(0.8),
                decided_by=person,
                comment="",
            )
            late = timeline.happens(0.05)
            timeline.after(timeline.between(100, 200_000 if late else 10_000), self._ask, execution_id, decision)

    def _perhaps_give_up_undoing(self, execution_id: str, stage_id: str | None) -> None:
        """One person, or two at once, who name the stage or whatever is left."""
        timeline = self._timeline
        if not self._weather.cancels or not timeline.happens(0.3):
            return
        for person in PEOPLE[: 2 if timeline.happens(0.3) else 1]:
            named = stage_id if timeline.happens(0.7) else None
            asked = CompensationSkipAsked(stage_id=named, decided_by=person, comment="")
            timeline.after(timeline.between(0, 60_000), self._ask, execution_id, asked)

    def _perhaps_try_again(self, execution_id: str, leg: int) -> None:
        timeline = self._timeline
        if leg >= MOST_LEGS or not timeline.happens(self._weather.resumes):
            return
        people = 2 if timeline.happens(0.2) else 1
        for _ in range(people):
            timeline.after(timeline.between(10, 10_000), self._ask, execution_id, ResumeAsked())

    def _cancel(self, execution_id: str) -> None:
        if execution_id in self._truth.accepted:
            self._ask(execution_id, CancelAsked(reason="changed my mind"))
            # Also while what was cut off has not had its last word.
            self._perhaps_give_up_undoing(execution_id, None)

    def _ask(self, execution_id: str, happening: Happening) -> None:
        """Until there is an answer, be it a refusal."""

        def answered(applied: Applied | None) -> None:
            if applied is None:
                self._timeline.after(AGAIN_MS, self._ask, execution_id, happening)

        self._cluster.ask(execution_id, happening, answered)
