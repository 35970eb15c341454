"""How ended attempts are told to the classifier: those of a batch together, and those of a moment, for each worker."""

from collections.abc import Sequence

import msgspec

from aif_contracts import subjects
from aif_contracts.performance import MOST_RECORDS, MOST_RECORDS_BYTES, PerformanceRecord
from aif_orchestrator.engine.gathering import Gathering, Publish
from aif_runtime.bundles import in_bundles, joined
from aif_runtime.bus import Outgoing

_encoder = msgspec.json.Encoder()
_RECORDS = msgspec.json.Decoder(list[msgspec.Raw])


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


def record_post(publish: Publish) -> Gathering:
    """Nobody waits for a record."""
    return Gathering(publish, company_of=lambda subject: subject, together=records_together, may_wait=lambda _: True)


def records_together(messages: Sequence[Outgoing]) -> Sequence[Outgoing]:
    """The same records, all of one worker, in as few messages as will hold them."""
    if len(messages) == 1:
        return messages
    records = [(message.message_id, bytes(record)) for message in messages for record in _RECORDS.decode(message.payload)]
    bundles = in_bundles(records, most_bytes=MOST_RECORDS_BYTES, most=MOST_RECORDS)
    return [
        # What is published again by another replica comes as it was committed: whoever reads it finds its records known.
        Outgoing(subject=messages[0].subject, payload=joined(bundle), message_id=f"{bundle[0][0]}.{number}.of.{len(records)}")
        for number, bundle in enumerate(bundles, 1)
    ]


def _message(worker_name: str, bundle: Sequence[tuple[PerformanceRecord, bytes]]) -> Outgoing:
    first, _ = bundle[0]
    return Outgoing(
        subject=subjects.performance(worker_name),
        payload=joined(bundle),
        # A record is committed once, so no other message begins with this one.
        message_id=f"{first.execution_id}.{first.stage_id}.{first.attempt}.performance",
    )
