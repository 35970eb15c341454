"""What a text reads of a stage: its output as the worker gave it, and beside it what is known about the stage."""

from typing import Any

import msgspec
import pytest

from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_pipelines.definition import RetryStage
from support.execution_story import Story, inline, pipeline, stage, stored

OWN_NAMES = {"tokens": ["a", "b"], "cost_usd": "free", "quality_score": 0.9, "element_count": None, "title": "Tea"}


def input_after(output: BlobRef, template: Any, **figures: Any) -> Any:
    """What the second stage gets of the first one's output."""
    story = Story(pipeline(stage("first"), stage("second", input=template)))
    story.made("first", output=output, **figures)
    return msgspec.json.decode(story.last_packet("second").data_ref.inline or b"")


@pytest.mark.parametrize("output", [{"title": "Tea"}, OWN_NAMES, ["a", {"b": 1}], "text", 7, None, {}])
def test_a_whole_output_is_handed_on_as_it_is(output: Any) -> None:
    assert input_after(inline(output), {"all": "{{first}}"}) == {"all": output}


def test_a_stored_output_is_handed_on_whole_as_well() -> None:
    story = Story(pipeline(stage("first"), stage("second", input="{{first}}")))
    story.made("first", OWN_NAMES, output=stored())
    story.loads("second", first=OWN_NAMES)

    assert msgspec.json.decode(story.last_packet("second").data_ref.inline or b"") == OWN_NAMES


def test_figures_are_those_of_the_factory_whatever_the_output_calls_its_fields() -> None:
    figures = {
        "q": "{{first.quality_score}}",
        "e": "{{first.element_count}}",
        "t": "{{first.tokens}}",
        "c": "{{first.cost_usd}}",
    }

    assert input_after(inline(OWN_NAMES), figures, quality=0.5, elements=3) == {"q": 0.5, "e": 3, "t": 0, "c": "0"}


@pytest.mark.parametrize("output", [["a", "b"], "text", 7])
def test_a_rule_reads_the_figures_of_a_stage_whose_output_is_no_object(output: Any) -> None:
    again = RetryStage(condition="{{first.quality_score}} < 0.7 and {{first.element_count}} == 2")
    story = Story(pipeline(stage("first", rules=(again,))))

    story.made("first", output, quality=0.5, elements=2)

    assert story.stage("first").status is StageStatus.QUEUED


def markdown() -> BlobRef:
    return BlobRef(
        storage_type=StorageType.INLINE,
        storage_key="output",
        size_bytes=5,
        sha256="0" * 64,
        media_type="text/markdown",
        inline=b"# Tea",
    )


def test_of_a_result_that_is_no_json_the_figures_can_be_read() -> None:
    assert input_after(markdown(), {"q": "{{first.quality_score}}", "all": "{{first?}}"}, quality=0.5) == {"q": 0.5}


def test_a_stage_that_needs_a_result_that_is_no_json_fails_and_says_so() -> None:
    story = Story(pipeline(stage("first"), stage("second", input={"all": "{{first}}"})))

    story.made("first", output=markdown())

    assert story.execution.status is ExecutionStatus.FAILED
    assert "first is missing" in story.stage("second").reason
