"""Events of an execution that goes on wait a moment for what follows them; those that end one wait for nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from aif_contracts import subjects
from aif_orchestrator.engine import gathering, told_events
from aif_orchestrator.engine.told_events import event_post, events_together
from aif_runtime.bus import Outgoing
from support.waiting import eventually

TRACE = {"traceparent": "of the order"}


def news(execution: int, sequence: int, kind: str = "STEP_STARTED", **changes: object) -> Outgoing:
    fields: dict[str, object] = {
        "subject": subjects.event("acme", f"exec_{execution}", kind),
        "payload": b'[{"sequence":%d}]' % sequence,
        "message_id": f"exec_{execution}:{sequence}",
        "headers": TRACE,
    }
    return Outgoing(**{**fields, **changes})  # type: ignore[arg-type]


class Rig:
    def __init__(self) -> None:
        self.post = event_post(self._publish)
        self.published: list[list[str | None]] = []
        self.stored: list[str | None] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def _publish(self, messages: Sequence[Outgoing]) -> None:
        self.published.append([message.message_id for message in messages])
        await self.gate.wait()

    def send(self, message: Outgoing) -> None:
        self.post.send(message, lambda: self.stored.append(message.message_id))

    async def publishes(self, *together: list[str]) -> None:
        await eventually(lambda: self.published == list(together), what=f"{together} are published")


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """Whose moments do not end by themselves."""
    monkeypatch.setattr(gathering, "GATHER_SECONDS", 60.0)
    rig = Rig()
    running = asyncio.create_task(rig.post.run())
    yield rig
    running.cancel()


async def test_what_ends_an_execution_takes_along_what_waits_of_it_and_nothing_else(rig: Rig) -> None:
    rig.send(news(1, 1))
    rig.send(news(2, 1))
    rig.send(news(1, 2))

    rig.send(news(1, 3, "WORKFLOW_COMPLETED"))

    await rig.publishes(["exec_1:1..exec_1:3"])
    await eventually(lambda: rig.stored == ["exec_1:1", "exec_1:2", "exec_1:3"], what="all of it counts as stored")


async def test_what_goes_on_is_told_after_a_moment(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "GATHER_SECONDS", 0.01)

    rig.send(news(1, 1))
    rig.send(news(2, 1))
    rig.send(news(1, 2))

    await rig.publishes(["exec_1:1..exec_1:2", "exec_2:1"])


async def test_each_moment_begins_with_the_first_that_waits(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "GATHER_SECONDS", 0.01)
    rig.send(news(1, 1))
    await rig.publishes(["exec_1:1"])

    rig.send(news(1, 2))

    await rig.publishes(["exec_1:1"], ["exec_1:2"])


async def test_nothing_counts_as_stored_before_it_is(rig: Rig) -> None:
    rig.gate.clear()
    rig.send(news(1, 1, "WORKFLOW_FAILED"))
    await rig.publishes(["exec_1:1"])
    early = list(rig.stored)
    rig.send(news(2, 1, "WORKFLOW_FAILED"))

    rig.gate.set()

    await eventually(lambda: rig.stored == ["exec_1:1", "exec_2:1"], what="both are stored")
    assert early == []
    assert rig.published == [["exec_1:1"], ["exec_2:1"]]


async def test_in_a_hurry_nothing_waits(rig: Rig) -> None:
    rig.send(news(1, 1))

    rig.post.hurry()
    await rig.publishes(["exec_1:1"])
    rig.send(news(1, 2))

    await rig.publishes(["exec_1:1"], ["exec_1:2"])


async def test_a_hurry_with_nothing_to_tell_tells_nothing(rig: Rig) -> None:
    rig.post.hurry()
    rig.send(news(1, 1))

    await rig.publishes(["exec_1:1"])


def test_what_is_told_together_is_one_array_under_the_last_ones_subject() -> None:
    [message] = events_together([news(1, 1), news(1, 2), news(1, 3, "WORKFLOW_COMPLETED")])

    assert message == Outgoing(
        subject="aif.event.acme.exec_1.workflow_completed",
        payload=b'[{"sequence":1},{"sequence":2},{"sequence":3}]',
        message_id="exec_1:1..exec_1:3",
        headers=TRACE,
    )


def test_one_alone_stays_as_it_was_committed() -> None:
    assert events_together([news(1, 1)]) == [news(1, 1)]


def test_events_of_two_traces_are_told_apart() -> None:
    second_leg = news(1, 2, headers={"traceparent": "of another leg"})

    assert events_together([news(1, 1), second_leg]) == [news(1, 1), second_leg]


def test_a_message_holds_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told_events, "MOST_EVENTS_BYTES", 2 * len(b'{"sequence":1}'))

    messages = events_together([news(1, 1), news(1, 2), news(1, 3)])

    assert [message.message_id for message in messages] == ["exec_1:1..exec_1:2", "exec_1:3"]
