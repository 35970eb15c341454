"""The bucket `aif_config` as one process knows it.

An entry is read when it is asked for and kept; a watch puts every change in its place at once. The watch can miss changes,
while the connection is away above all. So everything is read again when the connection is back, the factory's own configuration
every half minute, and any other entry when it was last read five minutes ago. What cannot be read keeps the value that it had:
the broker's silence is no order to fall back to anything.
"""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from aif_ai.configuration_complaints import Complaints
from aif_contracts import subjects
from aif_contracts.configuration import COMPLETE, SYSTEM, ConfigurationEntry
from aif_runtime.bus import Broadcasts, Bus, watched_key
from aif_runtime.failures import BusUnavailable

LONGEST_KEPT_SECONDS = 300.0
SYSTEM_KEPT_SECONDS = 30.0
READ_SECONDS = 2.0
"""A reader waits so long for an entry that it does not know yet."""
RETRY_SECONDS = 5.0
LISTEN_SECONDS = 1.0
"""How long the watch takes to see that the process ends."""
MOST_ENTRIES = 10_000

_logger = logging.getLogger(__name__)
_DECODER = msgspec.json.Decoder(ConfigurationEntry)
_NOTHING = ConfigurationEntry(revision=0)


class _Slot:
    def __init__(self) -> None:
        self.entry = _NOTHING
        self.is_known = False
        self.fresh_until = 0.0
        self.times_told = 0
        self.reading = asyncio.Lock()


class ConfigurationEntries:
    def __init__(
        self,
        *,
        bus: Bus,
        monotonic: Callable[[], float],
        complaints: Complaints,
        listen_seconds: float = LISTEN_SECONDS,
    ) -> None:
        self._bus = bus
        self._monotonic = monotonic
        self._complaints = complaints
        self._listen_seconds = listen_seconds
        self._slots: dict[str, _Slot] = {SYSTEM: _Slot()}
        self.is_watching = False
        self.was_away = False
        """The watch has seen that the connection is lost, and not yet that it is back."""

    @property
    def system(self) -> ConfigurationEntry:
        """The factory's own configuration, from memory. The same object as long as nothing has changed."""
        return self._slots[SYSTEM].entry

    async def entry(self, name: str) -> ConfigurationEntry:
        """From memory where that is fresh. Never raises: what cannot be read is as it was, or not set."""
        slot = self._slot(name)
        if self._monotonic() >= slot.fresh_until:
            async with slot.reading:
                if self._monotonic() >= slot.fresh_until:
                    await self._read(name, slot)
        return slot.entry

    async def refresh_system(self) -> None:
        """Read the factory's own configuration, before the first generation for example."""
        slot = self._slots[SYSTEM]
        async with slot.reading:
            await self._read(SYSTEM, slot)

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the bucket until the process ends."""
        while not stop.is_set():
            try:
                async with self._bus.watch(subjects.BUCKET_CONFIG) as changes:
                    await self._follow(changes, stop)
            except BusUnavailable as away:
                self.is_watching = False
                _logger.warning("configuration_unwatched", extra={"reason": str(away)})
                await asyncio.sleep(self._listen_seconds)

    async def _follow(self, changes: Broadcasts, stop: asyncio.Event) -> None:
        self._distrust_all()
        self.is_watching, self.was_away = True, False
        while not stop.is_set():
            if self._monotonic() >= self._slots[SYSTEM].fresh_until:
                await self.refresh_system()
            change = await changes.next(self._listen_seconds)
            if change is not None:
                self._take(watched_key(change), change.payload)
            if self._bus.is_connected and self.was_away:
                self._distrust_all()
            self.was_away = not self._bus.is_connected
            await self._complaints.send(self._bus)

    def _take(self, name: str, payload: bytes) -> None:
        """What the watch tells of an entry."""
        slot = self._slots.get(name)
        if slot is None:
            return
        slot.times_told += 1
        if not payload:
            # Gone from the bucket, which may mean that it is not set any more, or that the bucket was emptied.
            slot.fresh_until = 0.0
            return
        told = self._decoded(name, payload)
        if told is not None and told.revision >= slot.entry.revision:
            self._keep(name, slot, told)

    async def _read(self, name: str, slot: _Slot) -> None:
        told_before = slot.times_told
        try:
            async with asyncio.timeout(READ_SECONDS):
                payload = await self._bus.entry(subjects.BUCKET_CONFIG, name)
                is_lost = payload is None and slot.is_known and await self._is_incomplete()
        except (BusUnavailable, TimeoutError) as away:
            reason = str(away) or f"no answer within {READ_SECONDS:g} s"
            _logger.warning("configuration_unread", extra={"entry": name, "reason": reason})
            slot.fresh_until = self._monotonic() + RETRY_SECONDS
            return
        if is_lost:
            slot.fresh_until = self._monotonic() + RETRY_SECONDS
            return
        found = _NOTHING if payload is None else self._decoded(name, payload)
        # The watch may have told of something newer meanwhile.
        if found is not None and (slot.times_told == told_before or found.revision >= slot.entry.revision):
            self._keep(name, slot, found)
        slot.fresh_until = self._monotonic() + _kept_seconds(name)

    async def _is_incomplete(self) -> bool:
        """Whether the bucket has lost entries, which the gateway is about to write again."""
        return await self._bus.entry(subjects.BUCKET_CONFIG, COMPLETE) is None

    def _keep(self, name: str, slot: _Slot, entry: ConfigurationEntry) -> None:
        if entry != slot.entry:
            slot.entry = entry
        slot.is_known = True
        slot.fresh_until = self._monotonic() + _kept_seconds(name)

    def _decoded(self, name: str, payload: bytes) -> ConfigurationEntry | None:
        try:
            return _DECODER.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
            self._complaints.note(name, 0, "", str(wrong))
            return None

    def _distrust_all(self) -> None:
        for slot in self._slots.values():
            slot.fresh_until = 0.0

    def _slot(self, name: str) -> _Slot:
        """The last one asked for stands at the end; the one that nobody asked for longest goes first."""
        slot = self._slots.pop(name, None) or _Slot()
        self._slots[name] = slot
        if len(self._slots) > MOST_ENTRIES:
            del self._slots[next(each for each in self._slots if each != SYSTEM)]
        return slot


def _kept_seconds(name: str) -> float:
    return SYSTEM_KEPT_SECONDS if name == SYSTEM else LONGEST_KEPT_SECONDS
