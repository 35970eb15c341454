"""What an execution may spend. Each attempt reserves the most that it can cost before it begins: together they never pass it.

A reservation is given back when the attempt's report tells what was really spent. One of a worker that fell silent stays: its
calls may have been billed, and nobody can say. The same is so of what a report cannot tell, because an answer never came.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from msgspec import Struct

from aif_contracts.metering import Metrics
from aif_contracts.money import ZERO, UsdText, usd, usd_text
from aif_orchestrator.execution.metering import known_cost_of, metrics_of_call, sum_usd
from aif_orchestrator.execution.state import Execution, StageRun


class Allowance(Struct, frozen=True, kw_only=True):
    """Amounts in USD."""

    limit: Decimal
    spent: Decimal
    """By attempts that have reported."""
    reserved: Decimal
    """By attempts that have not, or never will, and for calls whose cost nobody knows."""

    @property
    def remaining(self) -> Decimal:
        return max(ZERO, self.limit - self.spent - self.reserved)


def allowance_of(execution: Execution, stages: Iterable[StageRun]) -> Allowance:
    spent = ZERO
    reserved = ZERO
    for run in stages:
        spent += known_cost_of(run.spent)
        for attempt, amount in run.reserved.items():
            told = sum_usd(metrics_of_call(call).cost_usd or "0" for call in run.unreported_calls if call.attempt == attempt)
            reserved += max(usd(amount), told)
    return Allowance(limit=usd(execution.max_cost_usd), spent=spent, reserved=reserved)


def still_reserved(reserved: Mapping[int, UsdText], attempt: int, metrics: Metrics) -> dict[int, UsdText]:
    """What stays reserved, by attempt, after this one has reported."""
    left = {number: amount for number, amount in reserved.items() if number != attempt}
    if metrics.cost_usd is None and attempt in reserved:
        unknown = usd(reserved[attempt]) - known_cost_of(metrics)
        if unknown > ZERO:
            left[attempt] = usd_text(unknown)
    return left
