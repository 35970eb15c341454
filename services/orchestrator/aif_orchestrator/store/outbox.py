"""Messages that were decided with a state change and must leave if, and only if, that change was committed.

Events are stored once, in the journal: a row names the entries whose events it has to tell, and holds the other messages.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct, field

from aif_contracts import subjects
from aif_contracts.events import ExecutionEvent
from aif_orchestrator.store.journal import Revision
from aif_runtime.bus import Outgoing
from aif_runtime.postgres import Connection
from aif_runtime.sql_files import Queries


class OutboxRow(Struct, frozen=True, kw_only=True):
    outbox_id: int
    messages: Sequence[Outgoing]


class _Told(Struct, frozen=True, array_like=True):
    """A version of an execution whose events are to be told."""

    execution_id: str
    version: int
    headers: Mapping[str, str]


class _Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    messages: Sequence[Outgoing] = ()
    told: list[_Told] = field(default_factory=list)


_encoder = msgspec.msgpack.Encoder()
_ROW = msgspec.msgpack.Decoder(_Row)
_EVENTS = msgspec.json.Decoder(list[msgspec.Raw])
_EVENT = msgspec.json.Decoder(ExecutionEvent)


def packed_row(messages: Sequence[Outgoing], revisions: Sequence[Revision] = ()) -> bytes | None:
    """The row for messages, among them the events of the revisions, which come under their ids; None when there is nothing."""
    if not messages:
        return None
    headers = {message.message_id: message.headers for message in messages}
    ids = {each.event.id for revision in revisions for each in revision.events}
    told = [
        _Told(revision.events[0].event.subject, revision.after.version, headers[revision.events[0].event.id])
        for revision in revisions
        if revision.events
    ]
    return _encoder.encode(_Row(messages=[each for each in messages if each.message_id not in ids], told=told))


class OutboxStore:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def delete(self, connection: Connection, outbox_ids: Sequence[int]) -> None:
        await connection.execute(self._queries["delete_outbox"], list(outbox_ids))

    async def lock_stale(self, connection: Connection, *, older_than_seconds: float, but_not: Sequence[int]) -> list[OutboxRow]:
        """Rows that nobody has published for so long, with all that they have to tell; others leave them alone meanwhile."""
        rows = await connection.fetch(self._queries["lock_stale_outbox"], older_than_seconds, list(but_not))
        found: list[OutboxRow] = []
        for row in rows:
            kept = _ROW.decode(row["content"])
            events = await self._events(connection, kept.told) if kept.told else []
            found.append(OutboxRow(outbox_id=row["outbox_id"], messages=[*kept.messages, *events]))
        return found

    async def _events(self, connection: Connection, told: Sequence[_Told]) -> list[Outgoing]:
        headers = {(each.execution_id, each.version): each.headers for each in told}
        rows = await connection.fetch(
            self._queries["list_told_events"], [each.execution_id for each in told], [each.version for each in told]
        )
        return [
            _event_message(bytes(raw), headers[row["execution_id"], row["version"]])
            for row in rows
            for raw in _EVENTS.decode(row["events"])
        ]


def _event_message(payload: bytes, headers: Mapping[str, str]) -> Outgoing:
    event = _EVENT.decode(payload)
    kind = str(event.data.__struct_config__.tag)
    return Outgoing(
        subject=subjects.event(event.client_id, event.subject, kind), payload=payload, message_id=event.id, headers=headers
    )
