"""What an account has reached, and what of it is still to be said."""

from decimal import Decimal
from typing import Any

import pytest

from aif_contracts.budgets import AlertKind
from aif_orchestrator.alerts.thresholds import Account, crossings, dear_week


def account(**given: Any) -> Account:
    amounts = {"limit_usd": "100", "spent_usd": "0", **given}
    return Account(
        client_id="acme",
        window="2026-11",
        limit_usd=Decimal(amounts["limit_usd"]),
        spent_usd=Decimal(amounts["spent_usd"]),
        energy_limit=given.get("energy_limit"),
        energy_spent=given.get("energy_spent", 0),
        elapsed_share=None if "elapsed" not in given else Decimal(given["elapsed"]),
        raised=given.get("raised", ()),
    )


def reached(looked_at: Account) -> list[tuple[AlertKind, int]]:
    return [(each.kind, each.threshold_percent) for each in crossings(looked_at)]


@pytest.mark.parametrize(
    ("spent", "thresholds"),
    [
        ("0", []),
        ("49.999999999999", []),
        ("50", [50]),
        ("79.99", [50]),
        ("80", [80]),
        ("100", [100]),
        ("250", [100]),
    ],
)
def test_each_threshold_of_money_is_reached_exactly_and_says_the_lower_ones(spent: str, thresholds: list[int]) -> None:
    assert reached(account(spent_usd=spent)) == [(AlertKind.SPENT, each) for each in thresholds]


def test_what_was_said_is_not_said_again() -> None:
    looked_at = account(spent_usd="81", raised=((AlertKind.SPENT, 50, Decimal("100.00")),))

    assert reached(looked_at) == [(AlertKind.SPENT, 80)]


def test_a_threshold_below_one_that_was_said_is_not_said_afterwards() -> None:
    said = ((AlertKind.SPENT, 80, Decimal("100.00")), (AlertKind.ENERGY, 100, Decimal(10)))
    looked_at = account(spent_usd="79", energy_limit=10, energy_spent=10, raised=said)

    assert reached(looked_at) == []


def test_the_thresholds_of_money_say_nothing_of_those_of_energy() -> None:
    looked_at = account(spent_usd="50", energy_limit=100, energy_spent=50, raised=((AlertKind.SPENT, 50, Decimal(100)),))

    assert reached(looked_at) == [(AlertKind.ENERGY, 50)]


def test_what_was_said_of_another_limit_is_said_of_this_one() -> None:
    looked_at = account(spent_usd="81", raised=((AlertKind.SPENT, 50, Decimal(20)), (AlertKind.SPENT, 80, Decimal(20))))

    assert reached(looked_at) == [(AlertKind.SPENT, 80)]


def test_a_limit_of_nothing_is_reached_by_the_first_cent_only() -> None:
    assert reached(account(limit_usd="0")) == []
    assert reached(account(limit_usd="0", spent_usd="0.01")) == [(AlertKind.SPENT, 100)]


def test_a_pace_that_passes_the_limit_is_forecast() -> None:
    (alert,) = crossings(account(spent_usd="40", elapsed="0.25"))

    assert (alert.kind, alert.threshold_percent) == (AlertKind.FORECAST, 100)
    assert alert.message == (
        "at the pace of 2026-11 so far, 160.00 USD will be spent by its end, above the limit of 100.00 USD"
    )
    assert alert.alert_id == "alert_acme_2026-11_forecast_100_of_100"


def test_a_pace_that_lasts_is_not_forecast() -> None:
    assert reached(account(spent_usd="25", elapsed="0.25")) == []


def test_nothing_is_forecast_in_the_first_day_of_a_month() -> None:
    assert reached(account(spent_usd="40")) == []


def test_nothing_is_forecast_once_the_limit_is_reached() -> None:
    assert reached(account(spent_usd="100", elapsed="0.5")) == [(AlertKind.SPENT, 100)]


def test_energy_has_the_same_thresholds() -> None:
    assert reached(account(energy_limit=10, energy_spent=4)) == []
    assert reached(account(energy_limit=10, energy_spent=8)) == [(AlertKind.ENERGY, 80)]


def test_energy_without_a_limit_is_never_used_up() -> None:
    assert reached(account(energy_limit=None, energy_spent=1_000_000)) == []


def test_a_dear_week_names_the_week_and_the_mark() -> None:
    alert = dear_week("acme", "2026-W47", Decimal("61.5"), Decimal(50))

    assert alert.alert_id == "alert_acme_2026-W47_weekly_100_of_50"
    assert alert.message == "61.50 USD were spent on AI in week 2026-W47, above the mark of 50.00 USD"
