"""The worker `workflow_generator`, and what it can do with the models that are configured."""

from aif_ai.configuration import ClientConfigurations, NoClientConfigurations
from aif_ai.door import Door
from aif_ai.requests import Capability
from aif_planner.generating import Generating
from aif_runtime.assignment import ActionSpec, WorkerSpec
from aif_runtime.clock import Clock

WORKFLOW_GENERATOR = "workflow_generator"


def generator_spec(
    door: Door,
    clock: Clock,
    *,
    budget_characters: int,
    slots: int,
    configurations: ClientConfigurations | None = None,
) -> WorkerSpec:
    """Its action is paid as soon as a language model is configured; without one it costs nothing and needs no claim.

    `configurations` is what clients say of themselves; None for nothing.
    """
    generating = Generating(
        door=door,
        clock=clock,
        budget_characters=budget_characters,
        configurations=configurations or NoClientConfigurations(),
    )
    has_model = bool(door.language_models)
    capabilities = (Capability.WORKFLOW_GENERATION, *([Capability.LLM_GENERATION] if has_model else []))
    return WorkerSpec(
        worker_name=WORKFLOW_GENERATOR,
        actions={"generate_workflow": ActionSpec(run=generating.generate_workflow, paid=has_model)},
        capabilities=tuple(capability.value for capability in capabilities),
        models=door.language_models,
        providers=door.providers,
        slots=slots,
    )
