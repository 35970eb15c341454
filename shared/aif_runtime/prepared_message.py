"""A message on its way into a stream."""

from msgspec import Struct


class Prepared(Struct, frozen=True, kw_only=True):
    """With the headers under which it may be sent any number of times."""

    subject: str
    payload: bytes
    headers: dict[str, str]
