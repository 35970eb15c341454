"""The ledger's calls as the operator searches them."""

from datetime import datetime, timedelta

from msgspec import Struct

from aif_contracts.metering import Basis, CallOutcome, Tokens
from aif_contracts.money import UsdText, usd
from aif_contracts.reconciliation import BookedCall
from aif_orchestrator.store.calls import call_of
from aif_runtime.clock import rfc3339
from aif_runtime.postgres import Connection, Record
from aif_runtime.sql_files import Queries

MOST_LOOKED_AT = 50_000
"""Calls, by one search for what has no index."""


class Position(Struct, frozen=True, kw_only=True):
    """A place among the calls, which are ordered by time and key."""

    booked_at: datetime
    call_key: str
    """Empty for the place before all calls of that time."""


class FoundCall(Struct, frozen=True, kw_only=True):
    booked: BookedCall
    position: Position

    @property
    def is_open(self) -> bool:
        """Whether it may be settled: nobody knows its cost, or it was decided and not told by an answer."""
        return self.booked.call.cost_usd is None or self.booked.settled_at is not None


class CallFilter(Struct, frozen=True, kw_only=True):
    provider: str | None = None
    model: str | None = None
    client_id: str | None = None
    execution_id: str | None = None
    outcome: CallOutcome | None = None
    basis: Basis | None = None
    in_doubt: bool = False
    booked_from: datetime | None = None
    booked_to: datetime | None = None

    @property
    def picks(self) -> bool:
        """Whether calls have to be looked at one by one."""
        return not (self.provider is None and self.model is None and self.outcome is None and self.basis is None)


class Found(Struct, frozen=True, kw_only=True):
    calls: list[FoundCall]
    searched_until: Position | None
    """Where the search ended with calls left to look at; None when it has looked at all, or found as many as were wanted."""


class Settlement(Struct, frozen=True, kw_only=True):
    call_key: str
    cost_usd: UsdText
    basis: Basis
    note: str
    tokens: Tokens | None = None


class BookedCallStore:
    def __init__(self, queries: Queries, *, most_looked_at: int = MOST_LOOKED_AT) -> None:
        self._queries = queries
        self._most_looked_at = most_looked_at

    async def search(self, connection: Connection, wanted: CallFilter, after: Position | None, limit: int) -> Found:
        """Oldest first, those behind the place `after`. Only inside of a transaction."""
        await connection.execute(self._queries["plan_call_search_anew"])
        end = await self._end_of_search(connection, wanted, after) if wanted.picks else None
        rows = await connection.fetch(
            self._queries["search_booked_calls"],
            wanted.provider,
            wanted.model,
            wanted.client_id,
            wanted.execution_id,
            None if wanted.outcome is None else str(wanted.outcome),
            None if wanted.basis is None else str(wanted.basis),
            wanted.in_doubt,
            wanted.booked_from,
            wanted.booked_to,
            None if after is None else after.booked_at,
            None if after is None else after.call_key,
            end,
            limit,
        )
        searched_until = None
        if end is not None and len(rows) < limit:
            searched_until = Position(booked_at=end + timedelta(microseconds=1), call_key="")
        return Found(calls=[_found(row) for row in rows], searched_until=searched_until)

    async def _end_of_search(self, connection: Connection, wanted: CallFilter, after: Position | None) -> datetime | None:
        """None when there are not so many that anybody would wait for it."""
        end: datetime | None = await connection.fetchval(
            self._queries["find_end_of_call_search"],
            wanted.client_id,
            wanted.execution_id,
            wanted.in_doubt,
            wanted.booked_from,
            wanted.booked_to,
            None if after is None else after.booked_at,
            self._most_looked_at,
        )
        return end

    async def find(self, connection: Connection, call_key: str) -> FoundCall | None:
        row = await connection.fetchrow(self._queries["find_booked_call"], call_key)
        return None if row is None else _found(row)

    async def list_old_in_doubt(
        self, connection: Connection, *, older_than_seconds: float, after: Position | None, limit: int
    ) -> list[FoundCall]:
        """Those that have a bound to be estimated by, oldest first."""
        rows = await connection.fetch(
            self._queries["list_old_calls_in_doubt"],
            older_than_seconds,
            None if after is None else after.booked_at,
            None if after is None else after.call_key,
            limit,
        )
        return [_found(row) for row in rows]

    async def settle(self, connection: Connection, settlement: Settlement) -> None:
        """Write it into the row; nothing when an answer has come meanwhile. Needs a transaction."""
        tokens = settlement.tokens
        await connection.execute(self._queries["unroll_usage_of_call"], settlement.call_key)
        await connection.execute(
            self._queries["settle_booked_call"],
            settlement.call_key,
            usd(settlement.cost_usd),
            str(settlement.basis),
            settlement.note,
            tokens.prompt_tokens if tokens else None,
            tokens.completion_tokens if tokens else None,
            tokens.cache_read_tokens if tokens else None,
            tokens.cache_write_tokens if tokens else None,
            tokens.reasoning_tokens if tokens else None,
        )


def _found(row: Record) -> FoundCall:
    return FoundCall(
        booked=BookedCall(
            call=call_of(row),
            booked_at=rfc3339(row["booked_at"]),
            settled_at=None if row["settled_at"] is None else rfc3339(row["settled_at"]),
            settled_note=row["settled_note"],
        ),
        position=Position(booked_at=row["booked_at"], call_key=row["call_key"]),
    )
