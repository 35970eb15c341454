"""Read single stored messages from a stream without a consumer: the latest of a subject, or of many."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from aif_runtime.failures import BusUnavailable
from aif_runtime.nats_connection import NO_RESPONDERS, NatsConnection
from aif_runtime.nats_wire import Arrived

MOST_SUBJECTS = 1000
"""In one request; the broker's limit is 1,024."""

NOT_FOUND = "404"
TOO_MANY = "413"
END_OF_BATCH = "204"

SEQUENCE = "Nats-Sequence"
"""The broker puts it on every stored message that it gives, and on nothing that it says itself."""


class StreamMissing(Exception):
    """Between the NATS adapters only: there is no such stream, for example after the broker's store was lost."""


class Latest(Struct, frozen=True, kw_only=True):
    subject: str
    payload: bytes
    headers: Mapping[str, str]


class _SubjectState(Struct, frozen=True):
    subjects: dict[str, int] | None = None


class _SubjectList(Struct, frozen=True):
    state: _SubjectState


async def latest(connection: NatsConnection, stream: str, subject: str) -> Latest | None:
    """The latest message of a subject; None when there is none. Raises StreamMissing, BusUnavailable."""
    try:
        message = await connection.request(
            f"$JS.API.DIRECT.GET.{stream}.{subject}", b"", wait_seconds=connection.reply_limit_seconds
        )
    except TimeoutError as late:
        raise BusUnavailable(f"the stream {stream} does not answer: {connection.trouble or 'no reply'}") from late
    status = _status_of(message)
    if status == NO_RESPONDERS:
        raise StreamMissing(stream)
    if status == NOT_FOUND:
        return None
    return Latest(subject=subject, payload=message.data, headers=message.headers)


async def latest_of_each(connection: NatsConnection, stream: str, pattern: str) -> list[Latest]:
    """The latest message of every subject under `pattern`. Raises StreamMissing, BusUnavailable."""
    found = await _latest_of(connection, stream, [pattern])
    if found is not None:
        return found
    everything: list[Latest] = []
    listing = await connection.api(f"STREAM.INFO.{stream}", {"subjects_filter": pattern}, _SubjectList)
    subjects = sorted(listing.state.subjects or {})
    for start in range(0, len(subjects), MOST_SUBJECTS):
        everything += await _latest_of(connection, stream, subjects[start : start + MOST_SUBJECTS]) or []
    return everything


async def _latest_of(connection: NatsConnection, stream: str, patterns: Sequence[str]) -> list[Latest] | None:
    """None when there are too many for one answer."""
    request = msgspec.json.encode({"multi_last": list(patterns)})
    answer = await read_batch(connection, stream, request)
    if answer is None:
        return None
    return [
        Latest(subject=message.headers.get("Nats-Subject", ""), payload=message.data, headers=message.headers)
        for message in answer
    ]


async def read_batch(connection: NatsConnection, stream: str, request: bytes) -> list[Arrived] | None:
    """Every message of a direct answer, up to its end mark. None when the broker finds too many.

    Raises StreamMissing, BusUnavailable.
    """
    collected: list[Arrived] = []
    end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def take(message: Arrived) -> None:
        status = _status_of(message)
        if status is None:
            collected.append(message)
        elif not end.done():
            end.set_result(status)

    inbox = connection.new_inbox()
    subscription = await connection.subscribe(inbox, take)
    try:
        await connection.send(f"$JS.API.DIRECT.GET.{stream}", request, reply=inbox)
        async with asyncio.timeout(connection.reply_limit_seconds):
            status = await end
    except TimeoutError as late:
        raise BusUnavailable(f"the stream {stream} does not answer: {connection.trouble or 'no reply'}") from late
    finally:
        await connection.unsubscribe(subscription)
    if status == NO_RESPONDERS:
        raise StreamMissing(stream)
    if status == TOO_MANY:
        return None
    if status not in (END_OF_BATCH, NOT_FOUND):
        raise BusUnavailable(f"the stream {stream} answers a direct read with status {status}")
    return collected


def _status_of(message: Arrived) -> str | None:
    """None for a stored message, which may call itself a status, too."""
    return None if SEQUENCE in message.headers else message.status
