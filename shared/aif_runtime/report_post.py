"""Sends the reports of a worker, those that are ready in the same moment as one message.

A worker with many slots ends many attempts at about the same time. What is ready in one turn of the event loop goes out
together. A single report waits for nobody.

A report on a packet that an orchestrator replica has offered is told to that replica, which answers when it has committed it.
If it does not, the report is stored like all the others, for any replica; what becomes ready while such a message is under way
goes out together after it.
"""

import asyncio
import hashlib
from collections.abc import Sequence

import msgspec

from aif_contracts import subjects
from aif_contracts.reports import APPLIED, MOST_BYTES_TOGETHER, MOST_TOGETHER, Report
from aif_runtime.bus import Bus, Outgoing
from aif_runtime.failures import BusUnavailable, NoAnswer

_encoder = msgspec.json.Encoder()


class _Letter:
    __slots__ = ("confirmed", "content")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class ReportPost:
    def __init__(self, *, bus: Bus, worker_name: str, answer_seconds: float) -> None:
        """`answer_seconds` is how long a replica may take to commit a report; it is stored then."""
        self._bus = bus
        self._worker_name = worker_name
        self._answer_seconds = answer_seconds
        self._to_store: list[_Letter] = []
        self._to_replicas: dict[str, list[_Letter]] = {}
        self._something_to_store = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        """Of what is being told, while `run` runs."""

    async def send(self, report: Report, *, replica: str | None = None) -> None:
        """Return when it is committed by `replica`, which offered the packet, or stored; `run` has to run.

        Raises BusUnavailable: it may be sent again, then.
        """
        letter = _Letter(_encoder.encode(report))
        if replica is None:
            self._store(letter)
        else:
            self._tell(replica, letter)
        await letter.confirmed

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for replica in self._to_replicas:
                group.create_task(self._tell_all(replica))
            try:
                await self._store_all()
            finally:
                self._group = None

    def _tell(self, replica: str, letter: _Letter) -> None:
        """The first letter of a turn of the event loop takes the others along."""
        if letters := self._to_replicas.get(replica):
            letters.append(letter)
            return
        self._to_replicas[replica] = [letter]
        if self._group is not None:
            self._group.create_task(self._tell_all(replica))

    async def _tell_all(self, replica: str) -> None:
        messages = _together(self._to_replicas.pop(replica))
        if len(messages) == 1:
            await self._ask(replica, messages[0])
        else:
            async with asyncio.TaskGroup() as group:
                for letters in messages:
                    group.create_task(self._ask(replica, letters))

    async def _store_all(self) -> None:
        while True:
            await self._something_to_store.wait()
            waiting = _together(self._to_store)
            if waiting:
                self._to_store = [letter for later in waiting[1:] for letter in later]
                await self._publish(waiting[0])
            else:
                self._to_store = []
                self._something_to_store.clear()

    async def _ask(self, replica: str, letters: Sequence[_Letter]) -> None:
        subject = subjects.direct_report(replica, self._worker_name)
        try:
            answer = await self._bus.ask(subject, _written(letters), wait_seconds=self._answer_seconds)
        except (NoAnswer, BusUnavailable, ValueError):
            # It may have been applied: then it does nothing when it is read again. What cannot be sent at all cannot be stored
            # either, and those who wait for it learn it there.
            answer = b""
        for letter in letters:
            if answer != APPLIED:
                self._store(letter)
            elif not letter.confirmed.done():
                letter.confirmed.set_result(None)

    def _store(self, letter: _Letter) -> None:
        self._to_store.append(letter)
        self._something_to_store.set()

    async def _publish(self, letters: Sequence[_Letter]) -> None:
        payload = _written(letters)
        subject = subjects.report(self._worker_name)
        try:
            await self._bus.publish([Outgoing(subject=subject, payload=payload, message_id=_id_of(payload))])
        except Exception as failure:  # noqa: BLE001 it belongs to those who wait for this
            for letter in letters:
                if not letter.confirmed.done():
                    letter.confirmed.set_exception(failure)
        else:
            for letter in letters:
                if not letter.confirmed.done():
                    letter.confirmed.set_result(None)


def _together(letters: Sequence[_Letter]) -> list[list[_Letter]]:
    """In messages, of as many as fit. Whoever has given up waiting wants nothing sent any more."""
    messages: list[list[_Letter]] = []
    size = 0
    for letter in letters:
        if letter.confirmed.done():
            continue
        size += len(letter.content)
        if not messages or len(messages[-1]) == MOST_TOGETHER or size > MOST_BYTES_TOGETHER:
            messages.append([])
            size = len(letter.content)
        messages[-1].append(letter)
    return messages


def _written(letters: Sequence[_Letter]) -> bytes:
    return b"[" + b",".join([letter.content for letter in letters]) + b"]"


def _id_of(payload: bytes) -> str:
    """The same for the same reports, and only for these: together with others they are another message."""
    return "reports." + hashlib.blake2b(payload, digest_size=16).hexdigest()
