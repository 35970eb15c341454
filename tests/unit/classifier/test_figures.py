from decimal import Decimal
from typing import Any

import pytest

from aif_classifier.figures import FigureRow, performance_score, rolling_figures
from aif_contracts.performance import RollingFigures


def test_figures_carry_the_wilson_interval_and_money_as_text() -> None:
    row = _row(attempts=263, successes=81, failures_by_code={"timeout": 182})

    figures = rolling_figures(row)

    assert figures == RollingFigures(
        worker_name="content_granulator",
        action="granulate",
        model=None,
        attempts=263,
        successes=81,
        success_rate=81 / 263,
        success_rate_low=pytest.approx(0.2553, abs=5e-5),  # type: ignore[arg-type]
        success_rate_high=pytest.approx(0.3662, abs=5e-5),  # type: ignore[arg-type]
        time_ms_p50=1500,
        time_ms_p95=2000,
        queue_ms_p50=12,
        tokens_mean=100,
        cost_usd_mean="0.0000015",
        cost_usd_total="0.12",
        quality_mean=0.8,
        failures_by_code={"timeout": 182},
    )


def test_attempts_that_the_factory_ended_itself_do_not_lower_the_success_rate() -> None:
    figures = rolling_figures(_row(attempts=30, successes=10, failures_by_code={"cancelled": 15, "superseded": 5}))

    assert figures.attempts == 30
    assert figures.success_rate == 1.0


def test_attempts_that_were_all_cancelled_leave_the_success_rate_open() -> None:
    figures = rolling_figures(_row(attempts=3, successes=0, failures_by_code={"cancelled": 3}))

    assert (figures.success_rate, figures.success_rate_low, figures.success_rate_high) == (0.0, 0.0, 1.0)


def test_an_unknown_mean_cost_stays_unknown() -> None:
    assert rolling_figures(_row(cost_usd_mean=None)).cost_usd_mean is None


def test_the_score_is_the_sure_success_rate_times_the_mean_quality() -> None:
    rows = [
        _row(attempts=200, successes=60, quality_mean=0.9, quality_count=60, failures_by_code={"timeout": 140}),
        _row(attempts=63, successes=21, quality_mean=0.5, quality_count=20, failures_by_code={"timeout": 42}),
    ]

    # Wilson's lower end of 81 of 263 is 0.2553; quality (0.9 * 60 + 0.5 * 20) / 80 = 0.8
    assert performance_score(rows) == pytest.approx(0.2553 * 0.8, abs=5e-5)


def test_where_quality_was_never_measured_the_score_is_the_sure_success_rate() -> None:
    row = _row(attempts=263, successes=81, quality_mean=None, quality_count=0, failures_by_code={"timeout": 182})

    assert performance_score([row]) == pytest.approx(0.2553, abs=5e-5)


def test_without_attempts_there_is_no_score() -> None:
    assert performance_score([]) is None
    assert performance_score([_row(attempts=2, successes=0, failures_by_code={"cancelled": 2})]) is None


def _row(**changes: Any) -> FigureRow:
    ordinary: dict[str, Any] = {
        "worker_name": "content_granulator",
        "action": "granulate",
        "model": None,
        "attempts": 10,
        "successes": 10,
        "time_ms_p50": 1499.5,
        "time_ms_p95": 2000.0,
        "queue_ms_p50": 12.2,
        "tokens_mean": 100.4,
        "cost_usd_mean": Decimal("0.000001500000"),
        "cost_usd_total": Decimal("0.12"),
        "quality_mean": 0.8,
        "quality_count": 10,
        "failures_by_code": {},
    }
    return FigureRow(**(ordinary | changes))
