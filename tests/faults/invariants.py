"""What must hold after every trial, read from Postgres, from the broker and from the provider's bill.

    I1  each leg of an accepted execution has exactly one terminal event, and its events are numbered without gaps
    I2  the ledger is the bill: every call that was billed is booked once, at its price, or in doubt with a bound above it
    I3  each stage was applied once at most, and exactly once if its execution completed
    I4  the deliverable is the digest of what was ordered
    I5  the books balance: what the client is charged and what it still has reserved are the sums over its calls
    I6  nothing is left over: no unpublished message, no packet, no report, no usage
    I8  everything ended, and nearly all of it well

A call whose worker was killed before it told of its end stays in doubt. One whose messages went down with the broker's store is
known by its attempt's report alone, or not at all; those are counted apart, and excused only where a trial does that.
"""

import enum
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal

import msgspec
from msgspec import Struct

from aif_contracts import subjects
from aif_contracts.blobs import BlobRef
from aif_contracts.events import (
    FINAL_EVENT_TYPES,
    ExecutionEvent,
    StepCompleted,
    StepRetrying,
    WorkflowCompleted,
    WorkflowResumed,
)
from aif_contracts.metering import Basis
from aif_orchestrator.execution.judging import RETRY_RULE
from aif_runtime.blobs import BlobStore
from aif_runtime.failures import BlobCorrupt, BlobMissing
from aif_runtime.nats_bus import NatsBus
from aif_runtime.postgres import Database
from faults.billed_worker import BillLine
from faults.paced_orders import expected_digest
from faults.paper_factory import STAGES

CHECKED = ("I1", "I2", "I3", "I4", "I5", "I6", "I8")
WORKER_LOST = "worker_lost"
LEAST_SHARE_COMPLETED = 0.95
QUEUES = (subjects.STREAM_REQUESTS, subjects.STREAM_WORK, subjects.STREAM_REPORTS, subjects.STREAM_USAGE)

_EVENTS = msgspec.json.Decoder(tuple[ExecutionEvent, ...])


class CallsLost(enum.Enum):
    """Which billed calls may be missing in the ledger."""

    NONE = "none"
    WITH_THE_STORE = "with_the_store"
    """Those of attempts whose worker fell silent, and those whose cost is in the report of their attempt."""


class StoredCall(Struct, frozen=True, kw_only=True):
    cost_usd: Decimal | None
    upper_bound_usd: Decimal | None = None
    basis: str = Basis.USAGE


class Account(Struct, frozen=True, kw_only=True):
    """Of the client, over all its months."""

    spent_usd: Decimal
    reserved_usd: Decimal


class StoredExecution(Struct, frozen=True, kw_only=True):
    execution_id: str
    status: str
    created_at: datetime
    ended_at: datetime | None


class StoredAttempt(Struct, frozen=True, kw_only=True):
    execution_id: str
    stage_id: str
    attempt: int
    failure_code: str | None
    cost_usd: Decimal | None


class Books(Struct, frozen=True, kw_only=True):
    """All that the orchestrator has stored about the orders of a trial."""

    executions: Mapping[str, StoredExecution]
    events: Mapping[str, list[ExecutionEvent]]
    final_events: Mapping[str, int]
    attempts: tuple[StoredAttempt, ...]
    ledger: Mapping[str, StoredCall]
    """By call key."""
    account: Account


