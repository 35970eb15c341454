"""What must be so of the money at the end of every history: all that providers billed is charged, or known to be in doubt."""

from decimal import Decimal

from aif_contracts.budgets import BUDGET_EXCEEDED
from aif_contracts.events import CostIncurred
from aif_contracts.metering import Basis
from aif_contracts.money import ZERO, usd
from aif_orchestrator.execution.metering import execution_totals
from aif_orchestrator.execution.state import Execution
from simulation.broker import Broker, Queue
from simulation.record import Record, is_final_event
from simulation.truth import Fate, Truth
from simulation.weather import Weather

USABLE = Decimal("0.9")
"""Of a budget can be used by a client who orders enough; a tenth is the most that one of its orders reserves."""


def audit(*, record: Record, broker: Broker, truth: Truth, weather: Weather) -> None:
    """Tell the truth of every rule that is broken."""
    fates = truth.fates()
    _tells_of_every_call(broker, truth, fates)
    _keeps_every_call(record, truth, fates)
    _accounts_add_up(record, truth)
    for row in record.rows.values():
        _is_charged_exactly(row.execution, record, truth, fates)
        _tells_what_it_costs(row.execution, record, truth)
    if weather.spends_it_all:
        _is_usable(record, truth, usd(weather.budget_usd))


def _tells_of_every_call(broker: Broker, truth: Truth, fates: dict[str, Fate]) -> None:
    """Only what was lost with the broker's store may be unknown. What has no answer counts with a bound, or is decided."""
    lost = {message.payload.booked.call.call_key for message in broker.lost if message.queue is Queue.USAGE}
    if unexplained := sorted(set(truth.untold_calls()) - lost):
        truth.violated("told", f"nobody was told of {unexplained}, although the broker had it")
    for key, cost in truth.bill.items():
        fate = fates.get(key)
        if fate is None:
            continue
        decision = truth.decisions.get(key)
        if fate.cost is None:
            if fate.bound < cost:
                truth.violated("in doubt", f"{key} cost {cost} and counts with {fate.bound} at most")
        elif fate.cost < cost or (fate.cost != cost and (decision is None or decision.basis is not Basis.ESTIMATE)):
            truth.violated("charged", f"{key} cost {cost} and is charged with {fate.cost}")
    for key, fate in fates.items():
        if key not in truth.bill and fate.cost and truth.decisions[key].basis is Basis.STATEMENT:
            truth.violated("charged", f"{key} was never billed, and is charged with {fate.cost}")


def _keeps_every_call(record: Record, truth: Truth, fates: dict[str, Fate]) -> None:
    if unknown := sorted(truth.told_calls.keys() ^ record.calls.keys()):
        truth.violated("calls", f"kept and told calls differ by {unknown}")
    for key, told in truth.told_calls.items():
        kept = record.calls.get(key)
        if kept is None:
            continue
        if kept.outcome is not told.outcome:
            truth.violated("calls", f"{key} is kept as {kept.outcome} and ended as {told.outcome}")
        cost = None if kept.cost_usd is None else usd(kept.cost_usd)
        # A report may know the end of a call whose own message was lost; the row then says what was decided, or nothing.
        if cost != fates[key].cost and not (told.cost_usd is None and fates[key].is_answered):
            truth.violated("calls", f"{key} is kept with {cost} and is charged with {fates[key].cost}")


def _is_charged_exactly(execution: Execution, record: Record, truth: Truth, fates: dict[str, Fate]) -> None:
    """Its totals, its account and the sums of its moves say what was told of its calls."""
    execution_id = execution.execution_id
    own = [fate for key, fate in fates.items() if key.startswith(f"{execution_id}.")]
    owed = sum((fate.cost for fate in own if fate.cost is not None), ZERO)
    in_doubt = sum((fate.bound for fate in own if fate.cost is None), ZERO)
    is_complete = all(fate.cost is not None for fate in own)
    totals = execution_totals(execution, execution.deadline_at)

    def must(holds: bool, story: str) -> None:
        if not holds:
            truth.violated("money", f"{execution_id}: {story}")

    must(usd(totals.cost_usd) == owed, f"charged {totals.cost_usd}, owed {owed}")
    must(usd(totals.in_doubt_usd) == in_doubt, f"{totals.in_doubt_usd} is said to be in doubt, {in_doubt} is")
    must(totals.cost_is_complete == is_complete, "complete and incomplete totals are mixed up")
    account = execution.account
    must(usd(account.spent) == owed, f"its account says that {account.spent} is spent, {owed} is")
    must(usd(account.held) == in_doubt, f"its account holds {account.held} for ever, {in_doubt} is in doubt")
    moves = [move for move in record.ledger.entries if move.execution_id == execution_id]
    spent, held = sum((move.spent_usd for move in moves), ZERO), sum((move.reserved_usd for move in moves), ZERO)
    must((spent, held) == (usd(account.spent), usd(account.held)), f"its moves make {spent} + {held}, its account differs")


def _tells_what_it_costs(execution: Execution, record: Record, truth: Truth) -> None:
    """On the first leg; what is charged between two legs is told by none."""
    total = ZERO
    for event in record.events.get(execution.execution_id, ()):
        data = event.data
        if isinstance(data, CostIncurred):
            total += usd(data.cost_usd or "0")
            if total != usd(data.total_cost_usd):
                truth.violated("costs are told", f"{event.id} tells of {data.total_cost_usd}, all that was told is {total}")
        elif is_final_event(event):
            return


def _accounts_add_up(record: Record, truth: Truth) -> None:
    ledger = record.ledger
    for name, window in ledger.windows.items():
        moves = [move for move in ledger.entries if move.window == name]
        spent, reserved = sum((move.spent_usd for move in moves), ZERO), sum((move.reserved_usd for move in moves), ZERO)
        if (spent, reserved) != (window.spent, window.reserved):
            truth.violated("accounts", f"{name} has {window.spent} + {window.reserved}, its moves make {spent} + {reserved}")
    for execution_id in sorted(ledger.exceeded_by):
        if not truth.late_calls(execution_id):
            truth.violated("accounts", f"{execution_id} took more than it had reserved")


def _is_usable(record: Record, truth: Truth, budget: Decimal) -> None:
    """Who was told that the budget is used up had nearly all of it, but for what later turned out to have cost less."""
    if not truth.refused[BUDGET_EXCEEDED] or len(record.ledger.windows) > 1:
        return
    truth.seen["spent it all"] += 1
    used = sum((window.spent + window.reserved for window in record.ledger.windows.values()), ZERO)
    corrected = [record.calls[key] for key, decision in truth.decisions.items() if decision.basis is Basis.STATEMENT]
    used += sum((usd(call.upper_bound_usd or "0") - usd(call.cost_usd or "0") for call in corrected), ZERO)
    if used < budget * USABLE:
        truth.violated("usable", f"an order was refused, and {used} of {budget} USD are used")
