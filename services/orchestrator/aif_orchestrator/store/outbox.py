"""Messages that were decided with a state change and must leave if, and only if, that change was committed."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from aif_runtime.bus import Outgoing
from aif_runtime.postgres import Connection
from aif_runtime.sql_files import Queries

_MESSAGES = msgspec.msgpack.Decoder(tuple[Outgoing, ...])


class OutboxRow(Struct, frozen=True, kw_only=True):
    outbox_id: int
    messages: tuple[Outgoing, ...]


class OutboxStore:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def delete(self, connection: Connection, outbox_ids: Sequence[int]) -> None:
        await connection.execute(self._queries["delete_outbox"], list(outbox_ids))

    async def lock_stale(self, connection: Connection, *, older_than_seconds: float, but_not: Sequence[int]) -> list[OutboxRow]:
        rows = await connection.fetch(self._queries["lock_stale_outbox"], older_than_seconds, list(but_not))
        return [OutboxRow(outbox_id=row["outbox_id"], messages=_MESSAGES.decode(row["messages"])) for row in rows]
