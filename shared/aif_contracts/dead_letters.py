"""A message that could not be processed, kept with its bytes and the reason."""

from msgspec import Struct


class DeadLetter(Struct, frozen=True, kw_only=True):
    subject: str
    reason: str
    """What was wrong, for example `Invalid value 'nope' - at $.type`."""
    payload: bytes
    """The message as it came, base64 in JSON."""
    headers: dict[str, str]
    deliveries: int
    found_by: str
    """The service that gave up on it."""
