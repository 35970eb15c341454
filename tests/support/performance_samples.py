"""Attempts for tests of the classifier: as samples of the analysis and as records on the wire."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from aif_classifier.samples import Sample, Slice
from aif_contracts.metering import Metrics, Tokens
from aif_contracts.performance import PerformanceRecord

BEGINNING = datetime(2026, 5, 1, tzinfo=UTC)
GRANULATION = Slice(worker_name="content_granulator", action="granulate", template="course")


def sample(**changes: Any) -> Sample:
    """A success of a second that cost a cent."""
    ordinary = Sample(
        timestamp=BEGINNING,
        success=True,
        execution_time_ms=1000,
        model="gpt-large",
        input_complexity="medium",
        cost_usd=Decimal("0.01"),
        quality_score=0.9,
        timeout_ms=10_000,
        failure_code=None,
    )
    return replace(ordinary, **changes)


def failure(code: str, **changes: Any) -> Sample:
    return sample(success=False, failure_code=code, quality_score=None, **changes)


def one_a_minute(samples: Iterable[Sample]) -> list[Sample]:
    """The same samples in this order of time."""
    return [replace(s, timestamp=BEGINNING + timedelta(minutes=minute)) for minute, s in enumerate(samples)]


def record(number: int, **changes: Any) -> PerformanceRecord:
    """The first attempt of execution `number`: a success just now."""
    ordinary = PerformanceRecord(
        execution_id=f"exec_{number}",
        stage_id="granulate",
        attempt=1,
        client_id="acme",
        worker_name="content_granulator",
        action="granulate",
        template="course",
        template_version="1",
        success=True,
        execution_time_ms=1000,
        queue_time_ms=20,
        metrics=Metrics(
            tokens_used=Tokens(prompt_tokens=80, completion_tokens=20, total_tokens=100),
            provider="openai",
            model="gpt-large",
            cost_usd="0.01",
        ),
        timestamp=datetime.now(UTC).isoformat(),
        quality_score=0.9,
        element_count=12,
        input_size_bytes=5000,
        output_size_bytes=700,
        timeout_ms=10_000,
    )
    return replace(ordinary, **changes)
