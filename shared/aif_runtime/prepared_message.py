"""A message on its way into a stream."""

from collections.abc import Mapping

from msgspec import Struct


class Prepared(Struct, frozen=True, kw_only=True):
    """With the headers under which it may be sent any number of times."""

    subject: str
    payload: bytes
    headers: Mapping[str, str]
