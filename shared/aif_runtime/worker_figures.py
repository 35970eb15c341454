"""A worker's own Prometheus figures."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from aif_contracts.reports import Completed, Failed
from aif_runtime.attempt import Attempt

_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)


class WorkerFigures:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "aif_attempts", "Attempts that ended with a report", ["worker", "action", "outcome"], registry=registry
        )
        self._seconds = Histogram(
            "aif_attempt_seconds", "Wall time of an attempt", ["worker", "action"], buckets=_SECONDS, registry=registry
        )
        self._packets = Counter(
            "aif_packets_set_aside", "Packets without an attempt's confirmed report, by their end", ["end"], registry=registry
        )

    def attempt(self, attempt: Attempt, report: Completed | Failed) -> None:
        outcome = "completed" if isinstance(report, Completed) else report.code
        self._attempts.labels(attempt.worker_name, attempt.action, outcome).inc()
        exemplar = {"trace_id": attempt.trace.trace_id} if attempt.trace is not None and attempt.trace.sampled else None
        self._seconds.labels(attempt.worker_name, attempt.action).observe(attempt.elapsed_seconds(), exemplar)

    def packet(self, end: str) -> None:
        """`buried`, `declined`, `dropped`, `put_off` or `unconfirmed`."""
        self._packets.labels(end).inc()
