"""What a workflow has to keep, and what a model is told when it does not."""

import pytest

from aif_contracts.workflows import PilotStep, StepType
from aif_planner.generation_order import GenerationOrder
from aif_planner.quality import of_workflow
from aif_planner.rules import complaints

ORDER = GenerationOrder(description="Fetch the orders and mail them")


def step(step_id: str, *upon: str, operation: str = "Fetch", service: str | None = None) -> PilotStep:
    return PilotStep(id=step_id, operation=operation, step_type=StepType.API_CALL, depends_on=upon, service=service)


def test_steps_upon_earlier_ones_keep_all_rules() -> None:
    assert complaints((step("a"), step("b", "a"), step("c", "a", "b")), ORDER) == ()


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ((), "there is no step: give 1 to 50"),
        ((step("a"), step("a")), "the id a is given 2 times: give every step an id of its own"),
        ((step("a", "a"),), "step a depends on itself"),
        ((step("a", "b"), step("b")), "step a depends on b, which comes after it: only earlier steps can be depended on"),
        ((step("a", "z"),), "step a depends on z, and there is no such step"),
        ((step("a", operation="  "),), "step a has a blank operation: say what it does"),
        (tuple(step(f"s{n}") for n in range(51)), "there are 51 steps, at most 50 are wanted"),
    ],
)
def test_each_rule_has_its_words(steps: tuple[PilotStep, ...], told: str) -> None:
    assert complaints(steps, ORDER) == (told,)


def test_what_the_order_allows_is_kept_to() -> None:
    order = GenerationOrder(
        description="x", max_steps=1, allowed_operations=("send_mail",), connected_services=("google-mail", "slack")
    )

    assert complaints(
        (step("a", operation="send_fax", service="fax"), step("b", operation="send_mail", service="slack")), order
    ) == (
        "there are 2 steps, at most 1 are wanted",
        "step a has the operation 'send_fax': use one of send_mail",
        "step a uses 'fax', which is not connected: use google-mail, slack",
    )


def test_a_model_is_told_at_most_eight_things_at_once() -> None:
    assert len(complaints(tuple(step(f"s{n}", "z") for n in range(20)), ORDER)) == 8


def test_the_quality_is_told_by_what_the_steps_cover_and_by_what_they_repeat() -> None:
    whole = (step("a", operation="Fetch the orders"), step("b", operation="Mail the totals"))

    assert of_workflow(whole, "Fetch the orders. Mail the totals.") == 1.0
    assert of_workflow(whole[:1], "Fetch the orders. Mail the totals.") == 0.75
    assert of_workflow((whole[0], whole[0]), "Fetch the orders.") < 1.0
