"""Prometheus figures, counted from what was committed."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram

from aif_contracts.budgets import BUDGET_EXCEEDED, BUDGET_RESERVED, ENERGY_EXCEEDED
from aif_contracts.events import Totals, WorkflowCancelled, WorkflowCompleted, WorkflowFailed
from aif_orchestrator.engine.batch import Worked, attempts_of
from aif_orchestrator.execution.state import Execution

_DURATION_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600)
_COST_BUCKETS = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 50)


class Figures:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._executions = Counter(
            "ai_pipeline_executions", "Executions that have ended", ["pipeline", "status"], registry=registry
        )
        self._duration = Histogram(
            "ai_pipeline_duration_seconds",
            "Wall time of executions",
            ["pipeline"],
            buckets=_DURATION_BUCKETS,
            registry=registry,
        )
        self._cost = Histogram(
            "ai_pipeline_cost_usd", "Known cost of executions", ["pipeline"], buckets=_COST_BUCKETS, registry=registry
        )
        self._steps = Counter(
            "ai_step_executions", "Attempts that have ended", ["worker", "action", "status"], registry=registry
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

    def count_denied(self, code: str) -> None:
        """A client's budget or energy did not allow an execution to begin or to be resumed."""
        self._exceeded.labels(code).inc()

    def count(self, worked: Sequence[Worked]) -> None:
        self._batches.observe(len(worked))
        for attempt in attempts_of(worked):
            record = attempt.record
            self._steps.labels(record.worker_name, record.action, record.failure_code or "success").inc()
        for each in worked:
            if each.execution is None or not each.execution.is_final:
                continue
            for emitted in each.events:
                data = emitted.event.data
                if isinstance(data, WorkflowCompleted | WorkflowFailed | WorkflowCancelled):
                    self._count_ended(each.execution, data.totals)

    def _count_ended(self, execution: Execution, totals: Totals) -> None:
        self._executions.labels(execution.template, execution.status).inc()
        self._duration.labels(execution.template).observe(totals.wall_time_ms / 1000)
        # A histogram is for looking at, not for accounting: the ledger keeps the exact amount.
        self._cost.labels(execution.template).observe(float(totals.cost_usd))
