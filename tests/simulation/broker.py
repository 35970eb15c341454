"""The broker: at least once, in any order, and sometimes nothing at all.

Stored messages wait in work queues. A message in somebody's hands comes again when it is neither acknowledged nor refreshed in
time, and its number of deliveries grows. An acknowledgement counts whoever sends it, also one that lost the message long ago.
"""

import enum
from collections.abc import Callable, Iterable
from typing import Any

from simulation.timeline import Timeline
from simulation.weather import Weather

ACK_WAIT_MS = 30_000
"""For packets."""
REPORT_ACK_WAIT_MS = 10_000
"""For reports and usage: what a dead replica had in hand has to come to another one well within an attempt's lease."""


class Queue(enum.StrEnum):
    WORK = "work"
    REPORTS = "reports"
    USAGE = "usage"


class Message:
    __slots__ = ("busy_until", "deliveries", "is_settled", "payload", "queue")

    def __init__(self, queue: Queue, payload: Any) -> None:
        self.queue = queue
        self.payload = payload
        self.deliveries = 0
        self.busy_until = 0
        self.is_settled = False

    @property
    def ack_wait_ms(self) -> int:
        return ACK_WAIT_MS if self.queue is Queue.WORK else REPORT_ACK_WAIT_MS


class Delivery:
    __slots__ = ("_broker", "_message", "number", "payload")

    def __init__(self, broker: "Broker", message: Message) -> None:
        self._broker = broker
        self._message = message
        self.number = message.deliveries
        self.payload = message.payload

    def ack(self) -> None:
        self._message.is_settled = True

    def still_working(self) -> None:
        self._message.busy_until = self._broker.timeline.now + self._message.ack_wait_ms

    def retry_later(self, delay_ms: int) -> None:
        if self._message.deliveries == self.number and not self._message.is_settled:
            self._message.busy_until = self._broker.timeline.now + delay_ms
            self._broker.timeline.after(delay_ms, self._broker.deliver, self._message)


Take = Callable[[Delivery], bool]
"""False when nobody is there to take it."""


class Broker:
    def __init__(self, timeline: Timeline, weather: Weather) -> None:
        self.timeline = timeline
        self.events: set[str] = set()
        """Ids of the events that were ever stored; their readers have seen them."""
        self.lost: list[Message] = []
        """What nobody had settled when the store was lost."""
        self._weather = weather
        self._takers: dict[Queue, Take] = {}
        self._known_ids: set[str] = set()
        self._stored: list[Message] = []
        self._past: list[Message] = []
        for moment in weather.wipes_at:
            timeline.after(moment, self._wipe)
        for moment in weather.forgets_at:
            timeline.after(moment, self._known_ids.clear)
        for moment in weather.replays_at:
            timeline.after(moment, self._replay)

    def consume(self, queue: Queue, take: Take) -> None:
        self._takers[queue] = take

    def publish(self, queue: Queue, payload: Any, message_id: str) -> None:
        self._store(queue, payload, message_id)
        if self.timeline.happens(self._weather.twice):
            self.timeline.after(self.timeline.between(10, 1_000), self._store, queue, payload, message_id)

    def publish_events(self, event_ids: Iterable[str]) -> None:
        self.events.update(event_ids)

    def undelivered(self) -> list[Message]:
        return [message for message in self._stored if not message.is_settled]

    def deliver(self, message: Message) -> None:
        """To somebody, unless it is settled or in somebody's hands."""
        if message.is_settled:
            return
        if self.timeline.now < message.busy_until:
            self.timeline.after(message.busy_until - self.timeline.now, self.deliver, message)
            return
        self._hand_over(message)

    def _store(self, queue: Queue, payload: Any, message_id: str) -> None:
        if message_id in self._known_ids:
            return
        self._known_ids.add(message_id)
        message = Message(queue, payload)
        self._stored.append(message)
        slow = self.timeline.happens(self._weather.slow)
        self.timeline.after(self.timeline.between(1, 60_000 if slow else 20), self.deliver, message)
        if self.timeline.happens(self._weather.twice):
            self.timeline.after(self.timeline.between(1, 40_000), self._hand_over, message)

    def _hand_over(self, message: Message) -> None:
        if message.is_settled:
            return
        message.deliveries += 1
        message.busy_until = self.timeline.now + message.ack_wait_ms
        if self._takers[message.queue](Delivery(self, message)):
            self.timeline.after(message.ack_wait_ms, self.deliver, message)
            return
        message.deliveries -= 1
        message.busy_until = 0
        self.timeline.after(self.timeline.between(200, 1_000), self.deliver, message)

    def _wipe(self) -> None:
        """The store is gone, with everything in it and all that it knew."""
        self.timeline.note("BROKER loses its store")
        self._past += self._stored
        self.lost += self.undelivered()
        for message in self._stored:
            message.is_settled = True
        self._stored = []
        self._known_ids.clear()

    def _replay(self) -> None:
        """Old messages come again, as a restored or rewound store brings them."""
        self.timeline.note("BROKER replays old messages")
        old = [*self._past, *self._stored]
        for message in self.timeline.chance.sample(old, min(8, len(old))):
            again = Message(message.queue, message.payload)
            self._stored.append(again)
            self.timeline.after(self.timeline.between(1, 5_000), self.deliver, again)
