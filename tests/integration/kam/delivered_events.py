"""Deliveries of events in the order, and as often, as a test likes."""

from collections.abc import Mapping

import msgspec

from aif_contracts.events import ExecutionEvent


class Delivered:
    """A delivery that is good, however late or repeated it is."""

    subject = "aif.event.alice.execution.event"
    num_delivered = 2
    stream_sequence = 1

    def __init__(self, *events: ExecutionEvent) -> None:
        self.payload = msgspec.json.encode(events)
        self.headers: Mapping[str, str] = {}

    async def ack(self) -> None:
        return None

    async def retry_later(self, delay_seconds: float) -> None:
        raise AssertionError("a late event is good")

    async def discard(self) -> None:
        raise AssertionError("a late event is good")

    async def still_working(self) -> None:
        return None
