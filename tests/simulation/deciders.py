"""Those who decide what a call without an answer has cost: at its bound after a time, then perhaps by a statement."""

from decimal import Decimal

from aif_contracts.metering import Basis, ProviderCall
from aif_contracts.money import ZERO, usd, usd_text
from aif_orchestrator.engine.arrivals import Applied
from aif_orchestrator.execution.happenings import CallSettled
from simulation.orchestrators import Cluster
from simulation.record import Record
from simulation.timeline import Timeline
from simulation.truth import Truth
from simulation.weather import Weather

AGAIN_MS = 1_000
SURELY_OVER_MS = 1_500_000
"""Whatever a worker was about to do when it announced a call, it has done by then."""


class Deciders:
    """They look at the ledger, as a person or a loop does, and know nothing of executions."""

    def __init__(self, timeline: Timeline, weather: Weather, cluster: Cluster, record: Record, truth: Truth) -> None:
        self._timeline = timeline
        self._weather = weather
        self._cluster = cluster
        self._record = record
        self._truth = truth
        self._looked_at: set[str] = set()
        cluster.tell_deciders = self._hear

    def _hear(self, call: ProviderCall) -> None:
        if call.cost_usd is not None or call.call_key in self._looked_at:
            return
        self._looked_at.add(call.call_key)
        timeline = self._timeline
        if timeline.happens(self._weather.deciding):
            soon = timeline.happens(0.5)
            timeline.after(timeline.between(500, 20_000 if soon else 200_000), self._estimate, call.call_key)

    def _estimate(self, key: str) -> None:
        call = self._record.calls[key]
        if call.cost_usd is not None:
            return
        if self._timeline.happens(0.8):
            self._decide(call, usd(call.upper_bound_usd or "0"), Basis.ESTIMATE)
        if self._timeline.happens(0.8):
            self._timeline.after(self._timeline.between(500, 200_000), self._look_at_the_statement, key)

    def _look_at_the_statement(self, key: str) -> None:
        """It names every call that was billed. One that it does not name may still be made, for a while."""
        call = self._record.calls[key]
        billed = self._truth.bill.get(key)
        if call.cost_usd is not None and call.basis is Basis.USAGE:
            return
        if billed is not None or self._timeline.now - self._truth.announced[key] > SURELY_OVER_MS:
            self._decide(call, ZERO if billed is None else billed, Basis.STATEMENT)
        else:
            self._timeline.after(SURELY_OVER_MS, self._look_at_the_statement, key)

    def _decide(self, call: ProviderCall, cost: Decimal, basis: Basis) -> None:
        """Until there is an answer."""
        decision = CallSettled(
            call_key=call.call_key,
            stage_id=call.stage_id,
            attempt=call.attempt,
            cost_usd=usd_text(cost),
            basis=basis,
            note="looked into",
        )

        def answered(applied: Applied | None) -> None:
            if applied is None:
                self._timeline.after(AGAIN_MS, self._decide, call, cost, basis)

        def committed() -> None:
            self._truth.was_decided(decision)

        self._cluster.ask(call.execution_id, decision, answered, committed)
