"""Give up on a message without losing it."""

import hashlib
from collections.abc import Mapping

import msgspec

from aif_contracts import subjects
from aif_contracts.dead_letters import DeadLetter
from aif_runtime.bus import Bus, Delivery, Outgoing

KEPT_BYTES = 512 * 1024
"""Of a larger payload only the beginning is kept: in base64 the whole would not fit into a message, could not be stored, and
the poison would come again for ever."""
KEPT_HEADER_CHARACTERS = 16 * 1024
"""Headers beyond so many are left out, for the same reason."""
KEPT_REASON_CHARACTERS = 4000
MESSAGE_ID = "Nats-Msg-Id"
_REPLAY = "replay."


def dead_letter(
    *, subject: str, payload: bytes, headers: Mapping[str, str], reason: str, deliveries: int, found_by: str
) -> DeadLetter:
    """The letter for a message, cut where it would be too large to be stored. It says how large the whole was."""
    is_cut = len(payload) > KEPT_BYTES
    if is_cut:
        reason = f"{reason} (the first {KEPT_BYTES} of {len(payload)} bytes are kept)"
    return DeadLetter(
        subject=subject,
        reason=reason[-KEPT_REASON_CHARACTERS:],
        payload=payload[:KEPT_BYTES],
        headers=_bounded(headers),
        deliveries=deliveries,
        found_by=found_by,
        whole_size_bytes=len(payload) if is_cut else None,
    )


async def bury(bus: Bus, delivery: Delivery, reason: str, found_by: str, origin: str) -> None:
    """Store the message with its reason among the dead letters, then discard it.

    `origin` names the stream it came from, in lower case; `AIF_` before it is left out. Raises BusUnavailable while the dead
    letter is not confirmed; the delivery is then left alone and comes again.
    """
    origin = origin.removeprefix("aif_")
    letter = dead_letter(
        subject=delivery.subject,
        payload=delivery.payload,
        headers=delivery.headers,
        reason=reason,
        deliveries=delivery.num_delivered,
        found_by=found_by,
    )
    # The digest, because sequences begin anew when a stream was lost.
    digest = hashlib.sha256(delivery.payload).hexdigest()[:16]
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


def replay_id(dead_letter_id: str) -> str:
    """The message id under which a dead letter's message is sent again, however often that is tried."""
    return _REPLAY + dead_letter_id


def is_replay(headers: Mapping[str, str]) -> bool:
    """True for a message that was given up once: what was answered then is not the answer now."""
    return headers.get(MESSAGE_ID, "").startswith(_REPLAY)


def _bounded(headers: Mapping[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    room = KEPT_HEADER_CHARACTERS
    for name, value in headers.items():
        room -= len(name) + len(value)
        if room >= 0:
            kept[name] = value
    return kept
