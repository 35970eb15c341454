"""A workflow that was made of a description in words. A client reads it; later stages read it by field name."""

import enum
from typing import Annotated

from msgspec import Meta, Struct

from aif_contracts.money import UsdText

MOST_STEPS = 50

StepId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$(?!\n)",
        description="Unique in its workflow: a letter, then up to 63 letters, digits, _ or -",
        examples=["fetch_orders"],
    ),
]
Operation = Annotated[str, Meta(min_length=1, max_length=500)]
Instruction = Annotated[str, Meta(min_length=1, max_length=2_000)]
ServiceName = Annotated[str, Meta(min_length=1, max_length=100)]


class StepType(enum.StrEnum):
    LLM_DECISION = "llm_decision"
    """Needs judgement: to classify, to choose, to summarize, to write."""
    TRANSFORM = "transform"
    """Makes something of what earlier steps gave, by rules."""
    CONDITIONAL = "conditional"
    """Finds out whether something holds; the steps that depend on it are done only then."""
    API_CALL = "api_call"
    """Reads from a service outside, or does something there."""


class PilotStep(Struct, frozen=True, kw_only=True):
    id: StepId
    operation: Operation
    """What it does, in a few words; one of the allowed operations where the order names any."""
    step_type: StepType
    depends_on: tuple[StepId, ...] = ()
    """Earlier steps whose results it needs, or whose condition it stands under. Steps are done in their order."""
    service: ServiceName | None = None
    """Which of the connected services an api_call uses; None when it is not said."""
    instruction: Instruction | None = None
    """What it does in full, where `operation` is too short for that."""


class WorkflowTokens(Struct, frozen=True, kw_only=True):
    """Of all provider calls of the generation, those included whose answers could not be used."""

    input: int = 0
    output: int = 0
    total: int = 0


class GeneratedWorkflow(Struct, frozen=True, kw_only=True):
    pilot_steps: Annotated[tuple[PilotStep, ...], Meta(min_length=1, max_length=MOST_STEPS)]
    """In the order in which they are done."""
    generator_used: str
    """The model that made it; `local-rules-1` for rules on this machine."""
    validation_passed: bool
    """By the schema and the rules. Nothing that breaks them is delivered: such a generation fails."""
    generation_time_ms: int
    """Wall time, failed models and corrections included."""
    tokens_used: WorkflowTokens
    cost_usd: UsdText | None
    """Of all provider calls of the generation; None when the cost of one is not known. What earlier attempts have cost is
    in the ledger alone."""
    fallback_reason: str | None = None
    """Code of the failure because of which not the first model made it; None when it did."""
    note: str = ""
    """What a reader has to know of how it was made."""
    structure_type: str = "workflow"
