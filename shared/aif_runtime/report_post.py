"""Sends the reports of a worker, those that are ready in the same moment as one message.

A worker with many slots ends many attempts at about the same time. What is ready in one turn of the event loop goes out
together, and so does what becomes ready while a message is under way. A single report waits for nobody.
"""

import asyncio
import hashlib

import msgspec

from aif_contracts import subjects
from aif_contracts.reports import MOST_BYTES_TOGETHER, MOST_TOGETHER, Report
from aif_runtime.bus import Bus, Outgoing

_encoder = msgspec.json.Encoder()


class _Letter:
    __slots__ = ("confirmed", "content")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class ReportPost:
    def __init__(self, *, bus: Bus, worker_name: str) -> None:
        self._bus = bus
        self._subject = subjects.report(worker_name)
        self._waiting: list[_Letter] = []
        self._something = asyncio.Event()

    async def send(self, report: Report) -> None:
        """Return when the broker has confirmed it; `run` has to run. Raises BusUnavailable: it may be sent again, then."""
        letter = _Letter(_encoder.encode(report))
        self._waiting.append(letter)
        self._something.set()
        await letter.confirmed

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._something.wait()
            letters = self._next()
            if letters:
                await self._send(letters)
            else:
                self._something.clear()

    def _next(self) -> list[_Letter]:
        """As many as fit into a message. Whoever has given up waiting wants nothing sent any more."""
        waiting = [letter for letter in self._waiting if not letter.confirmed.done()]
        count, size = 0, 0
        for letter in waiting[:MOST_TOGETHER]:
            size += len(letter.content)
            if count and size > MOST_BYTES_TOGETHER:
                break
            count += 1
        self._waiting = waiting[count:]
        return waiting[:count]

    async def _send(self, letters: list[_Letter]) -> None:
        payload = b"[" + b",".join([letter.content for letter in letters]) + b"]"
        try:
            await self._bus.publish([Outgoing(subject=self._subject, payload=payload, message_id=_id_of(payload))])
        except Exception as failure:  # noqa: BLE001 it belongs to those who wait for this
            for letter in letters:
                if not letter.confirmed.done():
                    letter.confirmed.set_exception(failure)
        else:
            for letter in letters:
                if not letter.confirmed.done():
                    letter.confirmed.set_result(None)


def _id_of(payload: bytes) -> str:
    """The same for the same reports, and only for these: together with others they are another message."""
    return "reports." + hashlib.blake2b(payload, digest_size=16).hexdigest()
