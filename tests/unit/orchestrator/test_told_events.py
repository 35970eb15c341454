"""How the events of an entry of the journal travel: together, under the type of the last."""

import msgspec
import pytest

from aif_contracts.events import EventData, ExecutionEvent, ProgressUpdate, StepCompleted, WorkflowCompleted
from aif_orchestrator.execution.commands import EmitEvent
from aif_orchestrator.store.journal import Entry, Versioned, entries_of, revised
from aif_orchestrator.store.outbox import event_messages
from aif_runtime.bus import Outgoing
from support.execution_story import Story, pipeline, stage

_EVENTS = msgspec.json.Decoder(list[ExecutionEvent])
TRACE = {"traceparent": "00-abc"}


def messages_of(entry: Entry) -> list[Outgoing]:
    return event_messages(entry.told, TRACE)


def ended_execution() -> Entry:
    """What the report of the only stage has brought: the stage's end and the execution's."""
    story = Story(pipeline(stage("only")))
    before = Versioned(version=1, execution=story.execution, wake_at=None)
    story.made("only", {"made": "it"})
    events = [command for command in story.commands if isinstance(command, EmitEvent)]
    [entry] = entries_of(revised(before, story.execution, None, events))
    return entry


def entry_of(*data: EventData) -> Entry:
    """Events that have happened together."""
    like, _ = ended_execution().told[-1]
    events = [
        msgspec.structs.replace(like, id=f"exec_1:{number}", sequence=number, data=each) for number, each in enumerate(data, 1)
    ]
    return Entry("exec_1", 1, 1, False, [(event, msgspec.json.encode(event)) for event in events], True, None)


def test_the_events_of_an_entry_are_one_message_under_the_type_and_id_of_the_last() -> None:
    entry = ended_execution()

    [message] = messages_of(entry)

    told = _EVENTS.decode(message.payload)
    assert told == [event for event, _ in entry.told]
    assert isinstance(told[0].data, StepCompleted)
    assert isinstance(told[-1].data, WorkflowCompleted)
    assert message.subject == f"aif.event.{told[-1].client_id}.{told[-1].subject}.workflow_completed"
    assert message.message_id == told[-1].id
    assert message.headers == TRACE


@pytest.mark.parametrize(
    ("sizes", "spread"),
    [
        ((1, 1, 1), [[1, 2, 3]]),
        ((100_000, 100_000, 100_000, 1), [[1, 2], [3, 4]]),
        ((1, 300_000, 1), [[1], [2], [3]]),
    ],
)
def test_large_events_are_spread_over_messages_in_order_and_the_largest_goes_alone(
    sizes: tuple[int, ...], spread: list[list[int]]
) -> None:
    entry = entry_of(*(ProgressUpdate(progress_percent=1, message="x" * size) for size in sizes))

    messages = messages_of(entry)

    assert [[event.sequence for event in _EVENTS.decode(message.payload)] for message in messages] == spread
    assert [message.message_id for message in messages] == [f"exec_1:{numbers[-1]}" for numbers in spread]


def test_an_entry_without_events_tells_nothing() -> None:
    assert messages_of(entry_of()) == []
