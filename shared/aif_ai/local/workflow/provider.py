"""The local provider of workflows: a step for each thing that a description tells to do, without a model or a key."""

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Struct

from aif_ai.extractive.provider import WHAT_TO_CONFIGURE
from aif_ai.failures import InvalidRequest, SourceTooThin
from aif_ai.local.text_rules import TextRules
from aif_ai.local.workflow.clauses import read_instruction
from aif_ai.local.workflow.drafting import Drafting
from aif_ai.local.workflow.instructions import instructions_of
from aif_ai.requests import Capability, TextInput
from aif_contracts.workflows import MOST_STEPS, PilotStep

NAME = "local_workflow"
MODEL = "local-rules-1"
NOTE = (
    "Made by rules on this machine out of the description's own instructions, in their order; they know English words only "
    "and add nothing that the description does not say."
)


class WorkflowOptions(Struct, frozen=True, kw_only=True):
    max_steps: Annotated[int, Meta(ge=1, le=MOST_STEPS)] = MOST_STEPS
    operations: tuple[str, ...] = ()
    """The only ones that a step may have; empty for any."""
    services: tuple[str, ...] = ()
    """What is connected, by name."""


class DraftedWorkflow(Struct, frozen=True, kw_only=True):
    steps: tuple[PilotStep, ...]
    note: str


def local_workflow() -> TextRules[WorkflowOptions]:
    """Its model's number rises when the same text would give other steps."""
    return TextRules(
        name=NAME,
        model=MODEL,
        capability=Capability.WORKFLOW_GENERATION,
        options=WorkflowOptions,
        work=workflow_of,
        last_resort=True,
    )


def workflow_of(task: TextInput, options: WorkflowOptions, checkpoint: Callable[[], None], made_by: str) -> DraftedWorkflow:
    """Raises SourceTooThin for a text without words, InvalidRequest for one that has more instructions than there may be
    steps, or one that none of the allowed operations fits. Equal input gives equal output."""
    told = instructions_of(task.text)
    if not told:
        raise SourceTooThin("there is no instruction in the description: say in words what is to be done")
    for divide in (True, False):
        steps = _drafted(told, options, checkpoint, divide=divide)
        if steps is not None:
            return DraftedWorkflow(steps=steps, note=NOTE)
    raise InvalidRequest(
        f"the description tells to do more than {options.max_steps} things, and at most so many steps are wanted: let it tell "
        f"less, raise maxSteps (up to {MOST_STEPS}), or for a model that puts things together {WHAT_TO_CONFIGURE}"
    )


def _drafted(
    told: list[str], options: WorkflowOptions, checkpoint: Callable[[], None], *, divide: bool
) -> tuple[PilotStep, ...] | None:
    """None when they would be too many."""
    drafting = Drafting(operations=options.operations, services=options.services)
    for text in told:
        checkpoint()
        drafting.take(read_instruction(text, divide=divide))
        if len(drafting.steps) > options.max_steps:
            return None
    return tuple(drafting.steps)
