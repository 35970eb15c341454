"""Store messages in JetStream: many at once, each confirmed, sent again under the same id until time is over.

A confirmation that does not come means nothing: the message may be stored. So every message gets an id before it is first
sent, and a repeated one is dropped by the stream's duplicate window.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from msgspec import Struct

from aif_runtime.bus import Outgoing
from aif_runtime.failures import BusUnavailable
from aif_runtime.nats_connection import NO_RESPONDERS, ApiError, NatsConnection, refusal_in
from aif_runtime.nats_fast_ingest import WORTH_A_BATCH, FastIngest
from aif_runtime.nats_gathering import Gathering, NotConfirmed
from aif_runtime.nats_wire import Arrived
from aif_runtime.prepared_message import Prepared

MESSAGE_ID = "Nats-Msg-Id"
UNCONFIRMED_MESSAGES = 512
UNCONFIRMED_BYTES = 4 * 1024 * 1024
"""Sent and not confirmed, for one call of `publish`: the broker's own queue in front of a stream is bounded, too."""
CONFIRMATION_LIMIT_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.8

STREAM_FULL = 10077
MESSAGE_TOO_LARGE = 10054
SILENCE_SECONDS = 30.0
"""For so long a stream that did not confirm is told of, unless it confirms again."""
PING_LIMIT_SECONDS = 0.5
HOPELESS = frozenset({STREAM_FULL, MESSAGE_TOO_LARGE, 10047, 10167})
"""Sending again soon does not help: the stream's or the account's storage is full, the message too large."""


EXPECT_UNUSED = {"Nats-Expected-Last-Subject-Sequence": "0"}
"""Header of a message that is to be the first of its subject."""
SUBJECT_IS_TAKEN = frozenset({10071, 10164})


class SubjectTaken(Exception):
    """Between the NATS adapters only: there is a message of this subject already."""


_logger = logging.getLogger(__name__)


class Unconfirmed(Struct, frozen=True, kw_only=True):
    message: Prepared
    error: ApiError | None = None
    """None when no answer came."""
    is_unheard: bool = False
    """True when no stream takes the subject."""


class _Silence(Struct, kw_only=True):
    """Nothing was confirmed although the connection was up."""

    at: float
    broker_hangs: bool = False
    """It did not answer a ping either."""


