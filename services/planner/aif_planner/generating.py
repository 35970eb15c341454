"""The action `generate_workflow`: a description in, checked steps out, with what it took to make them."""

from typing import Any

import msgspec

from aif_ai.attempt_generation import generate_for
from aif_ai.client_wishes import client_wishes
from aif_ai.configuration import ClientConfigurations
from aif_ai.door import Door
from aif_ai.earlier_attempt import earlier_attempt
from aif_ai.local.workflow.provider import DraftedWorkflow
from aif_ai.requests import Capability, Generation, GenerationRequest, Message, TextInput
from aif_contracts.audit import WORKFLOW_GENERATED, Severity
from aif_contracts.money import usd_text
from aif_contracts.workflows import GeneratedWorkflow, PilotStep, WorkflowTokens
from aif_planner.generation_order import GenerationOrder, described, read_order
from aif_planner.quality import of_workflow
from aif_planner.rules import complaints
from aif_planner.workflow_prompt import MOST_OUTPUT_TOKENS, steps_from, workflow_messages, workflow_schema
from aif_runtime.assignment import Assignment, Outcome, WorkFailure
from aif_runtime.clock import Clock
from aif_runtime.cpu_meter import run_in_thread

AUDIT_NAME = "WORKFLOW_GENERATION"


class Generating:
    """Stateless between assignments."""

    def __init__(self, *, door: Door, clock: Clock, budget_characters: int, configurations: ClientConfigurations) -> None:
        self._door = door
        self._clock = clock
        self._budget_characters = budget_characters
        self._configurations = configurations

    async def generate_workflow(self, assignment: Assignment) -> Outcome:
        order = read_order(assignment.input)
        text = await described(order, assignment, self._clock)
        await assignment.progress(10, "writing the steps")
        began = self._clock.monotonic()
        generation = await generate_for(assignment, self._door, await self._request(text, order, assignment))
        took_ms = round((self._clock.monotonic() - began) * 1_000)
        steps, note = _made(generation)
        if broken := complaints(steps, order):
            raise WorkFailure("validation_failed", f"the workflow breaks a rule: {broken[0]}", retryable=False)
        workflow = _told(generation, steps, note, took_ms)
        await assignment.audit(WORKFLOW_GENERATED, Severity.INFO, _audited(workflow))
        return Outcome(
            output=workflow,
            quality_score=await run_in_thread(of_workflow, steps, text),
            element_count=len(steps),
            provider=generation.provider,
            model=generation.model,
            summary=f"{len(steps)} steps by {generation.generator_used}",
        )

    async def _request(self, text: str, order: GenerationOrder, assignment: Assignment) -> GenerationRequest:
        return GenerationRequest(
            capability=Capability.WORKFLOW_GENERATION,
            action=assignment.action,
            messages=await self._messages(text, order, assignment) if self._door.language_models else (),
            max_output_tokens=MOST_OUTPUT_TOKENS,
            schema_name="workflow",
            schema=workflow_schema(),
            check=lambda output: complaints(steps_from(output), order),
            input=TextInput(
                text=text,
                options={
                    "max_steps": order.max_steps,
                    "operations": order.allowed_operations,
                    "services": order.connected_services,
                },
            ),
            audit_name=AUDIT_NAME,
        )

    async def _messages(self, text: str, order: GenerationOrder, assignment: Assignment) -> tuple[Message, ...]:
        context = assignment.context
        return await run_in_thread(
            workflow_messages,
            text,
            order,
            wishes=client_wishes(await self._configurations.of(context.client_id, context.workspace_id)),
            earlier=await earlier_attempt(assignment),
            budget_characters=self._budget_characters,
        )


def _made(generation: Generation) -> tuple[tuple[PilotStep, ...], str]:
    """The steps, and what a reader has to know of them."""
    if not generation.is_local:
        return steps_from(generation.output), ""
    drafted = msgspec.json.decode(generation.output, type=DraftedWorkflow)
    return drafted.steps, drafted.note


def _told(generation: Generation, steps: tuple[PilotStep, ...], note: str, took_ms: int) -> GeneratedWorkflow:
    tokens = [call.tokens for call in generation.calls]
    return GeneratedWorkflow(
        pilot_steps=steps,
        generator_used=generation.generator_used,
        validation_passed=True,
        generation_time_ms=took_ms,
        tokens_used=WorkflowTokens(
            input=sum(each.prompt_tokens for each in tokens),
            output=sum(each.completion_tokens for each in tokens),
            total=sum(each.total_tokens for each in tokens),
        ),
        cost_usd=None if generation.cost_usd is None else usd_text(generation.cost_usd),
        fallback_reason=generation.fallback_reason,
        note=note,
    )


def _audited(workflow: GeneratedWorkflow) -> dict[str, Any]:
    """As the queries over the audit log read it: a reason that is null is none."""
    return {
        "generator_used": workflow.generator_used,
        "steps_generated": len(workflow.pilot_steps),
        "tokens_used": msgspec.to_builtins(workflow.tokens_used),
        "cost_usd": workflow.cost_usd,
        "generation_time_ms": workflow.generation_time_ms,
        "fallback_reason": workflow.fallback_reason,
    }
