"""One history: a factory, its clients and its troubles, from the first order until nothing is left to do."""

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from aif_contracts.money import usd
from aif_contracts.orders import ExecutionStatus
from simulation.books import audit
from simulation.broker import Broker
from simulation.clients import Clients
from simulation.deciders import Deciders
from simulation.invariants import examine
from simulation.mechanisms import Mechanism
from simulation.orchestrators import PATIENCE, Cluster
from simulation.record import Record
from simulation.shapes import Shapes
from simulation.sightings import rare
from simulation.timeline import Timeline
from simulation.truth import Truth, Violation
from simulation.weather import weather_of
from simulation.workers import Workshop

MOST_ACTS = 100_000
"""A history that is not over by then does not drain. Where workers freeze again and again, the broker offers some messages
thousands of times."""
MEANT = frozenset({"failed_by_rule", "rejected"})
"""Codes of failures that a pipeline or a person wants."""


class Outcome(Struct, frozen=True, kw_only=True):
    seed: int
    acts: int
    """What happened in the world, step by step."""
    events: int
    """Events that executions told of themselves."""
    ended: Counter[ExecutionStatus]
    meant_failures: bool
    """Attempts failed or clients cancelled, so that not every execution was to be completed."""
    seen: Counter[str]
    """How often what happens only now and then did."""
    untold_calls: list[str]
    """Billed calls that nobody could tell of: their worker died or the broker lost the message."""
    violations: list[Violation]


def live_through(
    seed: int, shapes: Shapes, *, without: Mechanism | None = None, tell: Callable[[str], None] | None = None
) -> Outcome:
    timeline = Timeline(seed, tell)
    weather = weather_of(timeline.chance)
    timeline.note(str(weather))
    truth = Truth(timeline, budget_usd=usd(weather.budget_usd), last_word_ms=PATIENCE.last_word_ms)
    broker = Broker(timeline, weather)
    record = Record(
        in_stored_form=timeline.happens(0.1),
        checks_versions=without is not Mechanism.VERSIONS,
        checks_budgets=without is not Mechanism.ENVELOPE,
        budget_usd=usd(weather.budget_usd),
    )
    cluster = Cluster(
        timeline=timeline, weather=weather, broker=broker, record=record, truth=truth, shapes=shapes, without=without
    )
    Workshop(timeline=timeline, weather=weather, broker=broker, cluster=cluster, truth=truth, without=without)
    Deciders(timeline, weather, cluster, record, truth)
    clients = Clients(timeline, weather, cluster, truth, shapes)
    if weather.spends_it_all:
        clients.order_until_nothing_is_left(f"exec_{seed}")
    else:
        for number in range(timeline.chance.choice((1, 1, 1, 2))):
            clients.order(f"exec_{seed}_{number}")

    drained = timeline.run(most_acts=MOST_ACTS)

    for events in record.events.values():
        truth.seen.update(name for event in events for name in rare(event))
    examine(record=record, broker=broker, truth=truth, shapes=shapes, blobs=cluster.blobs, drained=drained)
    audit(record=record, broker=broker, truth=truth, weather=weather)
    return Outcome(
        seed=seed,
        acts=timeline.acts,
        events=sum(map(len, record.events.values())),
        ended=Counter(row.execution.status for row in record.rows.values()),
        meant_failures=weather.means_failures or any(row.execution.failure_code in MEANT for row in record.rows.values()),
        seen=truth.seen,
        untold_calls=truth.untold_calls(),
        violations=truth.violations,
    )
