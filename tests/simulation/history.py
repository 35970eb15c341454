"""One history: a factory, its clients and its troubles, from the first order until nothing is left to do."""

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from aif_contracts.orders import Execute, ExecutionStatus
from aif_orchestrator.engine.arrivals import Applied, ExecutionOrdered
from aif_orchestrator.execution.happenings import CancelAsked
from simulation.broker import Broker
from simulation.invariants import examine
from simulation.mechanisms import Mechanism
from simulation.orchestrators import Cluster
from simulation.record import Record
from simulation.shapes import Shapes, parameters_of
from simulation.timeline import Timeline
from simulation.truth import Truth, Violation
from simulation.weather import weather_of
from simulation.workers import Workshop

MOST_ACTS = 20_000
"""A history that is not over by then does not drain."""
AGAIN_MS = 1_000


class Outcome(Struct, frozen=True, kw_only=True):
    seed: int
    acts: int
    """What happened in the world, step by step."""
    events: int
    """Events that executions told of themselves."""
    ended: Counter[ExecutionStatus]
    meant_failures: bool
    """Attempts failed or clients cancelled, so that not every execution was to be completed."""
    untold_calls: list[str]
    """Billed calls that nobody could tell of: their worker died or the broker lost the message."""
    violations: list[Violation]


def live_through(
    seed: int, shapes: Shapes, *, without: Mechanism | None = None, tell: Callable[[str], None] | None = None
) -> Outcome:
    timeline = Timeline(seed, tell)
    weather = weather_of(timeline.chance)
    timeline.note(str(weather))
    truth = Truth()
    broker = Broker(timeline, weather)
    record = Record(in_stored_form=timeline.happens(0.1), checks_versions=without is not Mechanism.VERSIONS)
    cluster = Cluster(
        timeline=timeline, weather=weather, broker=broker, record=record, truth=truth, shapes=shapes, without=without
    )
    Workshop(timeline=timeline, weather=weather, broker=broker, cluster=cluster, truth=truth)
    clients = Clients(timeline, cluster, truth, shapes)
    for number in range(timeline.chance.choice((1, 1, 2))):
        clients.order(f"exec_{seed}_{number}", cancels=weather.cancels)

    drained = timeline.run(most_acts=MOST_ACTS)

    examine(record=record, broker=broker, truth=truth, shapes=shapes, blobs=cluster.blobs, drained=drained)
    return Outcome(
        seed=seed,
        acts=timeline.acts,
        events=sum(map(len, record.events.values())),
        ended=Counter(row.execution.status for row in record.rows.values()),
        meant_failures=weather.means_failures,
        untold_calls=truth.untold_calls(),
        violations=truth.violations,
    )


class Clients:
    """They order, order again when no answer comes or out of impatience, and some change their minds."""

    def __init__(self, timeline: Timeline, cluster: Cluster, truth: Truth, shapes: Shapes) -> None:
        self._timeline = timeline
        self._cluster = cluster
        self._truth = truth
        self._shapes = shapes

    def order(self, execution_id: str, *, cancels: bool) -> None:
        timeline = self._timeline
        pipeline = self._shapes.any(timeline.chance)
        order = Execute(
            execution_id=execution_id,
            client_id="acme",
            template_name=pipeline.name,
            template_version=pipeline.version,
            parameters=parameters_of(timeline.chance),
        )
        self._submit(order)
        if timeline.happens(0.25):
            timeline.after(timeline.between(0, 5_000), self._submit, order)
        if cancels:
            timeline.after(timeline.between(10, 60_000), self._cancel, execution_id)

    def _submit(self, order: Execute) -> None:
        def answered(applied: Applied | None) -> None:
            if applied is None:
                self._timeline.after(AGAIN_MS, self._submit, order)
            elif order.execution_id not in self._truth.accepted:
                self._truth.accepted.append(order.execution_id)

        self._cluster.ask(order.execution_id, ExecutionOrdered(order=order, trace={}), answered)

    def _cancel(self, execution_id: str) -> None:
        if execution_id not in self._truth.accepted:
            return

        def answered(applied: Applied | None) -> None:
            if applied is None:
                self._timeline.after(AGAIN_MS, self._cancel, execution_id)

        self._cluster.ask(execution_id, CancelAsked(reason="changed my mind"), answered)
