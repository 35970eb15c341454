"""What all stages of an execution cost together, kept up while single ones change.

Each claim and each report asks for it. As for the tally: fifty stages side by side are not summed up anew for each of them.
"""

from collections.abc import Iterable
from decimal import Decimal

from aif_contracts.money import ZERO
from aif_orchestrator.execution.allowance import used
from aif_orchestrator.execution.metering import known_cost
from aif_orchestrator.execution.state import StageRun


class Bill:
    """In USD. `spent` and `reserved` are those of an allowance; `known` is what is known of all calls, also of those that are
    still part of a reservation."""

    __slots__ = ("known", "reserved", "spent")

    def __init__(self, runs: Iterable[StageRun]) -> None:
        self.spent = self.reserved = self.known = ZERO
        for run in runs:
            spent, reserved, known = _amounts(run)
            self.spent += spent
            self.reserved += reserved
            self.known += known

    def replace(self, was: StageRun, run: StageRun) -> None:
        if (
            run.spent is not was.spent
            or run.reserved is not was.reserved
            or run.unreported_calls is not was.unreported_calls
            or run.attempt != was.attempt
        ):
            spent, reserved, known = _amounts(run)
            spent_before, reserved_before, known_before = _amounts(was)
            self.spent += spent - spent_before
            self.reserved += reserved - reserved_before
            self.known += known - known_before


def _amounts(run: StageRun) -> tuple[Decimal, Decimal, Decimal]:
    if run.attempt == 0:
        return ZERO, ZERO, known_cost(run)
    spent, reserved = used(run)
    # They differ only by calls that no report tells of yet, of which `spent` leaves out those that are part of a reservation.
    return spent, reserved, known_cost(run) if run.unreported_calls else spent
