"""Packets that were committed and perhaps never published, because their replica died in between."""

import pytest

from aif_contracts.metering import Metrics
from aif_contracts.packets import WorkPacket
from aif_orchestrator.execution.commands import DispatchPacket
from aif_orchestrator.execution.happenings import AttemptFailed, PacketUntold, PauseAsked, ResumeAsked, TimePassed
from support.execution_story import Story, pipeline, stage


def told_again(story: Story, packet: WorkPacket) -> list[WorkPacket]:
    """What is offered when somebody finds the packet untold; nothing else may come of it."""
    before = story.execution
    story.happens(PacketUntold(stage_id=packet.stage_id, packet_id=packet.packet_id))
    assert story.execution == before
    return story.packets()


def are_repeated(story: Story) -> list[bool]:
    """Of the packets that the last step has sent: whether somebody may have them already."""
    return [command.is_repeated for command in story.commands if isinstance(command, DispatchPacket)]


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


def test_what_is_found_untold_during_a_pause_is_offered_as_soon_as_that_ends() -> None:
    story = Story(pipeline(stage("one")))
    packet = story.last_packet("one")
    story.happens(PauseAsked(reason="wait"))

    story.happens(PacketUntold(stage_id="one", packet_id=packet.packet_id))
    offered_during_the_pause = story.packets()
    story.happens(ResumeAsked())
    story.happens(TimePassed())

    assert offered_during_the_pause == []
    assert [packet.packet_id for packet in story.packets()] == ["packet_1.one.2"]


def test_a_packet_of_a_stage_that_nobody_knows_changes_nothing() -> None:
    story = Story(pipeline(stage("one")))
    unknown = PacketUntold(stage_id="two", packet_id="packet_1.two.1")

    story.happens(unknown)

    assert story.packets() == []


@pytest.mark.parametrize("free", [True, False])
def test_a_packet_that_is_sent_once_more_counts_as_repeated_and_the_first_of_each_attempt_does_not(free: bool) -> None:
    story = Story(pipeline(stage("one")), free=free)
    first = are_repeated(story)

    told_again(story, story.last_packet("one"))
    untold = are_repeated(story)
    story.wakes()
    unclaimed = are_repeated(story)
    story.happens(
        AttemptFailed(
            stage_id="one",
            attempt=story.granted("one"),
            worker_name="maker",
            code="overloaded",
            message="try again",
            retryable=True,
            retry_after_ms=None,
            metrics=Metrics(),
        )
    )
    story.wakes()
    of_second_attempt = are_repeated(story)

    assert (first, untold, unclaimed, of_second_attempt) == ([False], [True], [True], [False])


def test_packets_of_later_stages_are_no_repetition() -> None:
    story = Story(pipeline(stage("one"), stage("two", input={"made": "{{one.made}}"})))

    story.made("one")

    assert story.last_packet("two").stage_id == "two"
    assert are_repeated(story) == [False]
