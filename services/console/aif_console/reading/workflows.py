"""A generated workflow for a reader at a terminal: its steps, what they stand upon, and who made them."""

from rich.console import Group, RenderableType
from rich.text import Text

from aif_console.reading.hanging import Hanging
from aif_console.reading.plain_text import counted, plain
from aif_contracts.workflows import GeneratedWorkflow, PilotStep, StepType

_COLOURS = {
    StepType.LLM_DECISION: "magenta",
    StepType.TRANSFORM: "cyan",
    StepType.CONDITIONAL: "yellow",
    StepType.API_CALL: "green",
}
_INSTRUCTION_INDENT = 4


def rendered_workflow(workflow: GeneratedWorkflow) -> RenderableType:
    head = f"{counted(len(workflow.pilot_steps), 'step')} by {workflow.generator_used}"
    if workflow.fallback_reason:
        head += f", because the model before failed: {workflow.fallback_reason}"
    lines: list[RenderableType] = [Text(plain(head), style="bold")]
    numbers = {step.id: number for number, step in enumerate(workflow.pilot_steps, 1)}
    for number, step in enumerate(workflow.pilot_steps, 1):
        lines.append(Hanging(_step(step, numbers), marker=f"{number:>2}  "))
        if step.instruction:
            lines.append(Hanging(Text(plain(step.instruction), style="dim"), indent=_INSTRUCTION_INDENT))
    if workflow.note:
        lines.append(Text(plain(workflow.note), style="dim"))
    return Group(*lines)


def _step(step: PilotStep, numbers: dict[str, int]) -> Text:
    service = f" at {plain(step.service)}" if step.service else ""
    upon = ", ".join(str(numbers.get(wanted, plain(wanted))) for wanted in step.depends_on)
    return Text.assemble(
        (step.step_type.value, _COLOURS[step.step_type]),
        f"  {plain(step.operation)}{service}",
        (f"  after {upon}" if upon else "", "dim"),
    )
