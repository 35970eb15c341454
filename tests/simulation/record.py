"""The database: what is committed stays, and what must never be is refused, as the schema does."""

from collections.abc import Sequence
from typing import Any

import msgspec

from aif_contracts.events import FINAL_EVENT_TYPES, ExecutionEvent
from aif_contracts.metering import ProviderCall
from aif_contracts.performance import PerformanceRecord
from aif_orchestrator.engine.batch import Worked, attempts_of, calls_of
from aif_orchestrator.execution.state import Execution
from aif_runtime.bus import Outgoing

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Execution)


class ConstraintBroken(Exception):
    """The transaction is refused as a whole, now and whenever it is tried again."""


class Record:
    def __init__(self, *, in_stored_form: bool) -> None:
        self.executions: dict[str, Execution] = {}
        self.events: dict[str, list[ExecutionEvent]] = {}
        self.attempts: dict[tuple[str, str, int], PerformanceRecord] = {}
        self.calls: dict[str, ProviderCall] = {}
        self.outbox: dict[int, Sequence[Outgoing]] = {}
        self._in_stored_form = in_stored_form
        self._rows = 0

    def commit(self, worked: Sequence[Worked], messages: Sequence[Outgoing]) -> int | None:
        """All of a batch, or nothing and ConstraintBroken. Returns the outbox row."""
        ended = {(record.execution_id, record.stage_id, record.attempt): record for record in attempts_of(worked)}
        if len(ended) < len(attempts_of(worked)) or not self.attempts.keys().isdisjoint(ended):
            raise ConstraintBroken(f"an attempt ends a second time: {sorted(ended)}")
        for each in worked:
            self._check_events(each.execution_id, each.events)
        for each in worked:
            if each.execution is not None and each.execution is not each.before:
                self.executions[each.execution_id] = self._stored(each.execution)
            if each.events:
                self.events.setdefault(each.execution_id, []).extend(each.events)
        self.attempts.update(ended)
        for call in calls_of(worked):
            self.calls.setdefault(call.call_key, call)
        if not messages:
            return None
        self._rows += 1
        self.outbox[self._rows] = messages
        return self._rows

    def _check_events(self, execution_id: str, events: Sequence[ExecutionEvent]) -> None:
        known = self.events.get(execution_id, [])
        for number, event in enumerate(events, len(known) + 1):
            if event.sequence != number:
                raise ConstraintBroken(f"event {event.sequence} of {execution_id} comes where {number} should")
        if sum(1 for event in (*known, *events) if is_final_event(event)) > 1:
            raise ConstraintBroken(f"{execution_id} ends a second time")

    def _stored(self, execution: Execution) -> Execution:
        return _DECODER.decode(_ENCODER.encode(execution)) if self._in_stored_form else execution


def is_final_event(event: ExecutionEvent) -> bool:
    config: Any = event.data.__struct_config__
    return config.tag in FINAL_EVENT_TYPES
