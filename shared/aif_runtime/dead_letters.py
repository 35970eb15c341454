"""Give up on a message without losing it."""

import hashlib

import msgspec

from aif_contracts import subjects
from aif_contracts.dead_letters import DeadLetter
from aif_runtime.bus import Bus, Delivery, Outgoing

KEPT_BYTES = 512 * 1024
"""Of a larger payload only the beginning is kept: in base64 the whole would not fit into a message, could not be stored, and
the poison would come again for ever."""
KEPT_REASON_CHARACTERS = 4000


async def bury(bus: Bus, delivery: Delivery, reason: str, found_by: str, origin: str) -> None:
    """Store the message with its reason among the dead letters, then discard it.

    `origin` names the stream it came from, in lower case. Raises BusUnavailable while the dead letter is not confirmed; the
    delivery is then left alone and comes again.
    """
    payload = delivery.payload
    if len(payload) > KEPT_BYTES:
        reason = f"{reason} (the first {KEPT_BYTES} of {len(payload)} bytes are kept)"
    letter = DeadLetter(
        subject=delivery.subject,
        reason=reason[-KEPT_REASON_CHARACTERS:],
        payload=payload[:KEPT_BYTES],
        headers=dict(delivery.headers),
        deliveries=delivery.num_delivered,
        found_by=found_by,
    )
    # The digest, because sequences begin anew when a stream was lost.
    digest = hashlib.sha256(payload).hexdigest()[:16]
    await bus.publish(
        [
            Outgoing(
                subject=subjects.dead(origin),
                payload=msgspec.json.encode(letter),
                message_id=f"dead.{origin}.{delivery.stream_sequence}.{digest}",
            )
        ]
    )
    await delivery.discard()
