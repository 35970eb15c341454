"""What a language model is asked by the planner, and what becomes of its answers."""

from typing import Any

import pytest

from aif_contracts.audit import Severity
from aif_contracts.packets import Grant, PreviousAttempt
from aif_contracts.workflows import StepType
from aif_runtime.assignment import WorkFailure
from support.planner_rig import PlannerRig
from support.scripted_model import ScriptedModel

TASK = "Fetch the orders and mail them to the manager."


def answered(step_id: str, *upon: str, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "operation": f"Do {step_id}", "step_type": "api_call", "depends_on": list(upon), **more}


GOOD = {"pilot_steps": [answered("fetch"), answered("mail", "fetch", service="google-mail", instruction="To the manager.")]}


async def test_an_answer_becomes_a_workflow_with_what_it_took() -> None:
    rig = PlannerRig([ScriptedModel(GOOD)])

    outcome = await rig.run(description=TASK)

    workflow = outcome.output
    assert [(step.id, step.step_type, step.depends_on, step.service) for step in workflow.pilot_steps] == [
        ("fetch", StepType.API_CALL, (), None),
        ("mail", StepType.API_CALL, ("fetch",), "google-mail"),
    ]
    assert (workflow.generator_used, workflow.validation_passed, workflow.fallback_reason) == ("teacher-1", True, None)
    assert (workflow.tokens_used.input, workflow.tokens_used.output, workflow.tokens_used.total) == (10, 5, 15)
    assert (workflow.cost_usd, workflow.note) == ("0", "")
    assert workflow.generation_time_ms >= 0
    assert (outcome.provider, outcome.model, outcome.element_count) == ("scripted", "teacher-1", 2)


async def test_a_generation_is_audited_as_the_queries_over_the_log_read_it() -> None:
    rig = PlannerRig([ScriptedModel(GOOD)])

    workflow = await rig.made(description=TASK)

    assert rig.assignment.audited == [
        (
            "WORKFLOW_GENERATED",
            Severity.INFO,
            {
                "generator_used": "teacher-1",
                "steps_generated": 2,
                "tokens_used": {"input": 10, "output": 5, "total": 15},
                "cost_usd": "0",
                "generation_time_ms": workflow.generation_time_ms,
                "fallback_reason": None,
            },
        )
    ]


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ({"pilot_steps": []}, "pilot_steps"),
        ({"pilot_steps": [answered("a"), answered("a")]}, "the id a is given 2 times"),
        ({"pilot_steps": [answered("a", "b"), answered("b")]}, "step a depends on b, which comes after it"),
        ({"pilot_steps": [answered("a", step_type="loop")]}, "pilot_steps/0/step_type"),
        ({"pilot_steps": [answered("no id at all")]}, "pilot_steps/0/id"),
        ({"pilot_steps": [answered(f"s{n}") for n in range(51)]}, "pilot_steps"),
        ({"pilot_steps": [answered("a", service="fax")]}, "'fax', which is not connected: use google-mail"),
    ],
    ids=["empty", "same_id", "later", "kind", "id", "too_many", "service"],
)
async def test_what_breaks_the_schema_or_a_rule_goes_back_to_the_model_with_the_fault(broken: Any, told: str) -> None:
    model = ScriptedModel(broken, GOOD)
    rig = PlannerRig([model])

    workflow = await rig.made(description=TASK, connectedServices=["google-mail"])

    assert told in model.asked[1]
    assert len(workflow.pilot_steps) == 2
    assert workflow.tokens_used.total == 30


async def test_a_model_that_breaks_the_rules_three_times_makes_no_workflow_and_nothing_is_told_as_made() -> None:
    model = ScriptedModel({"pilot_steps": [answered("a", "z")]})
    rig = PlannerRig([model])

    with pytest.raises(WorkFailure) as failed:
        await rig.run(description=TASK)

    assert (failed.value.code, len(model.asked)) == ("malformed_output", 3)
    assert rig.assignment.audited == []


async def test_the_model_is_told_what_is_wanted() -> None:
    model = ScriptedModel({"pilot_steps": [answered("a", operation="send_mail")]})
    rig = PlannerRig([model])

    await rig.run(
        description=TASK, maxSteps=7, connectedServices=["google-mail", "slack"], allowedOperations=["send_mail", "read_sheet"]
    )

    (asked,) = model.asked
    assert "as 1 to 7 steps" in asked
    assert '`operation`: one of ["send_mail","read_sheet"], exactly as it stands here.' in asked
    assert '`service`: for an api_call that uses it, one of ["google-mail","slack"], exactly as it stands here.' in asked
    assert f"<description>\n{TASK}\n</description>" in asked


async def test_a_document_describes_as_well_as_words_do_and_is_fitted_to_the_budget() -> None:
    model = ScriptedModel(GOOD)
    rig = PlannerRig([model], budget_characters=2_000)
    text = " ".join(f"Then fetch order number {n} from the shop in the town." for n in range(200))

    await rig.run(source=await rig.stored(text))

    described = model.asked[0].split("<description>")[1]
    assert len(described) < 3_000
    assert "fetch order number" in described


async def test_what_was_wrong_with_the_attempt_before_is_told() -> None:
    model = ScriptedModel(GOOD)
    rig = PlannerRig([model])

    await rig.run(description=TASK, previous=PreviousAttempt(attempt=1, code="retry_rule", message="too few steps"))

    assert "too few steps" in model.asked[0]


async def test_a_grant_for_local_work_leaves_the_model_alone() -> None:
    model = ScriptedModel(GOOD)
    rig = PlannerRig([model])

    outcome = await rig.run(description=TASK, grant=Grant(models=()))

    assert model.asked == []
    assert (outcome.provider, outcome.output.generator_used, outcome.output.cost_usd) == (
        "local_workflow",
        "local-rules-1",
        "0",
    )
    assert outcome.output.note.startswith("Made by rules on this machine")
    assert outcome.output.tokens_used.total == 0


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "neither description nor source is given"),
        (
            {"description": "x", "source": {"storage_type": "KV", "storage_key": "k", "size_bytes": 1, "sha256": "0" * 64}},
            "both",
        ),
        ({"description": " \n"}, "description has no words"),
        ({"description": "x" * 200_001}, "description has more than 200,000 characters"),
        ({"description": TASK, "maxSteps": 51}, r"maxSteps"),
        ({"description": TASK, "connectedServices": [""]}, r"connectedServices"),
    ],
)
async def test_an_order_that_does_not_fit_is_refused_with_the_field(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(WorkFailure, match=told) as refused:
        await PlannerRig().run(**fields)

    assert (refused.value.code, refused.value.retryable) == ("invalid_input", False)


def test_the_worker_is_paid_where_there_is_a_language_model_alone() -> None:
    with_model, without = PlannerRig([ScriptedModel(GOOD)]).spec, PlannerRig().spec

    assert (with_model.worker_name, list(with_model.actions)) == ("workflow_generator", ["generate_workflow"])
    assert [spec.actions["generate_workflow"].paid for spec in (with_model, without)] == [True, False]
    assert with_model.capabilities == ("workflow_generation", "llm_generation")
    assert (without.capabilities, without.models) == (("workflow_generation",), ())
