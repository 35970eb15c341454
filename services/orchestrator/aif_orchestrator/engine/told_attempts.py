"""How ended attempts are told to the classifier: those of a batch together, in one message for each worker."""

from collections.abc import Iterable, Sequence

import msgspec

from aif_contracts import subjects
from aif_contracts.performance import MOST_RECORDS, MOST_RECORDS_BYTES, PerformanceRecord
from aif_runtime.bus import Outgoing

_Written = tuple[PerformanceRecord, bytes]

_encoder = msgspec.json.Encoder()


def performance_messages(records: Sequence[PerformanceRecord]) -> list[Outgoing]:
    """In no trace, because the records belong to many."""
    by_worker: dict[str, list[PerformanceRecord]] = {}
    for record in records:
        by_worker.setdefault(record.worker_name, []).append(record)
    return [_message(worker_name, group) for worker_name, own in by_worker.items() for group in _groups(own)]


def _groups(records: Iterable[PerformanceRecord]) -> list[list[_Written]]:
    """As many as a message may hold. A record too large for company goes alone."""
    groups: list[list[_Written]] = []
    room = 0
    for record in records:
        written = _encoder.encode(record)
        if not groups or len(groups[-1]) == MOST_RECORDS or len(written) > room:
            groups.append([])
            room = MOST_RECORDS_BYTES
        groups[-1].append((record, written))
        room -= len(written)
    return groups


def _message(worker_name: str, group: Sequence[_Written]) -> Outgoing:
    first, _ = group[0]
    return Outgoing(
        subject=subjects.performance(worker_name),
        payload=b"[" + b",".join([written for _, written in group]) + b"]",
        # A record is committed once, so no other message begins with this one.
        message_id=f"{first.execution_id}.{first.stage_id}.{first.attempt}.performance",
    )
