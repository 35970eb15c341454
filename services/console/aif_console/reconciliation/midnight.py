"""Calls that a provider counts on another day than the ledger, because they happened near midnight."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from aif_console.reconciliation.sides import LedgerCall
from aif_console.reconciliation.usage import NOTHING, Usage

NEAR = timedelta(hours=1)
MOST_SUMS = 20_000
"""Beyond so many different sums one that fits is chance, not proof."""


def calls_on_the_other_day(calls: Sequence[LedgerCall], wanted: Usage, day: date) -> list[LedgerCall]:
    """Those that use exactly what is wanted together, and happened near enough to `day`, the one before or after theirs.

    Empty when there are none, or too many to tell.
    """
    if not wanted.is_some:
        return []
    begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
    near = [call for call in calls if begins - NEAR <= call.at < begins + timedelta(days=1) + NEAR]
    sums: dict[Usage, list[LedgerCall]] = {NOTHING: []}
    for call in sorted(near, key=lambda each: _distance(each, begins)):
        for used, chosen in list(sums.items()):
            together = used + call.usage
            if (wanted - together).is_some or together == wanted:
                sums.setdefault(together, [*chosen, call])
        if wanted in sums:
            return sums[wanted]
        if len(sums) > MOST_SUMS:
            return []
    return []


def _distance(call: LedgerCall, begins: datetime) -> timedelta:
    """To the nearer end of the day."""
    return min(abs(call.at - begins), abs(call.at - begins - timedelta(days=1)))
