"""Messages that could not be processed: kept with their bytes and the reason, listed, looked at, sent again."""

import enum
from typing import Annotated

from msgspec import Meta, Struct


class DeadLetter(Struct, frozen=True, kw_only=True):
    """As it is published on `aif.dead.<origin>`."""

    subject: str
    reason: str
    """What was wrong, for example `Invalid value 'nope' - at $.type`."""
    payload: bytes
    """The message as it came, but for secrets that were masked; base64 in JSON."""
    headers: dict[str, str]
    deliveries: int
    found_by: str
    """The service that gave up on it."""
    whole_size_bytes: int | None = None
    """Of the message, when it is not here as it came: cut, because only the beginning fits, or masked. None when it is."""


class DeadLetterStatus(enum.StrEnum):
    WAITING = "waiting"
    """For a person."""
    REPLAYED = "replayed"
    DISMISSED = "dismissed"


class DeadLetterView(Struct, frozen=True, kw_only=True):
    dead_letter_id: str
    """`dead_…`"""
    origin: str
    """The stream that it came from: `requests`, `work`, `reports`, `usage`, `events`, `performance` or `audit`."""
    subject: str
    reason: str
    found_by: str
    found_at: str
    deliveries: int
    size_bytes: int
    """Of the whole message, also when only the beginning of it is kept."""
    status: DeadLetterStatus
    execution_id: str | None = None
    """None when the message does not say."""
    decided_at: str | None = None
    decided_by: str | None = None


class DeadLetterContent(Struct, frozen=True, kw_only=True):
    """One with its bytes."""

    dead_letter: DeadLetterView
    headers: dict[str, str]
    payload: bytes
    """Base64 in JSON."""


class ListDeadLetters(Struct, frozen=True, kw_only=True):
    """Newest first. Answered with DeadLetterPage."""

    status: DeadLetterStatus | None = None
    origin: str | None = None
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class DeadLetterPage(Struct, frozen=True, kw_only=True):
    dead_letters: tuple[DeadLetterView, ...]
    next_cursor: str | None
    """None on the last page."""


class GetDeadLetter(Struct, frozen=True, kw_only=True):
    """Answered with DeadLetterContent or Refusal."""

    dead_letter_id: str


class ReplayDeadLetter(Struct, frozen=True, kw_only=True):
    """Send the message again as it was. Answered with DeadLetterView or Refusal."""

    dead_letter_id: str
    decided_by: Annotated[str, Meta(min_length=1, max_length=200)]


class DismissDeadLetter(Struct, frozen=True, kw_only=True):
    """Nobody needs it any more. Answered with DeadLetterView or Refusal."""

    dead_letter_id: str
    decided_by: Annotated[str, Meta(min_length=1, max_length=200)]
