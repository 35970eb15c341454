"""A worker's own Prometheus figures; those of provider calls by the OpenTelemetry conventions for generative AI."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from aif_contracts.metering import CallOutcome, ProviderCall
from aif_contracts.reports import Completed, Failed
from aif_runtime.attempt import Attempt
from aif_runtime.call_spans import error_of, operation_of

_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
# As the conventions advise.
_CALL_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864)
_ENDS = ("buried", "declined", "dropped", "put_off", "unconfirmed")
_MODEL_LABELS = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


class WorkerFigures:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._of_attempts: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}
        """By worker, action and outcome: as many as there are series."""
        self._attempts = Counter(
            "aif_attempts", "Attempts that ended with a report", ["worker", "action", "outcome"], registry=registry
        )
        self._seconds = Histogram(
            "aif_attempt_seconds", "Wall time of an attempt", ["worker", "action"], buckets=_SECONDS, registry=registry
        )
        self._packets = Counter(
            "aif_packets_set_aside", "Packets without an attempt's confirmed report, by their end", ["end"], registry=registry
        )
        for end in _ENDS:
            self._packets.labels(end)
        self._call_seconds = Histogram(
            "gen_ai_client_operation_duration_seconds",
            "Time from a provider call to the end of its answer",
            [*_MODEL_LABELS, "error_type"],
            buckets=_CALL_SECONDS,
            registry=registry,
        )
        self._call_tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of a provider call",
            [*_MODEL_LABELS, "gen_ai_token_type"],
            buckets=_TOKENS,
            registry=registry,
        )

    def call(self, call: ProviderCall) -> None:
        """A call that has ended; nobody was called for one that the response cache has answered."""
        if call.outcome is CallOutcome.CACHED:
            return
        labels = (operation_of(call), call.provider, call.model)
        self._call_seconds.labels(*labels, error_of(call) or "").observe(call.latency_ms / 1000)
        for kind, tokens in (("input", call.tokens.prompt_tokens), ("output", call.tokens.completion_tokens)):
            if tokens:
                self._call_tokens.labels(*labels, kind).observe(tokens)

    def attempt(self, attempt: Attempt, report: Completed | Failed) -> None:
        outcome = "completed" if isinstance(report, Completed) else report.code
        key = (attempt.worker_name, attempt.action, outcome)
        found = self._of_attempts.get(key)
        if found is None:
            found = self._of_attempts[key] = self._attempts.labels(*key), self._seconds.labels(*key[:2])
        ended, seconds = found
        ended.inc()
        exemplar = {"trace_id": attempt.trace.trace_id} if attempt.trace is not None and attempt.trace.sampled else None
        seconds.observe(attempt.elapsed_seconds(), exemplar)

    def packet(self, end: str) -> None:
        """One of `_ENDS`."""
        self._packets.labels(end).inc()
