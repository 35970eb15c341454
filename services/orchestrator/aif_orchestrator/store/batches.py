"""Writes everything that a batch has decided, in one round trip: all of it, or nothing when another writer was quicker."""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from aif_contracts.metering import ProviderCall
from aif_contracts.packets import WorkPacket
from aif_orchestrator.execution.commands import MoveAccount, RecordAttempt, SettleCall
from aif_orchestrator.store.accounts import AccountStore
from aif_orchestrator.store.calls import CallStore
from aif_orchestrator.store.journal import Entry, Revision, Versioned
from aif_orchestrator.store.outbox import packed_row
from aif_orchestrator.store.packed_attempts import packed_attempt
from aif_orchestrator.store.rows import Value, rows_text
from aif_orchestrator.store.searched import searched_text
from aif_runtime.bundles import joined
from aif_runtime.bus import Outgoing
from aif_runtime.postgres import Connection
from aif_runtime.sql_files import Queries


class Decided(Struct, frozen=True, kw_only=True):
    """What one batch wants to store."""

    checked: Mapping[str, int]
    """Versions of all executions that it has worked from, changed or not."""
    revisions: Sequence[Revision]
    """Of those that are new or have changed, in id order."""
    entries: Sequence[Entry]
    """Of the revisions, in their order. Their events are among the messages."""
    attempts: Sequence[RecordAttempt]
    """Their records are among the messages."""
    calls: Sequence[ProviderCall]
    settlements: Sequence[SettleCall]
    moves: Sequence[MoveAccount]
    messages: Sequence[Outgoing]
    packets: Sequence[WorkPacket]
    """They are among the messages."""
    published: Sequence[int]
    """Outbox rows to delete."""


class Committed(Struct, frozen=True, kw_only=True):
    stale: frozenset[str]
    """Executions that another writer has changed; nothing was stored when there are any."""
    denied: Mapping[str, str]
    """Executions that their client's budget does not admit, with the code of the reason; nothing was stored either."""
    outbox_id: int | None
    at_ms: int
    """The database's clock."""


class _TakenBack(Exception):
    """Ends the transaction with nothing stored."""

    def __init__(self, committed: Committed) -> None:
        super().__init__()
        self.committed = committed


class BatchStore:
    def __init__(self, queries: Queries, accounts: AccountStore) -> None:
        self._queries = queries
        self._calls = CallStore(queries)
        self._accounts = accounts

    async def commit(self, connection: Connection, decided: Decided) -> Committed:
        """Raises DatabaseUnavailable: whether anything was stored is then unknown, and the batch may be worked out again."""
        amended = _amended(decided)
        if not decided.calls and not decided.settlements and not decided.moves and not amended:
            return await self._commit(connection, decided)
        try:
            async with connection.transaction():
                if amended:
                    await connection.execute(self._queries["unroll_usage"], amended)
                committed = await self._commit(connection, decided)
                if committed.stale:
                    return committed
                if decided.calls:
                    await self._calls.keep(connection, decided.calls)
                if decided.settlements:
                    await self._calls.settle(connection, decided.settlements)
                if decided.moves:
                    denied = await self._accounts.move(connection, decided.moves)
                    if denied:
                        raise _TakenBack(replace(committed, denied=denied, outbox_id=None))
        except _TakenBack as taken_back:
            return taken_back.committed
        return committed

    async def _commit(self, connection: Connection, decided: Decided) -> Committed:
        data = _Bytes()
        row = await connection.fetchrow(
            self._queries["commit_batch"],
            rows_text(decided.checked.items()),
            rows_text(_new_row(each.after) for each in decided.revisions if each.before is None),
            rows_text(_relisted_row(each.after) for each in decided.revisions if each.is_relisted),
            rows_text(_entry_row(each, data) for each in decided.entries),
            rows_text(_attempt_row(each, data) for each in decided.attempts),
            data.joined(),
            "{" + ",".join(map(str, decided.published)) + "}",
            packed_row(decided.messages, decided.entries, decided.packets, decided.attempts),
        )
        assert row is not None, "the function always gives one row"
        return Committed(stale=frozenset(row["stale"] or ()), denied={}, outbox_id=row["outbox_row"], at_ms=row["at_ms"])


def _amended(decided: Decided) -> list[str]:
    """Executions whose usage may be among the totals: those that had ended, and those that calls alone are stored of."""
    amended = {
        each.after.execution.execution_id for each in decided.revisions if each.before and each.before.execution.is_final
    }
    if decided.calls:
        living = {each.after.execution.execution_id for each in decided.revisions} - amended
        amended |= {call.execution_id for call in decided.calls} - living
    return sorted(amended)


class _Bytes:
    """The bytes of all rows, one behind the other."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._next = 1

    def add(self, part: bytes) -> tuple[int, int]:
        """Where it begins, counted from 1, and its size."""
        begins = self._next
        self._parts.append(part)
        self._next += len(part)
        return begins, len(part)

    def joined(self) -> bytes:
        return b"".join(self._parts)


_NOTHING = (None, None)


def _new_row(new: Versioned) -> tuple[Value, ...]:
    execution = new.execution
    return (
        execution.execution_id,
        execution.client_id,
        execution.request_id,
        execution.template,
        execution.template_version,
        execution.status,
        execution.created_at,
        execution.ended_at,
        new.wake_at,
        searched_text(execution),
    )


def _relisted_row(changed: Versioned) -> tuple[Value, ...]:
    execution = changed.execution
    return execution.execution_id, execution.status, execution.ended_at, changed.wake_at


def _entry_row(entry: Entry, data: _Bytes) -> tuple[Value, ...]:
    first, last = None, None
    events: tuple[Value, Value] = _NOTHING
    if entry.told:
        first, last = entry.told[0][0].sequence, entry.told[-1][0].sequence
        events = data.add(joined(entry.told))
    change = _NOTHING if entry.change is None else data.add(entry.change)
    return entry.execution_id, entry.version, entry.leg, entry.is_final, first, last, *events, entry.is_whole, *change


def _attempt_row(ended: RecordAttempt, data: _Bytes) -> tuple[Value, ...]:
    record = ended.record
    metrics = record.metrics
    tokens = metrics.tokens_used
    return (
        record.execution_id,
        record.stage_id,
        record.attempt,
        record.worker_name,
        record.action,
        record.success,
        record.failure_code,
        tokens.total_tokens,
        tokens.prompt_tokens,
        tokens.completion_tokens,
        metrics.cost_usd,
        record.execution_time_ms,
        record.queue_time_ms,
        metrics.model,
        record.quality_score,
        record.timestamp,
        *data.add(packed_attempt(ended)),
    )
