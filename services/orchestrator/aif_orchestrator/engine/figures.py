"""Prometheus figures, counted from what was committed, a moment later: what follows from a commit should not wait for them."""

import asyncio
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram

from aif_contracts.budgets import BUDGET_EXCEEDED, BUDGET_RESERVED, ENERGY_EXCEEDED
from aif_contracts.events import StepRetrying, Totals, WorkflowCancelled, WorkflowCompleted, WorkflowFailed
from aif_contracts.money import usd
from aif_contracts.orders import ExecutionStatus
from aif_orchestrator.engine.batch import Worked
from aif_orchestrator.execution.attempts import NOT_BEGUN, WORKER_LOST
from aif_orchestrator.execution.state import Execution

COUNT_SECONDS = 0.05
MOST_PIPELINES = 200
"""Told by name. Clients name their own, and each name is some thirty series for as long as the process lives."""
OTHER_PIPELINES = "other"

OFFER_UNANSWERED = "offer_unanswered"
_SILENT = (WORKER_LOST, NOT_BEGUN)

_DURATION_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600)
_COST_BUCKETS = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 50)


class Figures:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._executions = Counter(
            "ai_pipeline_executions", "Executions that have ended", ["pipeline", "status"], registry=registry
        )
        self._duration = Histogram(
            "ai_pipeline_duration_seconds",
            "Wall time of executions, of one that was resumed since then",
            ["pipeline"],
            buckets=_DURATION_BUCKETS,
            registry=registry,
        )
        self._cost = Histogram(
            "ai_pipeline_cost_usd",
            "Known cost of executions, of one that was resumed since then",
            ["pipeline"],
            buckets=_COST_BUCKETS,
            registry=registry,
        )
        self._steps = Counter(
            "ai_step_executions", "Attempts that have ended", ["worker", "action", "status"], registry=registry
        )
        self._offers = Counter(
            "aif_offers", "Packets offered to a worker's processes before they are stored", ["worker"], registry=registry
        )
        self._refusals = Counter(
            "aif_offers_refused", "Offers that nobody took: all were busy, or nobody was there", ["worker"], registry=registry
        )
        self._handed_out_anew = Counter(
            "aif_attempts_handed_out_anew",
            "Attempts handed out anew because their worker stayed silent, by how that showed",
            ["worker", "silence"],
            registry=registry,
        )
        self._contradictions = Counter(
            "aif_contradicting_costs",
            "Reports that say something else about an attempt's cost than their own lines or the attempt's booked calls",
            ["worker"],
            registry=registry,
        )
        self._beyond_grants = Counter(
            "aif_costs_beyond_grant",
            "Reports of attempts whose calls cost more than they were granted",
            ["worker"],
            registry=registry,
        )
        self._exceeded = Counter(
            "ai_budget_exceeded",
            "Executions refused because of a budget, by the refusal's code",
            ["code"],
            registry=registry,
        )
        for code in (BUDGET_EXCEEDED, BUDGET_RESERVED, ENERGY_EXCEEDED):
            self._exceeded.labels(code)
        self._batches = Histogram(
            "aif_engine_batch_executions",
            "Executions per committed batch",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=registry,
        )
        self._named: set[str] = set()
        self._uncounted: list[Sequence[Worked]] = []

    def count_denied(self, code: str) -> None:
        """A client's budget or energy did not allow an execution to begin or to be resumed."""
        self._exceeded.labels(code).inc()

    def count_offers(self, workers: Iterable[str]) -> None:
        """The worker of each packet that was offered."""
        for worker, times in Tally(workers).items():
            self._offers.labels(worker).inc(times)

    def count_refusal(self, worker: str) -> None:
        self._refusals.labels(worker).inc()

    def count_unanswered(self, worker: str) -> None:
        """Nothing was heard of an offer, and its packet is handed out anew."""
        self._handed_out_anew.labels(worker, OFFER_UNANSWERED).inc()

    def count(self, worked: Sequence[Worked]) -> None:
        """A committed batch. It shows within `COUNT_SECONDS`."""
        self._uncounted.append(worked)
        if len(self._uncounted) == 1:
            asyncio.get_running_loop().call_later(COUNT_SECONDS, self._count_all)

    def _count_all(self) -> None:
        batches, self._uncounted = self._uncounted, []
        for batch in batches:
            self._batches.observe(len(batch))
        worked = [each for batch in batches for each in batch]
        steps = Tally(
            (record.worker_name, record.action, record.failure_code or "success")
            for each in worked
            for record in [attempt.record for attempt in each.attempts]
        )
        for labels, times in steps.items():
            self._steps.labels(*labels).inc(times)
        for worker in {worker for worker, _, _ in steps}:
            self._contradictions.labels(worker)
            self._beyond_grants.labels(worker)
        if any(outcome in _SILENT for _, _, outcome in steps):
            for silent, times in Tally(silent for each in worked for silent in _fallen_silent(each)).items():
                self._handed_out_anew.labels(*silent).inc(times)
        for worker, times in Tally(told.worker_name for each in worked for told in each.contradictions).items():
            self._contradictions.labels(worker).inc(times)
        for worker, times in Tally(told.worker_name for each in worked for told in each.beyond_grants).items():
            self._beyond_grants.labels(worker).inc(times)
        ended: dict[str, list[_Ended]] = {}
        for each in worked:
            if each.execution is None or not each.execution.is_final:
                continue
            for emitted in each.events:
                data = emitted.event.data
                if isinstance(data, WorkflowCompleted | WorkflowFailed | WorkflowCancelled):
                    ended.setdefault(self._name_of(each.execution), []).append(_ended(each.execution, data.totals))
        for name, ends in ended.items():
            self._count_ended(name, ends)

    def _name_of(self, execution: Execution) -> str:
        if len(self._named) < MOST_PIPELINES:
            self._named.add(execution.template)
        return execution.template if execution.template in self._named else OTHER_PIPELINES

    def _count_ended(self, name: str, ends: Sequence["_Ended"]) -> None:
        for status, times in Tally(end.status for end in ends).items():
            self._executions.labels(name, status).inc(times)
        duration, cost = self._duration.labels(name), self._cost.labels(name)
        for end in ends:
            duration.observe(end.seconds)
            # A histogram is for looking at, not for accounting: the ledger keeps the exact amount.
            cost.observe(float(end.cost_usd))


class _Ended(NamedTuple):
    """Of the leg that has ended: what an execution took before it was resumed was counted at the end before."""

    status: ExecutionStatus
    seconds: float
    cost_usd: Decimal


def _ended(execution: Execution, totals: Totals) -> _Ended:
    before_ms = 0 if execution.leg_began_at is None else execution.leg_began_at - execution.created_at
    return _Ended(
        status=execution.status,
        seconds=max(0, totals.wall_time_ms - before_ms) / 1000,
        cost_usd=usd(totals.cost_usd) - usd(execution.spent_before_leg),
    )


def _fallen_silent(worked: Worked) -> Iterator[tuple[str, str]]:
    """Worker and failure code of each attempt that fell silent and is followed by another one."""
    workers = {
        (attempt.record.stage_id, attempt.record.attempt): attempt.record.worker_name
        for attempt in worked.attempts
        if attempt.record.failure_code in _SILENT
    }
    for emitted in worked.events:
        data = emitted.event.data
        if isinstance(data, StepRetrying) and data.code in _SILENT:
            yield workers[data.step_name, data.attempt], data.code
