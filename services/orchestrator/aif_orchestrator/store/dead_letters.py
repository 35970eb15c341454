"""Dead letters as they are kept: one row each, however often its message was read."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from aif_contracts.dead_letters import DeadLetterStatus
from aif_runtime.postgres import Connection, Record
from aif_runtime.sql_files import Queries

_HEADERS = msgspec.json.Decoder(dict[str, str])


class NewLetter(Struct, frozen=True, kw_only=True):
    dead_letter_id: str
    origin: str
    subject: str
    reason: str
    found_by: str
    deliveries: int
    headers: dict[str, str]
    payload: bytes
    size_bytes: int
    """Of the whole message; above the payload's when only its beginning is kept."""
    execution_id: str | None
    client_id: str | None


class KeptLetter(Struct, frozen=True, kw_only=True):
    """Without its bytes."""

    dead_letter_id: str
    position: int
    """Rises with the time at which it was stored."""
    origin: str
    subject: str
    reason: str
    found_by: str
    found_ms: int
    """When it was stored, by the database's clock, in milliseconds since 1970."""
    deliveries: int
    size_bytes: int
    execution_id: str | None
    status: DeadLetterStatus
    decided_ms: int | None
    decided_by: str | None


class LetterContent(Struct, frozen=True, kw_only=True):
    letter: KeptLetter
    headers: dict[str, str]
    payload: bytes

    @property
    def is_cut(self) -> bool:
        return self.letter.size_bytes > len(self.payload)


class DeadLetterStore:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def keep(self, connection: Connection, letters: Sequence[NewLetter]) -> set[str]:
        """Ids of those that were not there yet."""
        rows = await connection.fetch(
            self._queries["insert_dead_letters"],
            [each.dead_letter_id for each in letters],
            [each.origin for each in letters],
            [each.subject for each in letters],
            [each.reason for each in letters],
            [each.found_by for each in letters],
            [each.deliveries for each in letters],
            [msgspec.json.encode(each.headers) for each in letters],
            [each.payload for each in letters],
            [each.size_bytes for each in letters],
            [each.execution_id for each in letters],
            [each.client_id for each in letters],
        )
        return {row["dead_letter_id"] for row in rows}

    async def list_page(
        self,
        connection: Connection,
        *,
        status: DeadLetterStatus | None,
        origin: str | None,
        before: int | None,
        limit: int,
    ) -> list[KeptLetter]:
        """Newest first, those before the position `before`."""
        wanted = None if status is None else str(status)
        rows = await connection.fetch(self._queries["list_dead_letters"], wanted, origin, before, limit)
        return [_kept(row) for row in rows]

    async def find(self, connection: Connection, dead_letter_id: str) -> LetterContent | None:
        return _content(await connection.fetchrow(self._queries["find_dead_letter"], dead_letter_id))

    async def lock(self, connection: Connection, dead_letter_id: str) -> LetterContent | None:
        """As `find`; nobody else decides about it until the transaction ends."""
        return _content(await connection.fetchrow(self._queries["lock_dead_letter"], dead_letter_id))

    async def decide(self, connection: Connection, letter: KeptLetter, status: DeadLetterStatus, decided_by: str) -> KeptLetter:
        """The letter as it is from now on. It has to wait, and to be locked."""
        decided_ms = await connection.fetchval(
            self._queries["decide_dead_letter"], letter.dead_letter_id, str(status), decided_by
        )
        return msgspec.structs.replace(letter, status=status, decided_by=decided_by, decided_ms=decided_ms)

    async def delete_decided(self, connection: Connection, *, older_than_days: int, limit: int) -> None:
        await connection.execute(self._queries["delete_decided_dead_letters"], older_than_days, limit)


def _content(row: Record | None) -> LetterContent | None:
    if row is None:
        return None
    return LetterContent(letter=_kept(row), headers=_HEADERS.decode(row["headers"]), payload=row["payload"])


def _kept(row: Record) -> KeptLetter:
    return KeptLetter(
        dead_letter_id=row["dead_letter_id"],
        position=row["position"],
        origin=row["origin"],
        subject=row["subject"],
        reason=row["reason"],
        found_by=row["found_by"],
        found_ms=row["found_ms"],
        deliveries=row["deliveries"],
        size_bytes=row["size_bytes"],
        execution_id=row["execution_id"],
        status=DeadLetterStatus(row["status"]),
        decided_ms=row["decided_ms"],
        decided_by=row["decided_by"],
    )
