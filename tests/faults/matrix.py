"""The trials by their number in the fault matrix, played one after the other, and the table of what came of them."""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping

from msgspec import Struct

from faults import broken_messages, broken_processes, scarce_money, troubled_orders, whole_factory
from faults.invariants import CHECKED
from faults.trial import Outcome, TrialPlan

Play = Callable[[TrialPlan], Awaitable[Outcome]]

MATRIX: Mapping[str, Play] = {
    "F01": broken_processes.everything_killed_at_random,
    "F02": broken_processes.broker_killed_under_publishers,
    "F03": broken_processes.broker_store_deleted,
    "F05": broken_processes.postgres_killed,
    "F06": broken_processes.worker_frozen,
    "F07": broken_processes.broker_frozen,
    "F10": broken_messages.everything_said_twice,
    "F14": broken_messages.broken_among_good,
    "F15": broken_messages.packets_that_kill,
    "F17": broken_processes.everything_drained_in_turn,
    "F18": scarce_money.budget_for_a_part,
    "F19": troubled_orders.cancelled_at_random,
    "F20": troubled_orders.posted_many_times,
    "F21": broken_processes.orchestrators_more_and_fewer,
    "F26": broken_processes.deeds_reported_as_failed,
    "F28": whole_factory.mixed_orders_while_everything_is_harmed,
}
SHOWN_OF_EACH = 5


class Played(Struct, frozen=True, kw_only=True):
    name: str
    seed: int
    outcome: Outcome
    seconds: float

    @property
    def is_clean(self) -> bool:
        return not self.outcome.violations


async def play(name: str, plan: TrialPlan) -> Played:
    began = time.monotonic()
    outcome = await MATRIX[name](plan)
    return Played(name=name, seed=plan.seed, outcome=outcome, seconds=time.monotonic() - began)


HEAD = (
    f"{'id':<4} {'seed':>10} {'exec':>5} {'faults':>6} {'done':>5} "
    + " ".join(f"{invariant:>3}" for invariant in CHECKED)
    + f" {'pass':>4} {'lost':>5} {'again':>5} {'doubt':>5} {'unbk':>4} {'recovery':>8} {'stall':>6} {'seconds':>7}"
)

LEGEND = """
I1 to I8   violations of each invariant (F28 looks at all but I4); pass: figures of the trial's own that were missed
lost       attempts whose worker fell silent; again: paid calls beyond the first one for a stage (not F28)
doubt      calls on the provider's bill whose end nobody told: in the ledger at their bound
unbk       calls on the provider's bill alone, because their messages were destroyed
recovery   the longest time from a fault until an order that was accepted after it had completed
stall      the longest time without an execution ending while orders came in"""


def row(played: Played) -> str:
    outcome = played.outcome
    counts = " ".join(f"{len(outcome.violations.get(invariant, ())):>3}" for invariant in CHECKED)
    return (
        f"{played.name:<4} {played.seed:>10} {outcome.executions:>5} {outcome.faults:>6} {outcome.completed:>5} {counts} "
        f"{len(outcome.violations.get('pass', ())):>4} {outcome.lost_attempts:>5} {outcome.repeated_calls:>5} "
        f"{outcome.calls_in_doubt:>5} {outcome.unbooked_calls:>4} "
        f"{outcome.worst_recovery_seconds:>7.1f}s {outcome.stall_seconds:>5.1f}s "
        f"{played.seconds:>6.1f}s"
    )


def details(played: Played) -> Iterator[str]:
    """Remarks, and the first violations of each kind."""
    for remark in played.outcome.remarks:
        yield f"     {remark}"
    for invariant, words in played.outcome.violations.items():
        for each in words[:SHOWN_OF_EACH]:
            yield f"     {invariant}: {each}"
        if len(words) > SHOWN_OF_EACH:
            yield f"     {invariant}: and {len(words) - SHOWN_OF_EACH} more"
