"""What keeps the file of a work queue that is emptied again and again.

JetStream's file store begins a new file whenever the last message of its newest one is removed. A work queue that is drained
faster than it fills would make and delete a file for nearly every message, which costs more than the message. One message that
no consumer asks for keeps the file; it is renewed now and then, because queues fill one file after the other.
"""

import time
from collections.abc import Callable

from aif_contracts import subjects
from aif_runtime.nats_connection import NatsConnection

RENEWED_AFTER_SECONDS = 1.0
RENEWED_AFTER_MESSAGES = 250
"""A file is held in the broker's memory, and on the disk, until its ballast goes."""
_IN_PLACE_OF_THE_LAST = {"Nats-Rollup": "sub"}


class Ballast:
    """Of one stream, kept by whoever takes messages out of it."""

    def __init__(self, connection: NatsConnection, stream: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._monotonic = monotonic
        self._subject = subjects.ballast(stream)
        self._renewed_at = float("-inf")
        self._taken = 0

    async def keep(self, taken: int) -> None:
        """Renew it if it is old, now that so many more messages were taken. Nothing is confirmed: without it all goes on, only
        slower. Raises BusUnavailable."""
        self._taken += taken
        now = self._monotonic()
        if self._taken >= RENEWED_AFTER_MESSAGES or now - self._renewed_at >= RENEWED_AFTER_SECONDS:
            self._taken, self._renewed_at = 0, now
            await self._connection.send(self._subject, headers=_IN_PLACE_OF_THE_LAST)