class Violations:
    """By invariant, each in words."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = defaultdict(list)

    def add(self, invariant: str, words: str) -> None:
        self.found[invariant].append(words)

    def __len__(self) -> int:
        return sum(len(words) for words in self.found.values())


async def read_books(database: Database, execution_ids: Collection[str]) -> Books:
    """Raises DatabaseUnavailable."""
    wanted = list(execution_ids)
    async with database.connection() as connection:
        executions = await connection.fetch(
            "SELECT execution_id, status, created_at, ended_at FROM executions WHERE execution_id = ANY ($1)", wanted
        )
        events = await connection.fetch(
            "SELECT execution_id, is_final, events FROM execution_journal"
            " WHERE execution_id = ANY ($1) AND events IS NOT NULL ORDER BY execution_id, version, leg",
            wanted,
        )
        attempts = await connection.fetch(
            "SELECT execution_id, stage_id, attempt, failure_code, cost_usd FROM stage_attempts WHERE execution_id = ANY ($1)",
            wanted,
        )
        calls = await connection.fetch(
            "SELECT call_key, cost_usd, upper_bound_usd, basis FROM provider_calls WHERE execution_id = ANY ($1)", wanted
        )
        account = await connection.fetchrow(
            "SELECT coalesce(sum(spent_usd), 0) AS spent, coalesce(sum(reserved_usd), 0) AS reserved FROM budget_windows"
        )
    assert account is not None, "a sum is always there"
    by_execution: dict[str, list[ExecutionEvent]] = defaultdict(list)
    for row in events:
        by_execution[row["execution_id"]] += _EVENTS.decode(row["events"])
    return Books(
        executions={row["execution_id"]: StoredExecution(**row) for row in executions},
        events=by_execution,
        final_events=Counter(row["execution_id"] for row in events if row["is_final"]),
        attempts=tuple(StoredAttempt(**row) for row in attempts),
        ledger={
            row["call_key"]: StoredCall(cost_usd=row["cost_usd"], upper_bound_usd=row["upper_bound_usd"], basis=row["basis"])
            for row in calls
        },
        account=Account(spent_usd=account["spent"], reserved_usd=account["reserved"]),
    )


async def count_left_over(database: Database, bus: NatsBus) -> dict[str, int]:
    """What should have gone, by the place where it lies. Raises DatabaseUnavailable, BusUnavailable."""
    async with database.connection() as connection:
        left = {
            "outbox": int(await connection.fetchval("SELECT count(*) FROM outbox")),
            "executions that hold money for attempts": int(
                await connection.fetchval("SELECT count(*) FROM executions WHERE ended_at IS NOT NULL AND wake_at IS NOT NULL")
            ),
        }
    for stream in QUEUES:
        left[stream] = await count_messages(bus, stream)
    return {place: count for place, count in left.items() if count}


class _ConsumerInfo(Struct, frozen=True):
    num_ack_pending: int


async def count_in_hand(bus: NatsBus, stream: str, consumer: str) -> int:
    """Delivered and not settled. Raises BusUnavailable."""
    info = await bus.connection.api(f"CONSUMER.INFO.{stream}.{consumer}", None, _ConsumerInfo)
    return info.num_ack_pending


class _StreamState(Struct, frozen=True):
    subjects: dict[str, int] = {}
    """Messages by subject; missing when there are none."""


class _StreamInfo(Struct, frozen=True):
    state: _StreamState


async def count_messages(bus: NatsBus, stream: str) -> int:
    """Stored in a stream just now, its ballast apart. Raises BusUnavailable."""
    info = await bus.connection.api(f"STREAM.INFO.{stream}", {"subjects_filter": ">"}, _StreamInfo)
    return sum(count for subject, count in info.state.subjects.items() if subject != subjects.ballast(stream))


def check_endings(texts: Mapping[str, str], books: Books, violations: Violations) -> None:
    """I1."""
    for execution_id in texts:
        if execution_id not in books.executions:
            violations.add("I1", f"{execution_id} was accepted and is not stored")
            continue
        finals = books.final_events[execution_id]
        events = books.events.get(execution_id, [])
        legs = max((event.data.leg for event in events if isinstance(event.data, WorkflowResumed)), default=1)
        if finals != legs:
            violations.add("I1", f"{execution_id} has {finals} terminal events in {legs} legs")
        last = events[-1].data.__struct_config__.tag if events else None
        if finals == legs and last not in FINAL_EVENT_TYPES:
            violations.add("I1", f"after the end of {execution_id} comes {last}")
        numbers = [event.sequence for event in events]
        if numbers != list(range(1, len(numbers) + 1)):
            violations.add("I1", f"{execution_id} has events {numbers}")


class Unanswered(Struct, frozen=True, kw_only=True):
    """Billed calls of which the ledger does not know the price."""

    in_doubt: int = 0
    """Known by their announcement."""
    unbooked: int = 0
    """On the bill alone, and excused."""


def check_money(books: Books, bill: Collection[BillLine], violations: Violations, lost: CallsLost) -> Unanswered:
    """I2 and I5."""
    ours = [line for line in bill if line.call_key.split(".", 1)[0] in books.executions]
    for call_key, times in Counter(line.call_key for line in ours).items():
        if times > 1:
            violations.add("I2", f"the provider billed {call_key} {times} times: an attempt was given to two workers")
    prices = {line.call_key: Decimal(line.cost_usd) for line in ours}
    in_doubt = 0
    for call_key, call in books.ledger.items():
        price = prices.get(call_key)
        is_estimate = call.basis == Basis.ESTIMATE
        if (call.cost_usd is None or is_estimate) and price is not None:
            in_doubt += 1
        if is_estimate and call.cost_usd != call.upper_bound_usd:
            violations.add("I2", f"{call_key} is estimated at {call.cost_usd}, its bound is {call.upper_bound_usd}")
        if call.cost_usd is None and (call.upper_bound_usd is None or (price is not None and call.upper_bound_usd < price)):
            violations.add("I2", f"{call_key} is in doubt up to {call.upper_bound_usd}, the bill says {price}")
        if call.cost_usd is not None and not is_estimate and call.cost_usd != (price or 0):
            violations.add("I2", f"the ledger says {call.cost_usd} for {call_key}, the bill {price}")
    attempts = {(each.execution_id, each.stage_id, each.attempt): each for each in books.attempts}
    unbooked = 0
    for call_key in prices.keys() - books.ledger.keys():
        execution_id, stage_id, number, _ = call_key.split(".")
        attempt = attempts.get((execution_id, stage_id, int(number)))
        if attempt is not None and _is_excused(attempt, prices[call_key], lost):
            unbooked += 1
        else:
            violations.add("I2", f"{call_key} was billed and is not in the ledger")
    if lost is CallsLost.NONE:
        _check_account(books, violations)
    return Unanswered(in_doubt=in_doubt, unbooked=unbooked)


def _check_account(books: Books, violations: Violations) -> None:
    spent = sum((call.cost_usd for call in books.ledger.values() if call.cost_usd is not None), Decimal(0))
    doubtful = [call.upper_bound_usd for call in books.ledger.values() if call.cost_usd is None]
    reserved = sum((bound for bound in doubtful if bound is not None), Decimal(0))
    if books.account.spent_usd != spent:
        violations.add("I5", f"the client is charged {books.account.spent_usd}, its calls have cost {spent}")
    if books.account.reserved_usd != reserved:
        violations.add("I5", f"{books.account.reserved_usd} are reserved, {reserved} are in doubt")


def _is_excused(attempt: StoredAttempt, price: Decimal, lost: CallsLost) -> bool:
    if lost is CallsLost.NONE:
        return False
    return attempt.failure_code == WORKER_LOST or (attempt.cost_usd is not None and attempt.cost_usd >= price)


def check_stages(books: Books, violations: Violations) -> None:
    """I3."""
    wins = Counter((each.execution_id, each.stage_id) for each in books.attempts if each.failure_code is None)
    told = _completed_stages(books)
    for execution_id, execution in books.executions.items():
        for stage in STAGES:
            counts = {wins[execution_id, stage], told[execution_id, stage]}
            allowed = [{1}] if execution.status == "completed" else [{0}, {1}]
            if counts not in allowed:
                violations.add(
                    "I3", f"{execution_id}.{stage} of a {execution.status} execution was applied {sorted(counts)} times"
                )


def check_stages_of_any_pipeline(books: Books, violations: Violations) -> None:
    """I3, as far as it holds whatever was ordered: once, and once more for each time that a rule wanted it."""
    again = Counter(
        (execution_id, event.data.step_name)
        for execution_id, events in books.events.items()
        for event in events
        if isinstance(event.data, StepRetrying) and event.data.code == RETRY_RULE
    )
    for stage, times in _completed_stages(books).items():
        if times > 1 + again[stage]:
            violations.add(
                "I3", f"{'.'.join(stage)} was applied {times} times, by its rules {again[stage]} times more than once"
            )


def _completed_stages(books: Books) -> Counter[tuple[str, str]]:
    """How often events say so of each."""
    return Counter(
        (execution_id, event.data.step_name)
        for execution_id, events in books.events.items()
        for event in events
        if isinstance(event.data, StepCompleted)
    )


async def check_results(texts: Mapping[str, str], books: Books, blobs: BlobStore, violations: Violations) -> None:
    """I4."""
    for execution_id, events in books.events.items():
        end = events[-1].data
        if not isinstance(end, WorkflowCompleted):
            continue
        made = await _digest_in(blobs, end.deliverables[0].blob)
        if made != expected_digest(texts[execution_id]):
            violations.add("I4", f"{execution_id} delivered {made}")


def check_liveness(
    texts: Mapping[str, str], turned_away: Collection[str], books: Books, violations: Violations, *, meant_to_end_badly: int
) -> None:
    """I8."""
    for words in turned_away:
        violations.add("I8", words)
    for execution in books.executions.values():
        if execution.ended_at is None:
            violations.add("I8", f"{execution.execution_id} has not ended")
    statuses = Counter(execution.status for execution in books.executions.values())
    if statuses["completed"] < LEAST_SHARE_COMPLETED * (len(texts) - meant_to_end_badly):
        violations.add("I8", f"of {len(texts)} executions only {statuses['completed']} completed: {dict(statuses)}")


async def _digest_in(blobs: BlobStore, ref: BlobRef) -> str:
    try:
        return str(msgspec.json.decode(await blobs.get(ref))["text"])
    except (BlobMissing, BlobCorrupt) as failure:
        return str(failure)
