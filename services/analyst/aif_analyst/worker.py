"""The worker `analyst`, and what it can do with the models that are configured. An action's name is its capability."""

from aif_ai.configuration import ClientConfigurations, NoClientConfigurations
from aif_ai.door import Door
from aif_ai.local.assembly import LOCAL_PROVIDERS
from aif_ai.local.speech.speech_runner import SpeechRunner
from aif_ai.requests import Capability
from aif_analyst.judging_moods import JudgingMoods
from aif_analyst.redacting import Redacting
from aif_analyst.summarizing import Summarizing
from aif_analyst.transcribing import Transcribing
from aif_runtime.assignment import Action, ActionSpec, WorkerSpec
from aif_runtime.clock import Clock

ANALYST = "analyst"


def analyst_spec(
    door: Door,
    clock: Clock,
    runner: SpeechRunner,
    *,
    budget_characters: int,
    slots: int,
    configurations: ClientConfigurations | None = None,
) -> WorkerSpec:
    """An action is paid as soon as somebody is configured who does it for money; else it costs nothing and needs no claim.

    `configurations` is what clients say of themselves, for what is written here; None for nothing.
    """
    transcribing = Transcribing(door=door, clock=clock, runner=runner)
    summarizing = Summarizing(
        door=door,
        clock=clock,
        budget_characters=budget_characters,
        configurations=configurations or NoClientConfigurations(),
    )
    actions: dict[Capability, Action] = {
        Capability.TRANSCRIPTION: transcribing.transcription,
        Capability.TRANSCRIPTION_DIARIZATION: transcribing.transcription_diarization,
        Capability.PII_REDACTION: Redacting(door=door, clock=clock, budget_characters=budget_characters).pii_redaction,
        Capability.SENTIMENT_ANALYSIS: JudgingMoods(
            door=door, clock=clock, budget_characters=budget_characters
        ).sentiment_analysis,
        Capability.SUMMARIZATION: summarizing.summarization,
    }
    has_model = bool(door.registry.providers_for(Capability.LLM_GENERATION))
    return WorkerSpec(
        worker_name=ANALYST,
        actions={
            capability.value: ActionSpec(run=action, paid=_is_paid(capability, door, has_model=has_model))
            for capability, action in actions.items()
        },
        capabilities=tuple(capability.value for capability in (*actions, *([Capability.LLM_GENERATION] if has_model else []))),
        models=door.models,
        providers=door.providers,
        slots=slots,
    )


def _is_paid(capability: Capability, door: Door, *, has_model: bool) -> bool:
    by_model = has_model and capability not in (Capability.TRANSCRIPTION, Capability.TRANSCRIPTION_DIARIZATION)
    return by_model or not LOCAL_PROVIDERS.issuperset(door.registry.providers_for(capability))
