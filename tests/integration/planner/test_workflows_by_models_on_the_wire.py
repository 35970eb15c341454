"""The planner over both official SDKs and a provider that misbehaves: who makes the workflow, why, and what it has cost."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
import pytest_asyncio

from aif_ai.anthropic_provider import AnthropicProvider
from aif_ai.model_switches import Switches
from aif_ai.openai_provider import OPENAI, OpenAiProvider
from aif_contracts.audit import Severity
from aif_contracts.metering import CallOutcome, Purpose
from aif_runtime.assignment import WorkFailure
from support.door_rig import SetSwitches
from support.planner_rig import PlannerRig
from support.provider_double.faults import FaultKind
from support.provider_double.server import ProviderDouble, provider_double

MINI, SONNET = "gpt-4o-mini", "claude-sonnet-5-5"
TASK = "Fetch the new orders, classify them by urgency, and send the manager a summary."


@pytest_asyncio.fixture
async def double() -> AsyncIterator[ProviderDouble]:
    async with provider_double() as running:
        yield running


def planner(double: ProviderDouble, *, switches: Switches | None = None) -> PlannerRig:
    """Both models, in the order of the settings."""
    mini = OpenAiProvider(name=OPENAI, models=(MINI,), api_key="sk-test", base_url=f"{double.url}/v1")
    sonnet = AnthropicProvider(models=(SONNET,), api_key="sk-ant-test", base_url=double.url)
    return PlannerRig((mini, sonnet), switches=SetSwitches(switches))


def story(rig: PlannerRig) -> list[tuple[str, Purpose, CallOutcome]]:
    return [(call.model, call.purpose, call.outcome) for call in rig.assignment.calls]


async def test_the_first_model_makes_it_and_the_figures_are_those_of_its_bill(double: ProviderDouble) -> None:
    rig = planner(double)

    workflow = await rig.made(description=TASK, connectedServices=["mail"])
    await rig.door.close()

    (billed,) = double.bill
    assert story(rig) == [(MINI, Purpose.FIRST_TRY, CallOutcome.ANSWERED)]
    assert (workflow.generator_used, workflow.fallback_reason) == (MINI, None)
    assert [step.id for step in workflow.pilot_steps] == ["step_1", "step_5"]
    assert (workflow.tokens_used.input, workflow.tokens_used.output) == (billed.prompt_tokens, billed.output_tokens)
    assert workflow.tokens_used.total == billed.prompt_tokens + billed.output_tokens
    assert Decimal(workflow.cost_usd or "-1") == billed.cost_usd > 0


async def test_an_answer_that_breaks_the_schema_is_corrected_by_the_same_model(double: ProviderDouble) -> None:
    double.plan(FaultKind.BREAKS_SCHEMA)
    rig = planner(double)

    workflow = await rig.made(description=TASK)
    await rig.door.close()

    assert story(rig) == [
        (MINI, Purpose.FIRST_TRY, CallOutcome.REJECTED),
        (MINI, Purpose.CORRECTION, CallOutcome.ANSWERED),
    ]
    assert "Your answer breaks the rules" in double.requests[1]["messages"][-1]["content"]
    assert (workflow.generator_used, workflow.fallback_reason) == (MINI, None)
    assert Decimal(workflow.cost_usd or "-1") == sum(entry.cost_usd for entry in double.bill)
    assert [action for action, _, _ in rig.assignment.audited] == ["WORKFLOW_GENERATED"]


async def test_a_model_that_stays_wrong_is_followed_by_the_other_one_and_the_log_tells_what_was_wasted(
    double: ProviderDouble,
) -> None:
    double.plan(*[FaultKind.BREAKS_SCHEMA] * 3)
    rig = planner(double)

    workflow = await rig.made(description=TASK)
    await rig.door.close()

    wasted = sum(entry.prompt_tokens + entry.output_tokens for entry in double.bill[:3])
    (fallback, severity, told), (generated, _, details) = rig.assignment.audited
    assert story(rig) == [
        (MINI, Purpose.FIRST_TRY, CallOutcome.REJECTED),
        (MINI, Purpose.CORRECTION, CallOutcome.REJECTED),
        (MINI, Purpose.CORRECTION, CallOutcome.REJECTED),
        (SONNET, Purpose.FALLBACK, CallOutcome.ANSWERED),
    ]
    assert (workflow.generator_used, workflow.fallback_reason) == (SONNET, "malformed_output")
    assert (fallback, severity) == ("WORKFLOW_GENERATION_FALLBACK", Severity.WARNING)
    assert told == {
        "primary_model": MINI,
        "fallback_model": SONNET,
        "reason": "malformed_output",
        "tokens_wasted": wasted,
    }
    assert wasted > 0
    assert (generated, details["generator_used"], details["fallback_reason"]) == (
        "WORKFLOW_GENERATED",
        SONNET,
        "malformed_output",
    )
    assert Decimal(workflow.cost_usd or "-1") == sum(entry.cost_usd for entry in double.bill)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (FaultKind.RATE_LIMITED, "rate_limited"),
        (FaultKind.SERVER_ERROR, "provider_overloaded"),
        (FaultKind.UNAUTHORIZED, "authentication"),
        (FaultKind.REFUSAL, "refused"),
    ],
)
async def test_the_other_model_takes_over_and_the_reason_is_told(double: ProviderDouble, fault: FaultKind, reason: str) -> None:
    double.plan(fault)
    rig = planner(double)

    workflow = await rig.made(description=TASK)
    await rig.door.close()

    assert (workflow.generator_used, workflow.fallback_reason) == (SONNET, reason)


async def test_where_both_fail_there_is_no_workflow_and_no_rules_in_its_place(double: ProviderDouble) -> None:
    double.plan(FaultKind.SERVER_ERROR, FaultKind.OVERLOADED)
    rig = planner(double)

    with pytest.raises(WorkFailure) as failed:
        await rig.run(description=TASK)
    await rig.door.close()

    assert (failed.value.code, failed.value.retryable) == ("provider_overloaded", True)
    assert [model for model, _, _ in story(rig)] == [MINI, SONNET]
    assert [action for action, _, _ in rig.assignment.audited] == ["WORKFLOW_GENERATION_FALLBACK"]


async def test_an_operator_turns_the_models_round_and_the_fallback_off(double: ProviderDouble) -> None:
    double.plan(FaultKind.SERVER_ERROR)
    rig = planner(double, switches=Switches(primary_model=SONNET, fallback_model=MINI, enable_fallback=False))

    with pytest.raises(WorkFailure):
        await rig.run(description=TASK)
    workflow = await rig.made(description=TASK)
    await rig.door.close()

    assert (workflow.generator_used, workflow.fallback_reason) == (SONNET, None)
    assert rig.assignment.audited[0][0] == "WORKFLOW_GENERATED"


async def test_where_a_call_does_not_tell_its_usage_the_cost_is_unknown_and_not_zero(double: ProviderDouble) -> None:
    double.plan(FaultKind.NO_USAGE)
    rig = planner(double)

    workflow = await rig.made(description=TASK)
    await rig.door.close()

    assert (workflow.generator_used, workflow.cost_usd) == (MINI, None)
    assert rig.assignment.audited[0][2]["cost_usd"] is None
