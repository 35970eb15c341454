"""One trial: a factory under load, faults that strike it and are noted, and the verdict when all has come to rest."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from msgspec import Struct

from aif_runtime.blobs import BlobStore
from aif_runtime.failures import BusUnavailable, DatabaseUnavailable
from aif_runtime.nats_bus import NatsBus
from aif_runtime.open_blob_store import open_blob_store
from aif_runtime.postgres import Database
from faults.billed_worker import BillLine
from faults.invariants import (
    WORKER_LOST,
    Books,
    CallsLost,
    Violations,
    check_endings,
    check_liveness,
    check_money,
    check_results,
    check_stages,
    count_left_over,
    read_books,
)
from faults.paced_orders import Orders
from faults.paper_factory import PaperFactory, paper_factory
from support.waiting import eventually

ENDING_SECONDS = 120.0
CLEARING_SECONDS = 90.0
MEAN_PAUSE_SECONDS = 0.5


class TrialPlan(Struct, frozen=True, kw_only=True):
    seed: int
    executions: int
    load_seconds: float
    """Orders come in evenly over so long, and faults strike meanwhile."""

    time_factor: float = 1.0
    """By so much the limits of time are more generous than they should be."""

    @property
    def per_second(self) -> float:
        return self.executions / self.load_seconds


class Fault(Struct, frozen=True, kw_only=True):
    what: str
    struck_at: float
    """Seconds since 1970, as the database's clock on the same machine."""


class Allowed(Struct, frozen=True, kw_only=True):
    """What a trial may show without being failed for it."""

    calls_lost: CallsLost = CallsLost.NONE
    calls_may_repeat: bool = True
    """At most one for each attempt that was lost."""
    meant_to_end_badly: int = 0
    """Executions."""
    recovery_seconds: float | None = None
    stall_seconds: float | None = None


class Outcome(Struct, frozen=True, kw_only=True):
    executions: int
    denied: int
    """Orders refused because the client's budget is spent."""
    faults: int
    completed: int
    lost_attempts: int
    repeated_calls: int
    """Paid calls beyond the first one for a stage."""
    calls_in_doubt: int
    """Billed calls whose end nobody told; the ledger has their bound."""
    unbooked_calls: int
    """On the provider's bill alone, because their messages were destroyed."""
    recovery_seconds: tuple[float, ...]
    """For each fault, until an order that was accepted after it had completed."""
    stall_seconds: float
    """The longest one, between two executions that ended one after the other while orders came in."""
    violations: Mapping[str, list[str]]
    """In words, by invariant; `pass` for the trial's own figures."""
    remarks: Sequence[str]

    @property
    def worst_recovery_seconds(self) -> float:
        return max(self.recovery_seconds, default=0.0)


