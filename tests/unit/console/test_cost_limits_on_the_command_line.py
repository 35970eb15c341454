"""Amounts as people type them."""

import pytest

from aif_console.cost_limits import cost_limit
from aif_console.failures import BadInput


@pytest.mark.parametrize(
    ("text", "amount"), [("0.50", "0.5"), (" $2 ", "2"), ("0.000000000001", "0.000000000001"), ("007.10", "7.1")]
)
def test_an_amount_is_sent_exactly(text: str, amount: str) -> None:
    assert cost_limit(text, "--max-cost") == amount


def test_no_amount_stays_none() -> None:
    assert cost_limit(None, "--max-cost") is None


@pytest.mark.parametrize(
    "text", ["", "$", "cheap", "-1", "+1", "0,50", ".5", "1e3", "NaN", "0.0000000000001", "1" * 13, "0.00"]
)
def test_what_is_no_amount_above_zero_is_told_with_its_mend(text: str) -> None:
    with pytest.raises(BadInput, match=r"--max-cost: .*\n  -> write US dollars such as 0.50, more than 0"):
        cost_limit(text, "--max-cost")
