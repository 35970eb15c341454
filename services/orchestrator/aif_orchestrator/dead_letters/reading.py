"""From a message of the dead letters' stream to the row that is kept of it.

Whatever the bytes are, there is a row: whoever found the poison may have sent poison, and it must end here. Secrets are not
kept: a message that holds one is kept without it, and cannot be sent again.
"""

import hashlib
import re
from base64 import b32encode
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from aif_contracts import subjects
from aif_contracts.dead_letters import DeadLetter
from aif_orchestrator.store.dead_letters import NewLetter
from aif_runtime.broker_rules import takes
from aif_runtime.bus import Delivery
from aif_runtime.dead_letters import MESSAGE_ID, bounded, without_secrets
from aif_runtime.decoding import decode
from aif_runtime.failures import MalformedMessage
from aif_runtime.redaction import Redactor

FOUND_BY = "orchestrator"
LONGEST_NAME = 200
LONGEST_SUBJECT = 4000
LARGEST_NUMBER = 2**31 - 1

_LETTER = msgspec.json.Decoder(DeadLetter)
_AN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def new_letter(delivery: Delivery, redactor: Redactor) -> NewLetter:
    """The row for one delivery; every delivery of the same message gives the same row."""
    # Again, because those who send letters may not keep to the rules, and each has to fit into an answer.
    letter = without_secrets(_letter_in(delivery), redactor)
    kept = bounded(letter)
    owner = owner_of(letter.subject, letter.payload)
    return NewLetter(
        dead_letter_id=_id_of(delivery),
        origin=_storable(subjects.last_token(delivery.subject).removeprefix("aif_"))[:LONGEST_NAME],
        subject=_storable(kept.subject)[:LONGEST_SUBJECT],
        reason=_storable(kept.reason),
        found_by=_storable(kept.found_by)[:LONGEST_NAME],
        deliveries=_bounded(kept.deliveries),
        headers=kept.headers,
        payload=kept.payload,
        size_bytes=_bounded(max(letter.whole_size_bytes or 0, len(letter.payload))),
        execution_id=owner.execution_id,
        client_id=owner.client_id,
    )


class Owner(Struct, frozen=True, kw_only=True):
    """Whose message it is, as far as it says; a damaged one may say nothing, or anything."""

    execution_id: str | None = None
    client_id: str | None = None


def owner_of(subject: str, payload: bytes) -> Owner:
    """What the subject says comes first: the broker's permissions stand behind it."""
    told = _owner_in_subject(subject)
    said = _owner_in_payload(payload)
    return Owner(execution_id=told.execution_id or said.execution_id, client_id=told.client_id or said.client_id)


def _letter_in(delivery: Delivery) -> DeadLetter:
    try:
        return _LETTER.decode(delivery.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        return DeadLetter(
            subject=delivery.subject,
            reason=f"this is no dead letter: {wrong}",
            payload=delivery.payload,
            headers=dict(delivery.headers),
            deliveries=delivery.num_delivered,
            found_by=FOUND_BY,
        )


def _id_of(delivery: Delivery) -> str:
    """The place in the stream and all that it says, because sequences begin anew when a stream was lost."""
    digest = hashlib.sha256(f"{delivery.stream_sequence} {delivery.subject} {delivery.headers.get(MESSAGE_ID)} ".encode())
    digest.update(delivery.payload)
    return "dead_" + b32encode(digest.digest()[:15]).decode().lower()


def _owner_in_subject(subject: str) -> Owner:
    tokens = subject.split(".")
    if takes(subjects.ALL_USAGE, subject):
        return _owner(tokens[-1:], ())
    if takes(subjects.ALL_REQUESTS, subject):
        return _owner((), tokens[-1:])
    if takes(subjects.ALL_EVENTS, subject):
        return _owner(tokens[3:4], tokens[2:3])
    return Owner()


def _owner_in_payload(payload: bytes) -> Owner:
    try:
        said = decode(_SAYS, payload)
    except MalformedMessage:
        return Owner()
    if isinstance(said, list):
        owners = {_owner_told(each) for each in said}
        return owners.pop() if len(owners) == 1 else Owner()
    return _owner_told(said)


def _owner_told(said: "_Says") -> Owner:
    context = said.context if isinstance(said.context, dict) else {}
    # Events are CloudEvents: their subject is the execution.
    return _owner((said.execution_id, said.subject), (said.client_id, context.get("client_id")))


class _Says(Struct, frozen=True):
    """Of any message, what may name its owner; of any type, because it may be damaged."""

    execution_id: Any = None
    client_id: Any = None
    subject: Any = None
    context: Any = None


_SAYS: msgspec.json.Decoder[_Says | list[_Says]] = msgspec.json.Decoder(_Says | list[_Says])
"""Reports and records come as arrays; what is buried of them is one, or several of nobody in particular."""


def _owner(executions: Sequence[object], clients: Sequence[object]) -> Owner:
    return Owner(execution_id=_first_id(executions), client_id=_first_id(clients))


def _first_id(candidates: Sequence[object]) -> str | None:
    return next((each for each in candidates if isinstance(each, str) and _AN_ID.fullmatch(each)), None)


def _bounded(number: int) -> int:
    return min(max(number, 0), LARGEST_NUMBER)


def _storable(text: str) -> str:
    """Postgres stores every character but one."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
