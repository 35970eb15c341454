"""Generated workflows as a terminal shows them."""

from io import StringIO

import msgspec
from msgspec import Struct
from rich.console import Console

from aif_console.reading.outline import rendered_structure
from aif_contracts.workflows import GeneratedWorkflow, PilotStep, StepType, WorkflowTokens

FETCH = PilotStep(id="fetch", operation="Fetch the orders", step_type=StepType.API_CALL, service="shop")
CHECK = PilotStep(id="check", operation="If any is late", step_type=StepType.CONDITIONAL, depends_on=("fetch",))
WRITE = PilotStep(
    id="write",
    operation="write_mail",
    step_type=StepType.LLM_DECISION,
    depends_on=("fetch", "check"),
    instruction="Write to the customer.\x1b[2J",
)


def shown(workflow: Struct) -> str:
    out = StringIO()
    Console(file=out, width=100).print(rendered_structure(msgspec.json.encode(workflow)))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def made(*steps: PilotStep, **more: str | None) -> GeneratedWorkflow:
    fields = {"generator_used": "gpt-4o-mini", "cost_usd": "0.001", **more}
    return msgspec.convert(
        {
            "pilot_steps": msgspec.to_builtins(steps),
            "validation_passed": True,
            "generation_time_ms": 900,
            "tokens_used": msgspec.to_builtins(WorkflowTokens()),
            **fields,
        },
        GeneratedWorkflow,
    )


def test_each_step_is_shown_with_its_kind_its_service_and_what_it_stands_upon() -> None:
    assert shown(made(FETCH, CHECK, WRITE)) == (
        "3 steps by gpt-4o-mini\n"
        " 1  api_call  Fetch the orders at shop\n"
        " 2  conditional  If any is late  after 1\n"
        " 3  llm_decision  write_mail  after 1, 2\n"
        "    Write to the customer. [2J"
    )


def test_a_fallback_and_a_note_are_told() -> None:
    text = shown(made(FETCH, generator_used="claude-sonnet-5-5", fallback_reason="rate_limited", note="English only."))

    assert text == (
        "1 step by claude-sonnet-5-5, because the model before failed: rate_limited\n"
        " 1  api_call  Fetch the orders at shop\n"
        "English only."
    )