class Trial:
    """Made by `trial`."""

    def __init__(self, plan: TrialPlan, factory: PaperFactory, bus: NatsBus, database: Database, blobs: BlobStore) -> None:
        self.plan = plan
        self.factory = factory
        self.bus = bus
        self.database = database
        self.blobs = blobs
        self.orders = Orders(bus)
        self.chance = random.Random(plan.seed)
        self.faults: list[Fault] = []
        self.violations = Violations()
        self.remarks: list[str] = []

    def note(self, what: str) -> Fault:
        """A fault strikes now."""
        fault = Fault(what=what, struck_at=time.time())
        self.faults.append(fault)
        return fault

    def expect(self, holds: bool, otherwise: str) -> None:
        """A figure of this trial's own."""
        if not holds:
            self.violations.add("pass", otherwise)

    def expect_within(self, limit_seconds: float, seconds: float, what: str) -> None:
        """A figure of time."""
        limit = limit_seconds * self.plan.time_factor
        self.expect(seconds <= limit, f"{what} took {seconds:.1f} s, {limit:g} s are allowed")

    @contextmanager
    def noted_as_violation(self) -> Iterator[None]:
        """What does not come true in time is a figure that was missed."""
        try:
            yield
        except AssertionError as missed:
            self.violations.add("pass", str(missed))

    async def kill_at_random(self, loading: asyncio.Task[None]) -> int:
        """SIGKILL of any process, every half second on average, until the load is done; how many were killed.

        Where a process takes longer than that to start nothing would ever get done: it ends with three times the kills that
        the plan's load has room for.
        """
        kills = 0
        while not loading.done() and kills < 3 * self.plan.load_seconds / MEAN_PAUSE_SECONDS:
            await asyncio.sleep(self.chance.expovariate(1 / MEAN_PAUSE_SECONDS))
            name = self.chance.choice(self.factory.names)
            if self.factory.kill(name):
                self.note(f"{name} killed")
                kills += 1
        return kills

    async def load(self, *, times_as_long: float = 1.0) -> None:
        """All orders of the plan, at its pace or more slowly."""
        await self.orders.place_many(self.plan.executions, per_second=self.plan.per_second / times_as_long)

    async def books(self) -> Books:
        return await read_books(self.database, self.orders.texts)

    async def comes_to_rest(self) -> None:
        """Until everything that was accepted has ended and nothing is left over. What is not by then, the verdict tells."""
        try:
            await eventually(self._all_ended, ENDING_SECONDS * self.plan.time_factor, what="all executions end")
            await eventually(self._nothing_left, CLEARING_SECONDS * self.plan.time_factor, what="nothing is left over")
        except AssertionError as impatience:
            self.remarks.append(str(impatience))

    async def verdict(self, allowed: Allowed) -> Outcome:
        """When all has come to rest."""
        await self.comes_to_rest()
        books, bill = await self.books(), self.factory.bill()
        unanswered = check_money(books, bill, self.violations, allowed.calls_lost)
        await self._check_invariants(books, allowed)
        outcome = Outcome(
            executions=len(self.orders.texts),
            denied=len(self.orders.denied),
            faults=len(self.faults),
            completed=sum(execution.status == "completed" for execution in books.executions.values()),
            lost_attempts=sum(attempt.failure_code == WORKER_LOST for attempt in books.attempts),
            repeated_calls=_repeated(bill, self.orders.texts),
            calls_in_doubt=unanswered.in_doubt,
            unbooked_calls=unanswered.unbooked,
            recovery_seconds=_recoveries(self.faults, books),
            stall_seconds=_longest_stall(books),
            violations=self.violations.found,
            remarks=self.remarks,
        )
        self._check_figures(outcome, allowed)
        if len(self.violations):
            self.factory.leaves_folder = True
            self.remarks.append(f"the logs are in {self.factory.folder.logs}")
        return outcome

    async def _check_invariants(self, books: Books, allowed: Allowed) -> None:
        texts, violations = self.orders.texts, self.violations
        check_endings(texts, books, violations)
        check_stages(books, violations)
        await check_results(texts, books, self.blobs, violations)
        for place, count in (await count_left_over(self.database, self.bus)).items():
            violations.add("I6", f"{count} left in {place}")
        check_liveness(texts, self.orders.turned_away, books, violations, meant_to_end_badly=allowed.meant_to_end_badly)

    def _check_figures(self, outcome: Outcome, allowed: Allowed) -> None:
        most = outcome.lost_attempts if allowed.calls_may_repeat else 0
        self.expect(outcome.repeated_calls <= most, f"{outcome.repeated_calls} paid calls were repeated, {most} may be")
        if allowed.recovery_seconds is not None:
            self.expect_within(allowed.recovery_seconds, outcome.worst_recovery_seconds, "recovery")
        if allowed.stall_seconds is not None:
            self.expect_within(allowed.stall_seconds, outcome.stall_seconds, "a stall")

    async def _all_ended(self) -> bool:
        query = "SELECT count(*) FROM executions WHERE execution_id = ANY ($1) AND ended_at IS NOT NULL"
        try:
            async with self.database.connection() as connection:
                return int(await connection.fetchval(query, list(self.orders.texts))) == len(self.orders.texts)
        except DatabaseUnavailable as away:
            raise AssertionError(str(away)) from away

    async def _nothing_left(self) -> bool:
        try:
            left = await count_left_over(self.database, self.bus)
        except (DatabaseUnavailable, BusUnavailable) as away:
            raise AssertionError(str(away)) from away
        assert not left, f"left over: {left}"
        return True


@asynccontextmanager
async def trial(plan: TrialPlan, **of_the_factory: Any) -> AsyncIterator[Trial]:
    """`of_the_factory` goes to `paper_factory`."""
    async with paper_factory(**of_the_factory) as factory:
        bus = await NatsBus.connect(factory.nats.url, name="faults")
        database = await Database.open(factory.database_url, application_name="faults", schema="orchestrator", max_size=2)
        try:
            yield Trial(plan, factory, bus, database, open_blob_store(factory.blobs_url, bus))
        finally:
            await database.close()
            await bus.close()


def _repeated(bill: Collection[BillLine], execution_ids: Collection[str]) -> int:
    calls = [line.call_key.split(".")[:2] for line in bill]
    of_stages = Counter((execution_id, stage_id) for execution_id, stage_id in calls if execution_id in execution_ids)
    return sum(count - 1 for count in of_stages.values())


def _recoveries(faults: list[Fault], books: Books) -> tuple[float, ...]:
    """Faults after the last order have none."""
    done = [each for each in books.executions.values() if each.status == "completed" and each.ended_at is not None]
    recoveries = []
    for fault in faults:
        later = [
            each.ended_at.timestamp() - fault.struck_at
            for each in done
            if each.ended_at is not None and each.created_at.timestamp() > fault.struck_at
        ]
        if later:
            recoveries.append(min(later))
    return tuple(recoveries)


def _longest_stall(books: Books) -> float:
    """Up to the last acceptance: after it nothing new has to end."""
    last_accepted = max((each.created_at.timestamp() for each in books.executions.values()), default=0.0)
    ends = sorted(each.ended_at.timestamp() for each in books.executions.values() if each.ended_at is not None)
    gaps = [later - earlier for earlier, later in itertools.pairwise(ends) if earlier < last_accepted]
    return max(gaps, default=0.0)
