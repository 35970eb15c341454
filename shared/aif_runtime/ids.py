"""Ids such as `exec_01JZ8W3R4K7M2N9P5Q6S8T0V1X`: a prefix that says what it names, 48 bits of time, 80 random bits.

Ids sort by the time they were minted at, to the millisecond. They sort lists for people; they decide nothing.
"""

import secrets
from collections.abc import Callable

from aif_runtime.clock import Clock, SystemClock

NewId = Callable[[str], str]
"""Mints an id for a prefix: `new_id("exec")`."""

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(high + low for high in _CROCKFORD for low in _CROCKFORD)


def id_mint(*, clock: Clock | None = None, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> NewId:
    """A minting function over a clock and a source of randomness."""
    now = (clock or SystemClock()).now

    def new_id(prefix: str) -> str:
        milliseconds = int(now().timestamp() * 1000)
        number = milliseconds << 80 | int.from_bytes(random_bytes(10), "big")
        return prefix + "_" + "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])

    return new_id
