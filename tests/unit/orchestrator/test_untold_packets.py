"""Packets that were committed and perhaps never published, because their replica died in between."""

import pytest

from aif_contracts.packets import WorkPacket
from aif_orchestrator.execution.happenings import PacketUntold, PauseAsked
from support.execution_story import Story, pipeline, stage


def told_again(story: Story, packet: WorkPacket) -> list[WorkPacket]:
    """What is offered when somebody finds the packet untold; nothing else may come of it."""
    before = story.execution
    story.happens(PacketUntold(stage_id=packet.stage_id, packet_id=packet.packet_id))
    assert story.execution == before
    return story.packets()


@pytest.mark.parametrize("free", [True, False])
def test_the_same_packet_is_offered_once_more(free: bool) -> None:
    story = Story(pipeline(stage("one")), free=free)
    packet = story.last_packet("one")
    story.later(6_000)

    assert told_again(story, packet) == [packet]


def test_one_that_was_sent_again_meanwhile_is_offered_in_its_newest_form_alone() -> None:
    story = Story(pipeline(stage("one")), free=True)
    first = story.last_packet("one")
    story.wakes()
    second = story.last_packet("one")

    assert first.grant is not None
    assert second.grant is None
    assert told_again(story, first) == []
    assert told_again(story, second) == [second]


def test_what_a_worker_holds_or_has_done_is_not_offered() -> None:
    story = Story(pipeline(stage("one")))
    packet = story.last_packet("one")

    story.progress("one", story.granted("one"), 10)
    while_it_runs = told_again(story, packet)
    story.completes("one", 1)

    assert while_it_runs == []
    assert told_again(story, packet) == []


def test_nothing_is_offered_during_a_pause() -> None:
    story = Story(pipeline(stage("one")))
    packet = story.last_packet("one")
    story.happens(PauseAsked(reason="wait"))

    assert told_again(story, packet) == []


def test_a_packet_of_a_stage_that_nobody_knows_changes_nothing() -> None:
    story = Story(pipeline(stage("one")))
    unknown = PacketUntold(stage_id="two", packet_id="packet_1.two.1")

    story.happens(unknown)

    assert story.packets() == []
