"""The built-in pipeline `workflow_generation`: what is ordered, what is refused, and whose time it is."""

from typing import Any

import pytest

from aif_ai.call_policy import CallPolicy, share_of_time
from aif_pipelines.library import builtin_pipelines
from aif_pipelines.loading import dump_pipeline, load_pipeline
from aif_pipelines.parameters import check_parameters
from aif_pipelines.plan import Plan, compile_pipeline

SOURCE = {"storage_type": "KV", "storage_key": "s", "size_bytes": 3, "sha256": "0" * 64}


def plan() -> Plan:
    return compile_pipeline(next(pipeline for pipeline in builtin_pipelines() if pipeline.name == "workflow_generation"))


def test_it_is_one_stage_of_the_planner() -> None:
    pipeline = plan().pipeline

    (stage,) = pipeline.stages
    assert (stage.worker, stage.action) == ("workflow_generator", "generate_workflow")
    assert [(output.name, output.stage) for output in pipeline.outputs] == [("workflow", "generate")]
    assert load_pipeline(dump_pipeline(pipeline)) == pipeline


def test_a_first_model_that_says_nothing_has_thirty_seconds_and_the_other_one_as_many() -> None:
    timeout = plan().stages["generate"].stage.timeout_seconds

    assert share_of_time(CallPolicy(), timeout, others_follow=True) == 30
    assert share_of_time(CallPolicy(), timeout - 30, others_follow=False) == 30


def test_what_is_ordered_reaches_the_worker_by_its_name() -> None:
    order = {
        "description": "Process customer orders and send summary emails",
        "connectedServices": ["google-mail", "google-sheets"],
        "allowedOperations": ["send_mail"],
        "maxSteps": 12,
    }
    checked = check_parameters(plan().pipeline.parameters, order)

    assert checked.mistakes == ()
    assert plan().stages["generate"].input.resolve({"params": checked.values}) == order


@pytest.mark.parametrize(
    ("order", "path", "beginning"),
    [
        ({}, "parameters.description", "there is nothing to make it from"),
        ({"description": "x", "source": SOURCE}, "parameters.description", "description and source are both given"),
    ],
)
def test_an_order_without_a_task_or_with_two_is_refused(order: dict[str, Any], path: str, beginning: str) -> None:
    checked = check_parameters(plan().pipeline.parameters, order)

    (mistake,) = plan().refuse(checked.values, frozenset())

    assert (checked.mistakes, mistake.path) == ((), path)
    assert mistake.message.startswith(beginning)


@pytest.mark.parametrize("order", [{"description": "x"}, {"source": SOURCE}])
def test_no_model_is_needed(order: dict[str, Any]) -> None:
    checked = check_parameters(plan().pipeline.parameters, order)

    assert checked.values["maxSteps"] == 50
    assert plan().refuse(checked.values, frozenset()) == []


@pytest.mark.parametrize("wrong", [{"maxSteps": 51}, {"maxSteps": 0}, {"description": ""}, {"connectedServices": "slack"}])
def test_what_does_not_fit_is_refused_at_the_door(wrong: dict[str, Any]) -> None:
    (mistake,) = check_parameters(plan().pipeline.parameters, {"description": "x", **wrong}).mistakes

    assert mistake.path.endswith(next(iter(wrong)))
