"""The journal of executions: each commit adds what it has changed, and nothing is written twice.

An entry holds the stages that have changed, and what else has. Every so often, and when stages were added or put in another
order, one holds the whole state instead, so that few entries make up an execution however long it runs.
"""

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict, fields, replace

from aif_contracts.events import FINAL_EVENT_TYPES, ExecutionEvent
from aif_orchestrator.execution.commands import EmitEvent
from aif_orchestrator.execution.state import Execution, StageRun

WHOLE_EVERY = 32

_OTHER_FIELDS = tuple(each.name for each in fields(Execution) if each.name != "stages")
_others_of = attrgetter(*_OTHER_FIELDS)
_Change = msgspec.defstruct(
    "_Change",
    [
        ("stages", dict[str, StageRun]),
        *((each.name, each.type | UnsetType, UNSET) for each in fields(Execution) if each.name != "stages"),
    ],
)
"""The stages that have changed, and what else has."""

_encoder = msgspec.msgpack.Encoder()
_EVENT = msgspec.json.Encoder()
_STATE = msgspec.msgpack.Decoder(Execution)
_CHANGE = msgspec.msgpack.Decoder(_Change)


class Versioned(Struct, frozen=True, kw_only=True):
    """An execution as it is stored."""

    version: int
    """1, and one more for each entry of the journal: a commit takes the next one, which can be had once."""
    execution: Execution
    wake_at: int | None
    """When it is looked at if nothing happens before, as stored."""


class Revision(Struct, frozen=True, kw_only=True):
    """What a batch makes of one execution."""

    before: Versioned | None
    after: Versioned
    events: Sequence[EmitEvent]

    @property
    def is_relisted(self) -> bool:
        """Whether what lists and the sweeper look at has changed. What has ended is looked at again each time: it may have been
        deleted meanwhile."""
        if self.before is None:
            return False
        old, new = self.before.execution, self.after.execution
        return old.status is not new.status or self.before.wake_at != self.after.wake_at or old.is_final or new.is_final


class Entry(Struct, frozen=True):
    """One row. A leg has rows of its own, so that a constraint can hold that each leg has one end."""

    execution_id: str
    version: int
    leg: int
    is_final: bool
    """Whether the last of its events ends the leg."""
    told: Sequence[tuple[ExecutionEvent, bytes]]
    """Its events, each with its JSON as it is stored and told."""
    is_whole: bool
    change: bytes | None
    """In the last row of a version."""


def revised(before: Versioned | None, execution: Execution, wake_at: int | None, events: Sequence[EmitEvent]) -> Revision:
    version = 1 if before is None else before.version + 1
    return Revision(before=before, after=Versioned(version=version, execution=execution, wake_at=wake_at), events=events)


def entries_of(revision: Revision) -> list[Entry]:
    after = revision.after
    legs = [(leg, [each.event for each in of_leg]) for leg, of_leg in groupby(revision.events, key=lambda each: each.leg)]
    is_whole, change = packed_change(revision.before, after)
    *earlier, (leg, last) = legs or [(after.execution.leg, [])]
    rows = [_entry(after, earlier_leg, events, is_whole=False, change=None) for earlier_leg, events in earlier]
    return [*rows, _entry(after, leg, last, is_whole=is_whole, change=change)]


def _entry(after: Versioned, leg: int, events: Sequence[ExecutionEvent], *, is_whole: bool, change: bytes | None) -> Entry:
    is_final = bool(events) and events[-1].data.__struct_config__.tag in FINAL_EVENT_TYPES
    told = [(event, _EVENT.encode(event)) for event in events]
    return Entry(after.execution.execution_id, after.version, leg, is_final, told, is_whole, change)


def packed_change(before: Versioned | None, after: Versioned) -> tuple[bool, bytes]:
    """Whether it is the whole state, and the bytes."""
    new = after.execution
    if before is None or after.version % WHOLE_EVERY == 0:
        return True, _encoder.encode(new)
    old = before.execution
    if list(old.stages) != list(new.stages):
        return True, _encoder.encode(new)
    # What a step leaves alone stays the same object.
    pairs = zip(_OTHER_FIELDS, _others_of(old), _others_of(new), strict=True)
    changed: dict[str, object] = {name: value for name, was, value in pairs if value is not was}
    changed["stages"] = {stage_id: run for stage_id, run in new.stages.items() if run is not old.stages[stage_id]}
    return False, _encoder.encode(changed)


def unpacked(changes: Sequence[bytes]) -> Execution:
    """The execution that a whole state and the changes after it, in order, make up."""
    whole = _STATE.decode(changes[0])
    if len(changes) == 1:
        return whole
    newest: dict[str, object] = {}
    stages = dict(whole.stages)
    for change in map(_CHANGE.decode, changes[1:]):
        told = asdict(change)
        stages.update(told.pop("stages"))
        newest |= {name: value for name, value in told.items() if value is not UNSET}
    return replace(whole, stages=stages, **newest)
