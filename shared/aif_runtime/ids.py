"""Ids such as `exec_01JZ8W3R4K7M2N9P5Q6S8T0V1X`: a prefix that says what it names, 48 bits of time, 80 random bits.

Ids sort by the time they were minted at, to the millisecond. They sort lists for people; they decide nothing.
"""

import hashlib
import re
import secrets
from collections.abc import Callable

from aif_runtime.clock import Clock, SystemClock

NewId = Callable[[str], str]
"""Mints an id for a prefix: `new_id("exec")`."""

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(high + low for high in _CROCKFORD for low in _CROCKFORD)
_MINTED = re.compile(f"[a-z]+_([{_CROCKFORD}]{{10}})[{_CROCKFORD}]{{16}}")
_NO_TIME = "0" * 10


def id_mint(*, clock: Clock | None = None, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> NewId:
    """A minting function over a clock and a source of randomness."""
    now = (clock or SystemClock()).now

    def new_id(prefix: str) -> str:
        milliseconds = int(now().timestamp() * 1000)
        number = milliseconds << 80 | int.from_bytes(random_bytes(10), "big")
        return prefix + "_" + "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])

    return new_id


def derived_id(prefix: str, owner: str, source_id: str) -> str:
    """The id of what comes of an owner's `source_id`: the same whoever derives it, and however often.

    It has the time of `source_id`, if that was minted; else none, and sorts before all that have one. `owner` is one line.
    """
    digest = hashlib.sha256(f"{owner}\n{source_id}".encode()).digest()
    number = int.from_bytes(digest[:10], "big")
    minted = _MINTED.fullmatch(source_id)
    time = _NO_TIME if minted is None else minted[1]
    return prefix + "_" + time + "".join([_PAIRS[number >> shift & 1023] for shift in range(70, -1, -10)])
