"""The workers of this process: `content_granulator` with its models, and `content_optimizer`, which needs none."""

from aif_ai.configuration import ClientConfigurations, NoClientConfigurations
from aif_ai.door import Door
from aif_ai.requests import Capability
from aif_granulator.optimizing import optimize_large_structure
from aif_granulator.structuring import Structuring
from aif_runtime.assignment import ActionSpec, WorkerSpec
from aif_runtime.clock import Clock

GRANULATOR = "content_granulator"
OPTIMIZER = "content_optimizer"


def granulator_spec(
    door: Door,
    clock: Clock,
    *,
    source_budget_characters: int,
    slots: int,
    configurations: ClientConfigurations | None = None,
) -> WorkerSpec:
    """Its actions are paid as soon as a model is configured; without one they cost nothing and need no claim.

    `configurations` is what clients say of themselves; None for nothing.
    """
    structuring = Structuring(
        door=door,
        clock=clock,
        source_budget_characters=source_budget_characters,
        configurations=configurations or NoClientConfigurations(),
    )
    has_model = bool(door.models)
    capabilities = (Capability.STRUCTURING, Capability.LLM_GENERATION) if has_model else (Capability.STRUCTURING,)
    return WorkerSpec(
        worker_name=GRANULATOR,
        actions={
            "structure_course": ActionSpec(run=structuring.structure_course, paid=has_model),
            "structure_quiz": ActionSpec(run=structuring.structure_quiz, paid=has_model),
        },
        capabilities=tuple(capability.value for capability in capabilities),
        models=door.models,
        providers=door.providers,
        slots=slots,
    )


def optimizer_spec(*, slots: int) -> WorkerSpec:
    return WorkerSpec(
        worker_name=OPTIMIZER,
        actions={"optimize_large_structure": ActionSpec(run=optimize_large_structure, paid=False)},
        capabilities=("optimization",),
        slots=slots,
    )
