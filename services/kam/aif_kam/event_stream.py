"""The events of one execution as they happen, without gaps, from any point on.

Live events are listened for before the stored ones are asked for, so nothing falls between. Every silence and every gap in
the numbers is answered by asking for the stored ones again; a broker that lost its messages delays events but hides none.
A resumed execution has final events in the middle, so whether one is the last is asked before the stream ends.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

import msgspec
import structlog
from msgspec import Struct

from aif_contracts import subjects
from aif_contracts.events import FINAL_EVENT_TYPES, ExecutionEvent
from aif_contracts.orders import EventPage
from aif_kam.failures import Refused, Unavailable
from aif_kam.orchestrator_client import OrchestratorClient
from aif_runtime.bus import Broadcasts, Bus
from aif_runtime.decoding import decode
from aif_runtime.failures import MalformedMessage

SILENCE_SECONDS = 15.0
AGAIN_SECONDS = 1.0
"""After a question that came to nothing, and twice as long after each further one, up to the time of a silence."""
LOOK_SECONDS = 0.5
"""How soon an idle stream notices that the process wants to end."""
_EVENTS = msgspec.json.Decoder(list[ExecutionEvent])
_log = structlog.get_logger()


class Drain(Protocol):
    """Tells when open streams have to end."""

    def is_set(self) -> bool: ...


class Heartbeat(Struct, frozen=True):
    """Nothing happened for a while."""


class Draining(Struct, frozen=True):
    """The server is about to end: connect again, with the last number seen."""


class EventStream:
    def __init__(
        self, *, bus: Bus, orchestrator: OrchestratorClient, drain: Drain, silence_seconds: float = SILENCE_SECONDS
    ) -> None:
        self._bus = bus
        self._orchestrator = orchestrator
        self._drain = drain
        self._silence_seconds = silence_seconds

    async def follow(
        self, execution_id: str, client_id: str, after: int
    ) -> AsyncGenerator[ExecutionEvent | Heartbeat | Draining, None]:
        """Events with a number above `after`, ending with the final one. Begins with a heartbeat when there are none yet."""
        last, has_ended = after, False
        again_seconds = AGAIN_SECONDS
        async with self._bus.listen(subjects.events_of_execution(client_id, execution_id)) as live:
            while True:
                page = await self._stored(execution_id, client_id, last)
                for event in page.events if page is not None else ():
                    yield event
                    last, has_ended = event.sequence, _is_final(event)
                # While nobody can say whether more follows, a final event is taken for the last: who resumes, connects again.
                if page.is_final if page is not None else has_ended:
                    return
                if page is not None and page.events:
                    continue
                yield Heartbeat()
                patience = self._silence_seconds if page is not None else min(again_seconds, self._silence_seconds)
                again_seconds = AGAIN_SECONDS if page is not None else 2 * patience
                async with aclosing(self._live(live, patience)) as happening:
                    async for event in happening:
                        if event.sequence <= last:
                            continue
                        if event.sequence > last + 1:
                            break
                        yield event
                        last, has_ended = event.sequence, _is_final(event)
                        if has_ended:
                            break
                if self._drain.is_set():
                    yield Draining()
                    return

    async def _stored(self, execution_id: str, client_id: str, after: int) -> EventPage | None:
        """None while nobody can say."""
        try:
            return await self._orchestrator.events(execution_id, client_id, after)
        except (Unavailable, Refused) as failure:
            # An execution that is just being submitted is not known there yet either.
            _log.info("events_not_available", execution_id=execution_id, code=failure.code)
            return None

    async def _live(self, live: Broadcasts, patience: float) -> AsyncGenerator[ExecutionEvent, None]:
        """Published events until there is silence for so many seconds or the process is to end."""
        quiet_seconds = 0.0
        while quiet_seconds < patience and not self._drain.is_set():
            look = min(LOOK_SECONDS, patience - quiet_seconds)
            message = await live.next(look)
            if message is None:
                quiet_seconds += look
                continue
            quiet_seconds = 0.0
            try:
                events = decode(_EVENTS, message.payload)
            except MalformedMessage as wrong:
                _log.warning("malformed_events", subject=message.subject, reason=str(wrong))
                continue
            for event in events:
                yield event


def event_type(event: ExecutionEvent) -> str:
    """As in the payload, for example `STEP_COMPLETED`."""
    return str(event.data.__struct_config__.tag)


def _is_final(event: ExecutionEvent) -> bool:
    return event_type(event) in FINAL_EVENT_TYPES
