"""Give up on a message without losing it, and without keeping the secrets in it."""

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from aif_contracts import subjects
from aif_contracts.dead_letters import DeadLetter
from aif_runtime.bus import Bus, Delivery, Outgoing
from aif_runtime.redaction import Redactor

KEPT_BYTES = 512 * 1024
"""Of a larger payload only the beginning is kept: in base64 the whole would not fit into a message, could not be stored, and
the poison would come again for ever."""
KEPT_HEADER_CHARACTERS = 16 * 1024
"""Headers beyond so many are left out, for the same reason."""
KEPT_REASON_CHARACTERS = 4000
MESSAGE_ID = "Nats-Msg-Id"
_REPLAY = "replay."


def bounded(letter: DeadLetter) -> DeadLetter:
    """The letter cut where it would be too large to be stored. It says how large the whole was."""
    size, reason = len(letter.payload), letter.reason
    if size > KEPT_BYTES:
        reason = f"{reason} (the first {KEPT_BYTES} of {size} bytes are kept)"
    return replace(
        letter,
        reason=reason[-KEPT_REASON_CHARACTERS:],
        payload=letter.payload[:KEPT_BYTES],
        headers=_bounded(letter.headers),
        whole_size_bytes=max(letter.whole_size_bytes or 0, size) if size > KEPT_BYTES else letter.whole_size_bytes,
    )


def without_secrets(letter: DeadLetter, redactor: Redactor) -> DeadLetter:
    """What is masked is not what was sent, so the letter tells that it is not the whole message, and nobody sends it again."""
    said = letter.payload.decode("utf-8", "surrogateescape")
    masked = redactor.text(said)
    letter = replace(letter, reason=redactor.text(letter.reason), headers=dict(redactor.value(letter.headers)))
    if masked == said:
        return letter
    return replace(
        letter,
        reason=f"{letter.reason} (a secret in it was masked)",
        payload=masked.encode("utf-8", "surrogateescape"),
        whole_size_bytes=max(letter.whole_size_bytes or 0, len(letter.payload), len(masked) + 1),
    )


async def bury(bus: Bus, delivery: Delivery, reason: str, found_by: str, origin: str, *, redactor: Redactor) -> None:
    """Store the message with its reason among the dead letters, masked by `redactor`, then discard it.

    `origin` names the stream it came from, in lower case; `AIF_` before it is left out. Raises BusUnavailable while the dead
    letter is not confirmed; the delivery is then left alone and comes again.
    """
    await bury_part(bus, delivery, delivery.payload, reason, found_by, origin, redactor=redactor)
    await delivery.discard()


async def bury_part(
    bus: Bus, delivery: Delivery, content: bytes, reason: str, found_by: str, origin: str, *, redactor: Redactor
) -> None:
    """As `bury`, of a message with several contents only one; the delivery is left in hand."""
    origin = origin.removeprefix("aif_")
    # Masked before it is cut: half a secret would not be known for one.
    whole = without_secrets(
        DeadLetter(
            subject=delivery.subject,
            payload=content,
            headers=dict(delivery.headers),
            reason=reason,
            deliveries=delivery.num_delivered,
            found_by=found_by,
        ),
        redactor,
    )
    letter = bounded(whole)
    # The digest, because sequences begin anew when a stream was lost.
    digest = hashlib.sha256(content).hexdigest()[:16]
    await bus.publish(
        [
            Outgoing(
                subject=subjects.dead(origin),
                payload=msgspec.json.encode(letter),
                message_id=f"dead.{origin}.{delivery.stream_sequence}.{digest}",
            )
        ]
    )


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
