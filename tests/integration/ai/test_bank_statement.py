"""Ledger less bill is nothing, call by call, whatever goes wrong on the way; and where something is missing, it is seen."""

from decimal import Decimal

import pytest

from aif_contracts.metering import CallOutcome, ProviderCall, Purpose
from support.bank_statement import Trade, total_usd, trade
from support.ledger_book import differences, is_settled
from support.provider_double.faults import FaultKind

CALLS = 500


async def test_every_answered_call_is_booked_as_it_is_billed_and_every_other_is_listed_within_its_bound() -> None:
    traded = await trade(calls=CALLS, seed=1)

    assert len(traded.ledger.rows) >= CALLS
    assert (traded.unnamed, traded.billed_twice) == (0, 0)
    assert set(traded.bill) <= set(traded.ledger.rows)
    assert _differing(traded) == {key for key in traded.lied_about if is_settled(traded.ledger.rows[key])}
    for row in traded.unsettled():
        assert row.upper_bound_usd is not None, row
        assert Decimal(row.upper_bound_usd) >= (traded.bill[row.call_key].cost_usd if row.call_key in traded.bill else 0), row


async def test_the_statement_settles_all_that_was_left_open_to_exactly_the_bill() -> None:
    traded = await trade(calls=CALLS, seed=2)
    open_before = len(traded.unsettled())

    for row in traded.unsettled():
        traded.ledger.settle(row.call_key, traded.bill.get(row.call_key))
    for key in _differing(traded):
        traded.ledger.settle(key, traded.bill[key])

    booked, billed = total_usd(traded)
    assert open_before > CALLS // 50
    assert booked == billed > 0
    assert differences(traded.ledger, traded.bill) == []


async def test_a_run_meets_every_fault_and_every_way_of_ending() -> None:
    traded = await trade(calls=CALLS * 2, seed=3)

    rare = {FaultKind.HELD_UNTIL_RELEASED, FaultKind.GZIP_BOMB, FaultKind.HUGE_BODY, FaultKind.HUGE_ERROR}
    assert set(traded.faults) >= {str(kind) for kind in FaultKind if kind not in rare}
    assert {row.outcome for row in traded.ledger.rows.values()} >= {
        CallOutcome.STARTED,
        CallOutcome.ANSWERED,
        CallOutcome.FAILED,
        CallOutcome.TRUNCATED,
        CallOutcome.REJECTED,
        CallOutcome.IN_DOUBT,
    }
    assert {row.purpose for row in traded.ledger.rows.values()} == set(Purpose)
    assert {row.provider for row in traded.ledger.rows.values()} == {"openai", "anthropic", "deepgram"}
    assert traded.ends["answered"] > traded.ends.total() // 2
    assert traded.ends["cancelled"] > 0


@pytest.mark.parametrize("purpose", [Purpose.CORRECTION, Purpose.CONTINUATION, Purpose.RETRY])
async def test_a_ledger_that_leaves_out_some_calls_is_found_out(purpose: Purpose) -> None:
    def forgets(call: ProviderCall) -> bool:
        return call.purpose is not purpose

    traded = await trade(calls=CALLS, seed=4, reaches=forgets, liars=False)

    forgotten = [row for row in traded.ledger.rows.values() if row.purpose is purpose]
    billed = {row.call_key for row in forgotten if row.call_key in traded.bill}
    assert billed
    assert billed <= {row.call_key for row in traded.unsettled()}
    assert _differing(traded) == set()


def _differing(traded: Trade) -> set[str]:
    return {difference.call_key for difference in differences(traded.ledger, traded.bill)}
