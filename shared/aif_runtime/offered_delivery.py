"""A packet that was offered to a worker, and taken: it was never stored, so there is little to settle."""

from collections.abc import Mapping

from aif_contracts import subjects
from aif_runtime.bus import Bus, Offer


class OfferedDelivery:
    """A delivery as `bus.py` promises it.

    Whoever offered it hears of it by its report, by its claim or by its first sign of life, and hands it out anew when there is
    none of them.
    """

    num_delivered = 1
    stream_sequence = 0

    __slots__ = ("_bus", "_offer")

    def __init__(self, bus: Bus, offer: Offer) -> None:
        self._bus = bus
        self._offer = offer

    @property
    def subject(self) -> str:
        return self._offer.subject

    @property
    def payload(self) -> bytes:
        return self._offer.payload

    @property
    def headers(self) -> Mapping[str, str]:
        return self._offer.headers

    @property
    def replica(self) -> str:
        """The orchestrator replica that offered it."""
        return subjects.replica_of(self._offer.refused_to)

    async def ack(self) -> None: ...

    async def retry_later(self, delay_seconds: float) -> None:
        """To be stored after all, where it can wait."""
        await self._bus.broadcast(self._offer.refused_to, b"")

    async def discard(self) -> None: ...

    async def still_working(self) -> None: ...
