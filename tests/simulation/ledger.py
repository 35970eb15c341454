"""The database's books: provider calls by key, and the client's account of each month, with what the tables refuse."""

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from aif_contracts.budgets import BUDGET_EXCEEDED, BUDGET_RESERVED
from aif_contracts.metering import CallOutcome, ProviderCall
from aif_contracts.money import ZERO
from aif_orchestrator.execution.commands import MoveAccount, SettleCall


class ConstraintBroken(Exception):
    """The transaction is refused as a whole, now and whenever it is tried again."""


class Window(Struct, frozen=True, kw_only=True):
    """One month of the client; amounts in USD."""

    spent: Decimal = ZERO
    reserved: Decimal = ZERO
    excess: Decimal = ZERO
    """How far it may lie above the limit without anybody having been admitted beyond it."""


class Ledger:
    def __init__(self, *, limit_usd: Decimal, checks_budgets: bool) -> None:
        self.calls: dict[str, ProviderCall] = {}
        self.windows: dict[str, Window] = {}
        self.entries: list[MoveAccount] = []
        self.exceeded_by: set[str] = set()
        """Executions whose settlement brought an account above its limit."""
        self._limit = limit_usd
        self._checks_budgets = checks_budgets

    def keep(self, calls: Sequence[ProviderCall]) -> None:
        """Its end replaces its announcement, but for what was decided meanwhile; nothing replaces an end."""
        for call in calls:
            known = self.calls.get(call.call_key)
            if known is None:
                self.calls[call.call_key] = call
            elif known.outcome is CallOutcome.STARTED and call.outcome is not CallOutcome.STARTED:
                is_unknown = call.cost_usd is None
                self.calls[call.call_key] = replace(call, cost_usd=known.cost_usd, basis=known.basis) if is_unknown else call

    def settle(self, settlements: Sequence[SettleCall]) -> None:
        for each in settlements:
            if each.call_key in self.calls:
                call = self.calls[each.call_key]
                self.calls[each.call_key] = replace(call, cost_usd=each.cost_usd, basis=each.basis)

    def enter(self, moves: Sequence[MoveAccount]) -> dict[str, str]:
        """Settlements first, then who asks to be admitted. When anybody is refused nothing is entered; codes by execution."""
        if not moves:
            return {}
        windows = dict(self.windows)
        exceeded_by: set[str] = set()
        refused: dict[str, str] = {}
        for move in sorted(moves, key=lambda each: (each.is_admission, each.client_id, each.window, each.execution_id)):
            window = windows.get(move.window, Window())
            spent = window.spent + move.spent_usd
            reserved = window.reserved + move.reserved_usd
            code = self._refusal(spent, reserved, move, window) if move.is_admission else None
            if code is not None:
                refused[move.execution_id] = code
                continue
            beyond = spent + reserved - self._limit
            is_more = move.spent_usd + move.reserved_usd > ZERO
            may_exceed = beyond if is_more and not move.is_admission else window.excess
            windows[move.window] = Window(spent=spent, reserved=reserved, excess=max(ZERO, min(may_exceed, beyond)))
            if is_more and beyond > window.excess and not move.is_admission:
                exceeded_by.add(move.execution_id)
            if beyond > windows[move.window].excess:
                raise ConstraintBroken(f"{move.execution_id} brings {move.window} to {spent} + {reserved} of {self._limit} USD")
        if not refused:
            self.windows = windows
            self.exceeded_by |= exceeded_by
            self.entries += moves
        return refused

    def _refusal(self, spent: Decimal, reserved: Decimal, move: MoveAccount, window: Window) -> str | None:
        if not self._checks_budgets:
            return None
        if window.spent + move.spent_usd + move.reserved_usd > self._limit:
            return BUDGET_EXCEEDED
        if spent + reserved > self._limit:
            return BUDGET_RESERVED
        return None