class _Window:
    """Messages under way together."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._open = 0
        self._all_settled = asyncio.Event()
        self._replies: list[str] = []
        self._failed: dict[int, Unconfirmed] = {}

    async def send(self, messages: Sequence[Prepared], limit_seconds: float) -> list[Unconfirmed]:
        """Those that were not confirmed, in their order."""
        if not messages:
            return []
        self._open = len(messages)
        self._failed = {index: Unconfirmed(message=message) for index, message in enumerate(messages)}
        try:
            async with asyncio.timeout(limit_seconds):
                self._replies = [self._connection.expect(self._taker(*each)) for each in enumerate(messages)]
                await self._connection.send_all(zip(self._replies, messages, strict=True))
                await self._all_settled.wait()
        except TimeoutError:
            pass
        finally:
            for reply in self._replies:
                self._connection.forget(reply)
        return list(self._failed.values())

    def _taker(self, index: int, message: Prepared) -> Callable[[Arrived | None], None]:
        def take(reply: Arrived | None) -> None:
            if reply is not None:
                self._judge(index, message, reply)
            self._open -= 1
            if self._open == 0:
                self._all_settled.set()

        return take

    def _judge(self, index: int, message: Prepared, reply: Arrived) -> None:
        if reply.status == NO_RESPONDERS:
            self._failed[index] = Unconfirmed(message=message, is_unheard=True)
            return
        error = refusal_in(reply.data)
        if error is None:
            del self._failed[index]
        else:
            self._failed[index] = Unconfirmed(message=message, error=error)


class Publisher:
    """Stores messages over one connection."""

    def __init__(
        self,
        connection: NatsConnection,
        heal: Callable[[float], Awaitable[None]],
        limit_seconds: float,
        batched_subjects: Iterable[str] = (),
    ) -> None:
        """`batched_subjects` are those of streams that take fast-ingest batches, each of a stream of its own."""
        self._connection = connection
        self._fast = FastIngest(connection)
        self._batched = frozenset(_family(subject) for subject in batched_subjects)
        self._heal = heal
        self._limit_seconds = limit_seconds
        self._gatherings = {family: Gathering(self.store) for family in self._batched}
        self._own_ids = connection.new_inbox().rpartition(".")[2]
        self._published = 0
        self._silent: dict[str, _Silence] = {}
        """By the beginnings of subjects."""

    @property
    def trouble(self) -> str | None:
        """What was not stored of late over a connection that is up. That the broker hung is over once it answers again."""
        since = time.monotonic() - SILENCE_SECONDS
        silent = {family: each for family, each in self._silent.items() if each.at > since}
        hung = [family for family, each in silent.items() if each.broker_hangs and each.at > self._connection.pong_at]
        if hung:
            return f"the broker does not answer: nothing is stored under {', '.join(hung)}"
        refused = [family for family, each in silent.items() if not each.broker_hangs]
        if refused:
            return f"nothing is stored under {', '.join(refused)}, though the broker answers: its disk may be full"
        return None

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Raises BusUnavailable when one is not confirmed in time."""
        prepared = [self._prepare(message) for message in messages]
        gathering = self._gathering_for(prepared)
        await (self.store(prepared) if gathering is None else gathering.publish(prepared))

    async def store(self, messages: list[Prepared]) -> None:
        """As `publish`, at once and under exactly the headers given.

        Raises NotConfirmed, and SubjectTaken where the headers demand an unused subject.
        """
        windows = _windows(messages)
        for number, window in enumerate(windows):
            try:
                await self._store_window(window)
            except BusUnavailable as failure:
                missed = failure.messages if isinstance(failure, NotConfirmed) else window
                unsent = [message for later in windows[number + 1 :] for message in later]
                raise NotConfirmed(str(failure), [*missed, *unsent]) from failure

    def _gathering_for(self, messages: list[Prepared]) -> Gathering | None:
        """Of the one stream that a few messages are for; None where they are many, or for several."""
        if not 0 < len(messages) < WORTH_A_BATCH:
            return None
        families = {_family(message.subject) for message in messages}
        return self._gatherings.get(families.pop()) if len(families) == 1 else None

    async def _store_window(self, messages: list[Prepared]) -> None:
        ends_at = time.monotonic() + self._limit_seconds
        pause_seconds = FIRST_PAUSE_SECONDS
        send = self._send_in_batches
        while True:
            await self._connection.until_up(ends_at - time.monotonic())
            sent_at = time.monotonic()
            remaining = ends_at - sent_at
            unconfirmed = await send(messages, min(remaining, CONFIRMATION_LIMIT_SECONDS))
            send = self._send_one_by_one
            if not unconfirmed:
                if self._silent:
                    for message in messages:
                        self._silent.pop(_family(message.subject), None)
                return
            first = unconfirmed[0]
            if first.error is not None and first.error.err_code in SUBJECT_IS_TAKEN:
                raise SubjectTaken(first.message.subject)
            is_hopeless = first.error is not None and first.error.err_code in HOPELESS
            # An attempt that cannot be answered in time would only blur the reason.
            if is_hopeless or time.monotonic() + 2 * pause_seconds >= ends_at:
                hangs = first.error is None and not first.is_unheard and await self._hangs(first.message)
                raise NotConfirmed(self._reason(unconfirmed, hangs=hangs), [one.message for one in unconfirmed])
            if first.is_unheard:
                await self._mend(sent_at)
            if self._connection.is_up:
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
            messages = [one.message for one in unconfirmed]

    async def _hangs(self, unconfirmed: Prepared) -> bool:
        """Note that nothing was confirmed although there is a connection. Whether the broker does not even answer a ping."""
        if not self._connection.is_up:
            return False
        noted = self._silent[_family(unconfirmed.subject)] = _Silence(at=time.monotonic())
        noted.broker_hangs = not await self._connection.is_answering(PING_LIMIT_SECONDS)
        return noted.broker_hangs

    async def _send_one_by_one(self, messages: Sequence[Prepared], limit_seconds: float) -> list[Unconfirmed]:
        return await _Window(self._connection).send(messages, limit_seconds)

    async def _send_in_batches(self, messages: Sequence[Prepared], limit_seconds: float) -> list[Unconfirmed]:
        """Batches where many messages go to one stream. Of a batch that fails nobody knows which message was stored."""
        batches, rest = self._batches_of(messages)
        if not batches:
            return await self._send_one_by_one(messages, limit_seconds)
        sent = await asyncio.gather(
            self._send_one_by_one(rest, limit_seconds), *(self._send_batch(batch, limit_seconds) for batch in batches)
        )
        return [unconfirmed for each in sent for unconfirmed in each]

    async def _send_batch(self, batch: Sequence[Prepared], limit_seconds: float) -> list[Unconfirmed]:
        try:
            async with asyncio.timeout(limit_seconds):
                if await self._fast.store(batch):
                    return []
        except TimeoutError:
            pass
        return [Unconfirmed(message=message) for message in batch]

    def _batches_of(self, messages: Sequence[Prepared]) -> tuple[list[list[Prepared]], list[Prepared]]:
        if len(messages) < WORTH_A_BATCH:
            return [], list(messages)
        families: dict[str, list[Prepared]] = {}
        beginning = "."
        of_family: list[Prepared] = []
        for message in messages:
            if not message.subject.startswith(beginning):
                family = _family(message.subject)
                beginning = f"{family}."
                of_family = families.setdefault(family, [])
            of_family.append(message)
        batches: list[list[Prepared]] = []
        rest: list[Prepared] = []
        for family, of_family in families.items():
            if len(of_family) >= WORTH_A_BATCH and family in self._batched:
                batches.append(of_family)
            else:
                rest += of_family
        return batches, rest

    async def _mend(self, noticed_at: float) -> None:
        """Declare the streams again. That this fails shows when the messages are sent again."""
        try:
            await self._heal(noticed_at)
        except BusUnavailable as failed:
            _logger.warning("topology_not_declared", extra={"reason": str(failed)})

    def _prepare(self, message: Outgoing) -> Prepared:
        message_id = message.message_id
        if message_id is None:
            # Ours alone, so that only our own repetitions are dropped.
            self._published += 1
            message_id = f"{self._own_ids}.{self._published}"
        return Prepared(
            subject=message.subject,
            payload=message.payload,
            headers={**message.headers, MESSAGE_ID: message_id},
        )

    def _reason(self, unconfirmed: list[Unconfirmed], *, hangs: bool) -> str:
        first = unconfirmed[0]
        count = f"{len(unconfirmed)} message(s), the first to {first.message.subject},"
        if first.error is not None:
            return f"{count} were refused: {first.error.description} ({first.error.err_code})"
        if first.is_unheard:
            return f"{count} were not stored: no stream takes the subject"
        trouble = self._connection.trouble or ("the broker does not answer" if hangs else None)
        return f"{count} were not confirmed within {self._limit_seconds:g} s and may be stored" + (
            f": {trouble}" if trouble else ""
        )


def _family(subject: str) -> str:
    """The first two tokens of a subject. Each stream of ours takes one family."""
    second = subject.find(".", subject.find(".") + 1)
    return subject if second < 0 else subject[:second]


def _windows(messages: list[Prepared]) -> list[list[Prepared]]:
    windows: list[list[Prepared]] = []
    window_bytes = 0
    for message in messages:
        size = len(message.payload)
        if not windows or len(windows[-1]) == UNCONFIRMED_MESSAGES or window_bytes + size > UNCONFIRMED_BYTES:
            windows.append([])
            window_bytes = 0
        windows[-1].append(message)
        window_bytes += size
    return windows
