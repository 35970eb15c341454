"""Packets, reports and calls that were damaged on purpose, each with the knowledge of whether it can still be read."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from aif_contracts import subjects
from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.metering import CallOutcome, Metrics, ProviderCall, Purpose
from aif_contracts.packets import Context, Control, Priority, WorkPacket
from aif_contracts.reports import Completed, Report
from aif_runtime.decoding import decode
from aif_runtime.failures import MalformedMessage
from faults.billed_worker import WORKER

NESTED = 100_000

_PACKET = msgspec.json.Decoder(WorkPacket)
_REPORTS = msgspec.json.Decoder(list[Report])
_CALL = msgspec.json.Decoder(ProviderCall)


class Fuzzed(Struct, frozen=True, kw_only=True):
    subject: str
    payload: bytes
    is_poison: bool
    """Nobody can read it, so it has to end among the dead letters."""


def fuzzed_messages(chance: random.Random, count: int) -> Iterator[Fuzzed]:
    """A third each of packets, reports and calls; none is about an execution that exists."""
    kinds = (_packet, _report, _call)
    for number in range(count):
        subject, message, decoder = kinds[number % len(kinds)](f"exec_fuzzed_{number}")
        payload = chance.choice(_DAMAGES)(chance, msgspec.json.encode(message))
        yield Fuzzed(subject=subject, payload=payload, is_poison=_is_poison(subject, payload, decoder))


def _is_poison(subject: str, payload: bytes, decoder: msgspec.json.Decoder[Any]) -> bool:
    try:
        message = decode(decoder, payload)
    except MalformedMessage:
        return True
    # Reports are published under the name of their worker, calls under that of their execution.
    if isinstance(message, list):
        return [report.worker_name for report in message] != [subjects.last_token(subject)]
    return isinstance(message, ProviderCall) and message.execution_id != subjects.last_token(subject)


def _packet(execution_id: str) -> tuple[str, Struct, msgspec.json.Decoder[Any]]:
    packet = WorkPacket(
        packet_id=f"{execution_id}.one.1",
        execution_id=execution_id,
        stage_id="one",
        attempt=0,
        worker_name=WORKER,
        action="digest",
        control=Control(timeout_ms=60_000),
        data_ref=_SOME_BLOB,
        grant=None,
        context=Context(client_id="nobody"),
    )
    return subjects.work(WORKER, Priority.NORMAL), packet, _PACKET


def _report(execution_id: str) -> tuple[str, list[Report], msgspec.json.Decoder[Any]]:
    report = Completed(
        packet_id=f"{execution_id}.one.1",
        execution_id=execution_id,
        stage_id="one",
        attempt=1,
        worker_name=WORKER,
        instance_id="nobody",
        output=_SOME_BLOB,
        metrics=Metrics(),
    )
    return subjects.report(WORKER), [report], _REPORTS


def _call(execution_id: str) -> tuple[str, Struct, msgspec.json.Decoder[Any]]:
    call = ProviderCall(
        call_key=f"{execution_id}.one.1.1",
        execution_id=execution_id,
        client_id="nobody",
        stage_id="one",
        attempt=1,
        worker_name=WORKER,
        provider="paper",
        model="digest",
        purpose=Purpose.FIRST_TRY,
        outcome=CallOutcome.ANSWERED,
        cost_usd="0.01",
    )
    return subjects.usage(execution_id), call, _CALL


def _cut_off(chance: random.Random, payload: bytes) -> bytes:
    return payload[: chance.randrange(len(payload))]


def _other_bytes(chance: random.Random, payload: bytes) -> bytes:
    damaged = bytearray(payload)
    for _ in range(chance.randint(1, 8)):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    return bytes(damaged)


def _without_a_field(chance: random.Random, payload: bytes) -> bytes:
    message = msgspec.json.decode(payload)
    fields = _fields_of(message)
    del fields[chance.choice(list(fields))]
    return msgspec.json.encode(message)


def _with_another_value(chance: random.Random, payload: bytes) -> bytes:
    message = msgspec.json.decode(payload)
    fields = _fields_of(message)
    fields[chance.choice(list(fields))] = chance.choice((None, True, -1, 1.5, 10**40, "", "x" * 10_000, [], {}, [[]], "1e999"))
    return msgspec.json.encode(message)


def _with_a_nul(chance: random.Random, payload: bytes) -> bytes:
    message = msgspec.json.decode(payload)
    _fields_of(message)["worker_name"] = "a\0b"
    return msgspec.json.encode(message)


def _fields_of(message: Any) -> dict[str, Any]:
    """Reports travel in a list."""
    fields: dict[str, Any] = message[0] if isinstance(message, list) else message
    return fields


def _nested(chance: random.Random, payload: bytes) -> bytes:
    return b"[" * NESTED


def _random_bytes(chance: random.Random, payload: bytes) -> bytes:
    return chance.randbytes(chance.randint(0, 2000))


def _whole(chance: random.Random, payload: bytes) -> bytes:
    return payload


_DAMAGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _cut_off,
    _other_bytes,
    _without_a_field,
    _with_another_value,
    _with_a_nul,
    _nested,
    _random_bytes,
    _whole,
)
_SOME_BLOB = BlobRef(
    storage_type=StorageType.INLINE,
    storage_key="data/fuzzed",
    size_bytes=13,
    sha256="4af0c8a8b1b37ed3be8c9fb6a4a0c6c7b4e5f1e0b5ad2cc6a7f8d9e0a1b2c3d4",
    inline=b'{"text":"no"}',
)
