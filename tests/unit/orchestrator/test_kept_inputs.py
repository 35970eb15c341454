"""What an execution's state holds of its stages' inputs: nothing that can be made again."""

from typing import Any

import msgspec
import pytest

from aif_contracts.packets import WorkPacket
from aif_orchestrator.execution.happenings import PacketUntold
from aif_pipelines.definition import Retry
from support.execution_story import Story, pipeline, schema_of, stage, stored

SECOND = {"from": "{{first.text}}", "for": "{{params.reader}}"}


def begun(**changes: Any) -> Story:
    """Until the second of two stages is offered."""
    story = Story(
        pipeline(stage("first"), stage("second", **{"input": SECOND, **changes}), parameters=schema_of("reader")),
        parameters={"reader": "Ada"},
    )
    story.completes("first", story.granted("first"), {"text": "a short one"}, quality=0.5)
    return story


def input_of(packet: WorkPacket) -> Any:
    return msgspec.json.decode(packet.data_ref.inline or b"null")


def kept(story: Story) -> bytes | None:
    """The content of the second stage's input, as far as the state has it."""
    ref = story.stage("second").input_ref
    assert ref is not None
    return ref.inline


def sent_again(story: Story) -> WorkPacket:
    story.wakes()
    return story.last_packet("second")


def told_again(story: Story) -> WorkPacket:
    story.happens(PacketUntold(stage_id="second", packet_id=story.last_packet("second").packet_id))
    return story.last_packet("second")


def tried_again(story: Story) -> WorkPacket:
    story.fails("second", story.granted("second"), retryable=True)
    story.wakes()
    return story.last_packet("second")


@pytest.mark.parametrize("again", [sent_again, told_again, tried_again])
def test_an_input_made_of_parameters_and_outputs_is_not_kept_and_comes_out_the_same_again(again: Any) -> None:
    story = begun(retry=Retry(max_attempts=2))
    first = story.last_packet("second")

    assert kept(story) is None
    assert input_of(first) == {"from": "a short one", "for": "Ada"}
    assert again(story).data_ref == first.data_ref


@pytest.mark.parametrize(
    "reads",
    ["{{first.cost_usd}}", "{{first.quality_score}}", "{{execution.cost_usd}}", "{{budget.remaining_usd}}"],
)
def test_an_input_with_figures_is_kept_because_they_may_change(reads: str) -> None:
    story = begun(input={"from": reads}, retry=Retry(max_attempts=2), depends_on=("first",))
    first = story.last_packet("second")

    assert kept(story) == first.data_ref.inline
    assert tried_again(story).data_ref == first.data_ref


def test_the_whole_output_of_a_stage_is_not_kept_twice() -> None:
    story = begun(input="{{first}}")
    first = story.last_packet("second")

    assert kept(story) is None
    assert told_again(story).data_ref == first.data_ref


def test_an_input_from_an_output_that_had_to_be_read_is_kept() -> None:
    story = Story(pipeline(stage("first"), stage("second", input={"from": "{{first.text}}"})))
    story.completes("first", story.granted("first"), {"text": "long"}, output=stored())
    story.loads("second", first={"text": "long"})

    assert kept(story) == story.last_packet("second").data_ref.inline
    assert input_of(told_again(story)) == {"from": "long"}


def test_a_condition_on_figures_does_not_keep_the_input() -> None:
    story = begun(when="{{first.quality_score}} < 0.7 and {{execution.cost_usd}} < 1")
    first = story.last_packet("second")

    assert kept(story) is None
    assert told_again(story).data_ref == first.data_ref
