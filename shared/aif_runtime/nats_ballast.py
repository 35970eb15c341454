"""What keeps the file of a work queue that is emptied again and again.

JetStream's file store begins a new file whenever the last message of its newest one is removed. A work queue that is drained
faster than it fills would make and delete a file for nearly every message, which costs more than the message. One message that
no consumer asks for keeps the file for a while; it is laid down anew now and then, because queues fill one file after another.
"""

import time
from collections.abc import Callable

from aif_contracts import subjects
from aif_runtime.nats_connection import NatsConnection

RENEWED_AFTER_SECONDS = 1.0
RENEWED_AFTER_MESSAGES = 250
"""A file is held in the broker's memory, and on the disk, until its ballast goes."""
KEPT_SECONDS = 3
"""Longer than until the next, so that a queue in use is never without one."""
_FOR_A_WHILE = {"Nats-TTL": f"{KEPT_SECONDS}s"}


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
            await self._connection.send(self._subject, headers=_FOR_A_WHILE)
