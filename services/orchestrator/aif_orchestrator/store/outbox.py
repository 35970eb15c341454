"""Messages that were decided with a state change and must leave if, and only if, that change was committed.

A row names what is stored elsewhere: the entries of the journal whose events it has to tell, the attempts whose records, and
the packets, which can be written again from the state of their executions. It holds the other messages.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct, field

from aif_contracts import subjects
from aif_contracts.events import MOST_EVENTS_BYTES, ExecutionEvent
from aif_contracts.packets import WorkPacket
from aif_contracts.performance import PerformanceRecord
from aif_orchestrator.execution.commands import RecordAttempt
from aif_orchestrator.store.attempts import AttemptStore, NamedAttempt
from aif_orchestrator.store.journal import Entry
from aif_runtime.bundles import in_bundles, joined
from aif_runtime.bus import Outgoing
from aif_runtime.postgres import Connection
from aif_runtime.sql_files import Queries


class NamedPacket(Struct, frozen=True, array_like=True):
    execution_id: str
    stage_id: str
    packet_id: str


class OutboxRow(Struct, frozen=True, kw_only=True):
    outbox_id: int
    messages: Sequence[Outgoing]
    packets: Sequence[NamedPacket]
    records: Sequence[PerformanceRecord]
    """Of the attempts that ended; not of those that were deleted meanwhile."""


class _Told(Struct, frozen=True, array_like=True):
    """A version of an execution whose events are to be told."""

    execution_id: str
    version: int
    headers: Mapping[str, str]


class _Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    messages: Sequence[Outgoing] = ()
    told: list[_Told] = field(default_factory=list)
    packets: list[NamedPacket] = field(default_factory=list)
    attempts: list[NamedAttempt] = field(default_factory=list)


_encoder = msgspec.msgpack.Encoder()
_ROW = msgspec.msgpack.Decoder(_Row)
_EVENTS = msgspec.json.Decoder(list[msgspec.Raw])
_EVENT = msgspec.json.Decoder(ExecutionEvent)


def event_messages(told: Iterable[tuple[ExecutionEvent, bytes]], headers: Mapping[str, str]) -> list[Outgoing]:
    """Events of one entry, each with what was written of it, in one message if they fit."""
    return [_event_message(bundle, headers) for bundle in in_bundles(told, most_bytes=MOST_EVENTS_BYTES)]


def _event_message(bundle: Sequence[tuple[ExecutionEvent, bytes]], headers: Mapping[str, str]) -> Outgoing:
    last, _ = bundle[-1]
    return Outgoing(
        subject=subjects.event(last.client_id, last.subject, str(last.data.__struct_config__.tag)),
        payload=joined(bundle),
        message_id=last.id,
        headers=headers,
    )


def packed_row(
    messages: Sequence[Outgoing],
    entries: Sequence[Entry] = (),
    packets: Sequence[WorkPacket] = (),
    attempts: Sequence[RecordAttempt] = (),
) -> bytes | None:
    """The row for messages; None when there are none.

    The events of the entries, the packets and the records of the attempts are among them, and only named.
    """
    if not messages:
        return None
    headers = {message.message_id: message.headers for message in messages}
    ids = {event.id for entry in entries for event, _ in entry.told}
    # A version that ends one leg and begins another has an entry for each.
    told = {(entry.execution_id, entry.version): headers[entry.told[-1][0].id] for entry in entries if entry.told}
    ids.update(packet.packet_id for packet in packets)
    records = [ended.record for ended in attempts]
    return _encoder.encode(
        _Row(
            messages=[each for each in messages if each.message_id not in ids and not subjects.is_performance(each.subject)],
            told=[_Told(*key, trace) for key, trace in told.items()],
            packets=[NamedPacket(packet.execution_id, packet.stage_id, packet.packet_id) for packet in packets],
            attempts=[NamedAttempt(record.execution_id, record.stage_id, record.attempt) for record in records],
        )
    )


class OutboxStore:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._attempts = AttemptStore(queries)

    async def delete(self, connection: Connection, outbox_ids: Sequence[int]) -> None:
        await connection.execute(self._queries["delete_outbox"], list(outbox_ids))

    async def lock_stale(self, connection: Connection, *, older_than_seconds: float, but_not: Sequence[int]) -> list[OutboxRow]:
        """Rows that nobody has published for so long, with all that they have to tell; others leave them alone meanwhile."""
        rows = await connection.fetch(self._queries["lock_stale_outbox"], older_than_seconds, list(but_not))
        found: list[OutboxRow] = []
        for row in rows:
            kept = _ROW.decode(row["content"])
            events = await self._events(connection, kept.told) if kept.told else []
            records = await self._attempts.list_told(connection, kept.attempts) if kept.attempts else []
            messages = [*kept.messages, *events]
            found.append(OutboxRow(outbox_id=row["outbox_id"], messages=messages, packets=kept.packets, records=records))
        return found

    async def _events(self, connection: Connection, told: Sequence[_Told]) -> list[Outgoing]:
        headers = {(each.execution_id, each.version): each.headers for each in told}
        rows = await connection.fetch(
            self._queries["list_told_events"], [each.execution_id for each in told], [each.version for each in told]
        )
        return [
            message
            for row in rows
            for message in event_messages(
                [(_EVENT.decode(raw), bytes(raw)) for raw in _EVENTS.decode(row["events"])],
                headers[row["execution_id"], row["version"]],
            )
        ]
