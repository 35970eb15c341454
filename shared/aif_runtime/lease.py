"""A delivery in our hands, for as long as the broker leaves it to us.

The broker gives a delivery that it has not heard of for `ack_wait` to another worker. A process that was frozen for longer and
thaws must then not touch it: its acknowledgement would delete the message from under the one who works on it now.
"""

from collections.abc import Callable

from aif_runtime.bus import Delivery


class Lease:
    __slots__ = ("_ack_wait_seconds", "_is_settled", "_monotonic", "_refreshed_at", "delivery", "replica")

    def __init__(
        self, delivery: Delivery, *, ack_wait_seconds: float, monotonic: Callable[[], float], replica: str | None = None
    ) -> None:
        """`replica` is the orchestrator that offered it, None for what was stored."""
        self.delivery = delivery
        self.replica = replica
        self._ack_wait_seconds = ack_wait_seconds
        self._monotonic = monotonic
        self._refreshed_at = monotonic()
        self._is_settled = False

    @property
    def is_lost(self) -> bool:
        """True once the broker may have given it to another; it never becomes ours again."""
        return self._monotonic() - self._refreshed_at > self._ack_wait_seconds

    async def keep(self) -> None:
        """Refresh it when a third of its time is over."""
        now = self._monotonic()
        age = now - self._refreshed_at
        if self._is_settled or age < self._ack_wait_seconds / 3 or age > self._ack_wait_seconds:
            return
        await self.delivery.still_working()
        self._refreshed_at = now

    async def ack(self) -> None:
        if self._may_settle():
            await self.delivery.ack()

    async def put_off(self, seconds: float) -> None:
        if self._may_settle():
            await self.delivery.retry_later(seconds)

    def _may_settle(self) -> bool:
        if self._is_settled or self.is_lost:
            return False
        self._is_settled = True
        return True
