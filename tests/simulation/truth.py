"""What really happened, kept beside the factory and never read by it: the providers' bill, and who was told what."""

from collections import Counter
from decimal import Decimal
from typing import Any

from msgspec import Struct

from aif_contracts.metering import Metrics, ProviderCall
from aif_contracts.money import ZERO, usd

AttemptKey = tuple[str, str, int]
"""Execution, stage, number."""


class Violation(Struct, frozen=True, kw_only=True):
    rule: str
    story: str


class Truth:
    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.bill: dict[str, ProviderCall] = {}
        """Every call that a provider was asked for, by its key."""
        self.told_calls: set[str] = set()
        """Keys of the calls whose own message the orchestrator took."""
        self.reports: dict[AttemptKey, Metrics] = {}
        """Reports that the orchestrator took, with what they said was spent."""
        self.reported_calls: dict[AttemptKey, frozenset[str]] = {}
        self.holders: dict[AttemptKey, set[str]] = {}
        """Worker instances that were granted an attempt by a claim."""
        self.signs: dict[AttemptKey, tuple[int, int]] = {}
        """When an attempt first and last showed itself, as the orchestrator stored it."""
        self.accepted: list[str] = []
        self.limits: dict[str, Decimal] = {}
        """What each execution may cost, in USD."""
        self.billed: dict[str, Decimal] = {}
        """What providers have billed for each execution, also what nobody was told of, in USD."""
        self.made: dict[str, dict[str, Any]] = {}
        """Every result that was ever reported, as rules see it, by its storage key."""
        self.packets: dict[AttemptKey, str] = {}
        """The packet for which each attempt was granted."""
        self.waiting: set[AttemptKey] = set()
        """Attempts that wait to be alone: their time has not begun."""
        self.seen: Counter[str] = Counter()
        """How often what happens only now and then did."""

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

    def was_billed(self, call: ProviderCall, cost: Decimal, instance_id: str, allowed_usd: str) -> None:
        """`cost` in USD is the provider's, who may not have said so."""
        attempt = (call.execution_id, call.stage_id, call.attempt)
        if instance_id not in self.holders.get(attempt, ()) or usd(allowed_usd) == ZERO:
            self.violated("paid by grant", f"{call.call_key} was paid for by {instance_id}, which has no grant for it")
        if call.call_key in self.bill:
            self.violated("one call per key", f"{call.call_key} names two calls")
        self.bill[call.call_key] = call
        total = self.billed[call.execution_id] = self.billed.get(call.execution_id, ZERO) + cost
        limit = self.limits.get(call.execution_id)
        if limit is not None and total > limit:
            self.violated("budget", f"{call.call_key} brings the bill to {total}, and {limit} is the limit")

    def call_was_told(self, call: ProviderCall) -> None:
        self.told_calls.add(call.call_key)

    def report_was_told(self, attempt: AttemptKey, metrics: Metrics, calls: frozenset[str]) -> None:
        self.reports.setdefault(attempt, metrics)
        self.reported_calls.setdefault(attempt, calls)

    def owed(self, execution_id: str) -> tuple[Decimal, bool]:
        """What an execution must be charged, and whether that is all: the sum over billed calls that anybody told of.

        A call in doubt counts with its upper bound until the attempt's report says that its cost is unknown.
        """
        total = ZERO
        is_complete = True
        reported: set[str] = set()
        for attempt, calls in self.reported_calls.items():
            if attempt[0] == execution_id:
                reported |= calls
        for key in sorted(reported):
            cost = self.bill[key].cost_usd
            is_complete = is_complete and cost is not None
            total += usd(cost or "0")
        for key in sorted(self.told_calls - reported):
            call = self.bill[key]
            if call.execution_id == execution_id:
                total += usd(call.cost_usd or call.upper_bound_usd or "0")
        return total, is_complete

    def untold_calls(self) -> list[str]:
        """Calls that only a dead worker or a lost message knew of: the one difference that there may be."""
        reported = {key for calls in self.reported_calls.values() for key in calls}
        return sorted(self.bill.keys() - self.told_calls - reported)
