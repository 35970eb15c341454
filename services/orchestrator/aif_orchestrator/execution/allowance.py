"""What an execution may spend. Each attempt reserves the most that it can cost before it begins: together they never pass it.

A reservation is given back when the attempt's report tells what was really spent. One of a worker that fell silent stays until
that worker can no longer be at it; then only the calls count that were announced. A call that nobody answered stays reserved at
the most that it can have cost, until somebody decides what it did.
"""

from collections.abc import Iterable
from decimal import Decimal

from msgspec import Struct

from aif_contracts.money import ZERO, usd
from aif_orchestrator.execution.spent import known_cost_of, sum_usd
from aif_orchestrator.execution.state import Execution, StageRun


class Allowance(Struct, frozen=True, kw_only=True):
    """Amounts in USD."""

    limit: Decimal
    spent: Decimal
    """Charged for good."""
    reserved: Decimal
    """By attempts that have not reported, and for calls whose cost nobody knows."""

    @property
    def remaining(self) -> Decimal:
        return max(ZERO, self.limit - self.spent - self.reserved)


def allowance_of(execution: Execution, stages: Iterable[StageRun]) -> Allowance:
    spent = ZERO
    reserved = ZERO
    for run in stages:
        if run.attempt:
            spent_here, reserved_here = used(run)
            spent += spent_here
            reserved += reserved_here
    return Allowance(limit=usd(execution.max_cost_usd), spent=spent, reserved=reserved)


def stage_allowance(run: StageRun, limit: Decimal) -> Allowance:
    """Of one stage, all its attempts together."""
    spent, reserved = used(run)
    return Allowance(limit=limit, spent=spent, reserved=reserved)


def used(run: StageRun) -> tuple[Decimal, Decimal]:
    """What the stage has spent and reserved, in USD."""
    spent = known_cost_of(run.spent)
    reserved = sum_usd(run.spent.unanswered.values())
    charged: dict[int, Decimal] = {}
    for call in run.unreported_calls:
        if call.attempt in run.reserved:
            # What is not answered is part of the reservation: the end of the call before may come later than its announcement.
            charged[call.attempt] = charged.get(call.attempt, ZERO) + usd(call.cost_usd or "0")
        elif call.cost_usd is not None:
            spent += usd(call.cost_usd)
        else:
            reserved += usd(call.upper_bound_usd or "0")
    for attempt, reservation in run.reserved.items():
        reserved += max(usd(reservation.amount), charged.get(attempt, ZERO))
    return spent, reserved
