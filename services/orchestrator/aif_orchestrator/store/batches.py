"""Writes everything that a batch has decided, in one round trip: all of it, or nothing when another writer was quicker."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from aif_contracts.metering import ProviderCall
from aif_orchestrator.execution.commands import MoveAccount, RecordAttempt, SettleCall
from aif_orchestrator.store.accounts import AccountStore
from aif_orchestrator.store.attempts import packed_account
from aif_orchestrator.store.calls import CallStore
from aif_orchestrator.store.journal import Entry, Revision, entries_of
from aif_orchestrator.store.outbox import packed_row
from aif_orchestrator.store.searched import searched_text
from aif_runtime.bus import Outgoing
from aif_runtime.postgres import Connection
from aif_runtime.sql_files import Queries


class Decided(Struct, frozen=True, kw_only=True):
    """What one batch wants to store."""

    checked: Mapping[str, int]
    """Versions of all executions that it has worked from, changed or not."""
    revisions: Sequence[Revision]
    """Of those that are new or have changed, in id order. Their events are among the messages, each under its id."""
    attempts: Sequence[RecordAttempt]
    calls: Sequence[ProviderCall]
    settlements: Sequence[SettleCall]
    moves: Sequence[MoveAccount]
    messages: Sequence[Outgoing]
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
        if not decided.calls and not decided.settlements and not decided.moves:
            return await self._commit(connection, decided)
        try:
            async with connection.transaction():
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
        new = [each.after for each in decided.revisions if each.before is None]
        relisted = [each.after for each in decided.revisions if each.is_relisted]
        entries = [entry for each in decided.revisions for entry in entries_of(each)]
        attempts = [each.record for each in decided.attempts]
        # Events are stored as they are published, and written once.
        published = {message.message_id: message.payload for message in decided.messages}
        events = [_listed(published, each) for each in entries]
        accounts = [packed_account(each) for each in decided.attempts]
        row = await connection.fetchrow(
            self._queries["commit_batch"],
            _texts(decided.checked),
            _literal(decided.checked.values()),
            _texts(each.execution.execution_id for each in relisted),
            _names(each.execution.status for each in relisted),
            _literal(each.execution.ended_at for each in relisted),
            _literal(each.wake_at for each in relisted),
            _texts(each.execution.execution_id for each in new),
            _texts(each.execution.client_id for each in new),
            _texts(each.execution.request_id for each in new),
            _texts(each.execution.template for each in new),
            _texts(each.execution.template_version for each in new),
            _names(each.execution.status for each in new),
            _literal(each.execution.created_at for each in new),
            _literal(each.execution.ended_at for each in new),
            _literal(each.wake_at for each in new),
            _texts(searched_text(each.execution) for each in new),
            _texts(each.execution_id for each in entries),
            _literal(each.version for each in entries),
            _literal(each.leg for each in entries),
            _literal(each.is_final for each in entries),
            _literal(each.events[0].event.sequence if each.events else None for each in entries),
            _literal(each.events[-1].event.sequence if each.events else None for each in entries),
            _sizes(events),
            _literal(each.is_whole for each in entries),
            _sizes(each.change for each in entries),
            _texts(each.execution_id for each in attempts),
            _names(each.stage_id for each in attempts),
            _literal(each.attempt for each in attempts),
            _names(each.worker_name for each in attempts),
            _names(each.action for each in attempts),
            _literal(each.success for each in attempts),
            _texts(each.failure_code for each in attempts),
            _literal(each.metrics.tokens_used.total_tokens for each in attempts),
            _literal(each.metrics.tokens_used.prompt_tokens for each in attempts),
            _literal(each.metrics.tokens_used.completion_tokens for each in attempts),
            _literal(each.metrics.cost_usd for each in attempts),
            _literal(each.execution_time_ms for each in attempts),
            _literal(each.queue_time_ms for each in attempts),
            _texts(each.metrics.model for each in attempts),
            _literal(each.quality_score for each in attempts),
            _literal(each.timestamp for each in attempts),
            _sizes(accounts),
            b"".join([part for each, told in zip(entries, events, strict=True) for part in (told, each.change) if part]),
            b"".join(accounts),
            _literal(decided.published),
            packed_row(decided.messages, decided.revisions),
        )
        assert row is not None, "the function always gives one row"
        return Committed(stale=frozenset(row["stale"] or ()), denied={}, outbox_id=row["outbox_row"], at_ms=row["at_ms"])


def _listed(published: Mapping[str | None, bytes], entry: Entry) -> bytes | None:
    """Its events as a JSON array."""
    return b"[" + b",".join([published[each.event.id] for each in entry.events]) + b"]" if entry.events else None


# The driver looks closely at each item of a list, and that would be half of what a commit costs here. So arrays go as text in
# Postgres' own words, and the bytes of all rows go as one value, with their sizes.


def _literal(values: Iterable[object]) -> str:
    """An array of numbers or times."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _names(values: Iterable[str]) -> str:
    """An array of names that hold nothing but letters, digits and _: of states, and of a pipeline that has been checked."""
    return "{" + ",".join([f'"{value}"' for value in values]) + "}"


def _texts(values: Iterable[str | None]) -> str:
    """An array of any texts."""
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _sizes(values: Iterable[bytes | None]) -> str:
    """NULL for what is not there."""
    return "{" + ",".join(["NULL" if value is None else str(len(value)) for value in values]) + "}"
