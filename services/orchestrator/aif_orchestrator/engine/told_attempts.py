"""How ended attempts are told to the classifier: those of a batch together, in one message for each worker."""

from collections.abc import Sequence

import msgspec

from aif_contracts import subjects
from aif_contracts.performance import MOST_RECORDS, MOST_RECORDS_BYTES, PerformanceRecord
from aif_runtime.bundles import in_bundles, joined
from aif_runtime.bus import Outgoing

_encoder = msgspec.json.Encoder()


def performance_messages(records: Sequence[PerformanceRecord]) -> list[Outgoing]:
    """In no trace, because the records belong to many."""
    by_worker: dict[str, list[tuple[PerformanceRecord, bytes]]] = {}
    for record in records:
        by_worker.setdefault(record.worker_name, []).append((record, _encoder.encode(record)))
    return [
        _message(worker_name, bundle)
        for worker_name, own in by_worker.items()
        for bundle in in_bundles(own, most_bytes=MOST_RECORDS_BYTES, most=MOST_RECORDS)
    ]


def _message(worker_name: str, bundle: Sequence[tuple[PerformanceRecord, bytes]]) -> Outgoing:
    first, _ = bundle[0]
    return Outgoing(
        subject=subjects.performance(worker_name),
        payload=joined(bundle),
        # A record is committed once, so no other message begins with this one.
        message_id=f"{first.execution_id}.{first.stage_id}.{first.attempt}.performance",
    )
