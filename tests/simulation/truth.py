"""What really happened, kept beside the factory and never read by it: the providers' bill, and who was told what."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct

from aif_contracts.metering import Basis, CallOutcome, ProviderCall
from aif_contracts.money import ZERO, usd
from aif_contracts.reports import Report
from aif_orchestrator.execution.happenings import CallSettled
from simulation.timeline import Timeline

AttemptKey = tuple[str, str, int]
"""Execution, stage, number."""


class Violation(Struct, frozen=True, kw_only=True):
    rule: str
    story: str


class Fate(Struct, frozen=True, kw_only=True):
    """What the factory was told of a call, and so has to say of it."""

    cost: Decimal | None
    """In USD; None while it is in doubt."""
    bound: Decimal
    """In USD."""
    is_answered: bool


class Truth:
    def __init__(self, timeline: Timeline, *, budget_usd: Decimal, last_word_ms: int) -> None:
        self.violations: list[Violation] = []
        self.announced: dict[str, int] = {}
        """When each call was first announced to the broker, by its key."""
        self.bill: dict[str, Decimal] = {}
        """What providers have billed, by the key of the call, in USD."""
        self.told_calls: dict[str, ProviderCall] = {}
        """What calls' own messages told the orchestrator: their end, or their beginning when nobody told more."""
        self.told_at: dict[str, int] = {}
        """When the orchestrator first heard of each call, by its own message."""
        self.reported_calls: dict[AttemptKey, Sequence[ProviderCall]] = {}
        """Calls of the reports that the orchestrator took."""
        self.decisions: dict[str, CallSettled] = {}
        """The newest about each call that was in doubt then."""
        self.holders: dict[AttemptKey, set[str]] = {}
        """Worker instances that were granted an attempt by a claim."""
        self.signs: dict[AttemptKey, tuple[int, int]] = {}
        """When an attempt first and last showed itself, as the orchestrator stored it."""
        self.accepted: list[str] = []
        self.limits: dict[str, Decimal] = {}
        """What each order may cost, in USD, where it says so."""
        self.envelopes: dict[str, Decimal] = {}
        """What each execution has reserved, in USD."""
        self.windows: dict[str, str] = {}
        """The month that each execution is charged to."""
        self.refused: Counter[str] = Counter()
        """Orders by the code of why they were refused; one that is asked for again counts again."""
        self.made: dict[str, dict[str, Any]] = {}
        """Every result that was ever reported, as rules see it, by its storage key."""
        self.said: dict[AttemptKey, set[type[Report]]] = {}
        """How the workers that had an attempt said that it ended, whoever heard of it; more than one may have had it."""
        self.packets: dict[AttemptKey, str] = {}
        """The packet for which each attempt was granted."""
        self.offered_at: dict[str, int] = {}
        """By packet id, when it was offered to a worker."""
        self.found_packets: set[str] = set()
        """Ids of the packets that were ever stored at the broker, whose report was, or that were declined by a worker."""
        self.waiting: set[AttemptKey] = set()
        """Attempts that wait to be alone: their time has not begun."""
        self.seen: Counter[str] = Counter()
        """How often what happens only now and then did."""
        self._timeline = timeline
        self._budget_usd = budget_usd
        self._last_word_ms = last_word_ms
        self._billed: dict[str, Decimal] = {}
        self._billed_to: dict[str, dict[AttemptKey, Decimal]] = {}
        self._calls: dict[str, list[str]] = {}
        """Keys of the billed calls of each execution."""
        self._billed_in: dict[str, Decimal] = {}

    def violated(self, rule: str, story: str) -> None:
        self.violations.append(Violation(rule=rule, story=story))

    def showed_itself(self, attempt: AttemptKey, now: int) -> None:
        first, _ = self.signs.get(attempt, (now, now))
        self.signs[attempt] = (first, now)

    def was_lost(self, attempt: AttemptKey, now: int, *, lease_ms: int, longest_ms: int) -> None:
        """An attempt may be given away when it has been silent for its lease, or has had its time."""
        if attempt not in self.signs:
            return
        first, last = self.signs[attempt]
        if now - last < lease_ms and now - first < longest_ms:
            self.violated("live attempts are kept", f"{attempt} was given away {now - last} ms after a sign of life")

    def was_granted(self, attempt: AttemptKey, packet_id: str, instance_id: str) -> None:
        self.packets[attempt] = packet_id
        holders = self.holders.setdefault(attempt, set())
        holders.add(instance_id)
        if len(holders) > 1:
            self.violated("one holder", f"{attempt} is granted to {sorted(holders)}")

    def was_announced(self, call: ProviderCall) -> None:
        self.announced.setdefault(call.call_key, self._timeline.now)

    def was_billed(self, call: ProviderCall, cost: Decimal, instance_id: str, allowed_usd: str) -> None:
        """`cost` in USD is the provider's, who may not have said so."""
        execution_id = call.execution_id
        attempt = (execution_id, call.stage_id, call.attempt)
        if instance_id not in self.holders.get(attempt, ()) or usd(allowed_usd) == ZERO:
            self.violated("paid by grant", f"{call.call_key} was paid for by {instance_id}, which has no grant for it")
        if call.call_key in self.bill:
            self.violated("one call per key", f"{call.call_key} names two calls")
        self.bill[call.call_key] = cost
        self._calls.setdefault(execution_id, []).append(call.call_key)
        billed_to = self._billed_to.setdefault(execution_id, {})
        billed_to[attempt] = billed_to.get(attempt, ZERO) + cost
        total = self._billed[execution_id] = self._billed.get(execution_id, ZERO) + cost
        envelope = self.envelopes.get(execution_id, ZERO)
        limit = min(envelope, self.limits.get(execution_id, envelope))
        if total > limit and self._is_excused(execution_id, total - limit):
            self.seen["late words"] += 1
        elif total > limit:
            self.violated("envelope", f"{call.call_key} brings the bill to {total}, and {limit} is the limit")
        window = self.windows.get(execution_id, "")
        total = self._billed_in[window] = self._billed_in.get(window, ZERO) + cost
        if total > self._budget_usd and not any(self.late_calls(each) for each in self._calls):
            self.violated("budget", f"{call.call_key} brings the client's bill to {total}, and {self._budget_usd} is the limit")

    def must_be_covered(self, execution_id: str, grants: Mapping[AttemptKey, Decimal]) -> None:
        """What the open attempts may still spend, together with what was billed, is never more than was reserved."""
        billed_to = self._billed_to.get(execution_id, {})
        total = sum(grants.values(), ZERO) + sum((cost for attempt, cost in billed_to.items() if attempt not in grants), ZERO)
        limit = self.envelopes[execution_id]
        if total > limit and not self._is_excused(execution_id, total - limit):
            self.violated("covered", f"{execution_id} may cost {total} by what is granted, and has reserved {limit}")

    def _is_excused(self, execution_id: str, excess: Decimal) -> bool:
        """Only by calls whose announcement was under way for longer than is waited for it, or was lost by the broker."""
        return sum((self.bill[key] for key in self.late_calls(execution_id)), ZERO) >= excess

    def late_calls(self, execution_id: str) -> list[str]:
        """Billed ones that were announced, and whose announcement did not come in time."""
        latest = self._last_word_ms
        return [
            key
            for key in self._calls.get(execution_id, ())
            if key in self.announced and self.told_at.get(key, self._timeline.now) - self.announced[key] > latest
        ]

    def call_was_told(self, call: ProviderCall) -> None:
        key = call.call_key
        self.told_at.setdefault(key, self._timeline.now)
        known = self.told_calls.get(key)
        if known is None or known.outcome is CallOutcome.STARTED:
            self.told_calls[key] = call

    def report_was_told(self, attempt: AttemptKey, calls: Sequence[ProviderCall]) -> None:
        self.reported_calls.setdefault(attempt, calls)
        for call in self.reported_calls[attempt]:
            self.call_was_told(call)

    def was_decided(self, decision: CallSettled) -> None:
        """Without effect on a call that was answered as far as the orchestrator has been told."""
        if decision.call_key in self.told_at:
            self.decisions[decision.call_key] = decision
            self.seen["estimated" if decision.basis is Basis.ESTIMATE else "stated"] += 1

    def fates(self) -> dict[str, Fate]:
        """Of every call that the orchestrator was told of, in whatever way, by key."""
        known = dict(self.told_calls)
        for calls in self.reported_calls.values():
            known |= {call.call_key: call for call in calls}
        return {key: self._fate(call) for key, call in known.items()}

    def untold_calls(self) -> list[str]:
        """Billed calls that nobody could tell of, because the broker lost what was told: the one difference there may be."""
        return sorted(self.bill.keys() - self.fates().keys())

    def _fate(self, call: ProviderCall) -> Fate:
        decision = self.decisions.get(call.call_key)
        cost = call.cost_usd if call.cost_usd is not None or decision is None else decision.cost_usd
        return Fate(
            cost=None if cost is None else usd(cost),
            bound=usd(call.upper_bound_usd or "0"),
            is_answered=call.cost_usd is not None,
        )
