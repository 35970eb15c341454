"""The worker `topic_researcher`, and what it can do with the models that are configured."""

from aif_ai.configuration import ClientConfigurations, NoClientConfigurations
from aif_ai.door import Door
from aif_ai.requests import Capability
from aif_researcher.researching import Researching
from aif_runtime.assignment import ActionSpec, WorkerSpec
from aif_runtime.clock import Clock

RESEARCHER = "topic_researcher"


def researcher_spec(
    door: Door,
    clock: Clock,
    *,
    source_budget_characters: int,
    slots: int,
    configurations: ClientConfigurations | None = None,
) -> WorkerSpec:
    """Its action is paid as soon as a model is configured; without one it costs nothing and needs no claim.

    `configurations` is what clients say of themselves; None for nothing.
    """
    researching = Researching(
        door=door,
        clock=clock,
        source_budget_characters=source_budget_characters,
        configurations=configurations or NoClientConfigurations(),
    )
    has_model = bool(door.models)
    capabilities = (Capability.RESEARCH, Capability.LLM_GENERATION) if has_model else (Capability.RESEARCH,)
    return WorkerSpec(
        worker_name=RESEARCHER,
        actions={"research_topic": ActionSpec(run=researching.research_topic, paid=has_model)},
        capabilities=tuple(capability.value for capability in capabilities),
        models=door.models,
        providers=door.providers,
        slots=slots,
    )
