"""The worker `analyst`, and what it can do with the models that are configured. An action's name is its capability."""

from aif_ai.door import Door
from aif_ai.local.speech.speech_runner import SpeechRunner
from aif_ai.requests import Capability
from aif_analyst.judging_moods import JudgingMoods
from aif_analyst.redacting import Redacting
from aif_analyst.summarizing import Summarizing
from aif_analyst.transcribing import Transcribing
from aif_runtime.assignment import Action, ActionSpec, WorkerSpec
from aif_runtime.clock import Clock

ANALYST = "analyst"


def analyst_spec(door: Door, clock: Clock, runner: SpeechRunner, *, budget_characters: int, slots: int) -> WorkerSpec:
    """Its actions are paid as soon as a model is configured; without one they cost nothing and need no claim."""
    transcribing = Transcribing(door=door, clock=clock, runner=runner)
    actions: dict[Capability, Action] = {
        Capability.TRANSCRIPTION: transcribing.transcription,
        Capability.TRANSCRIPTION_DIARIZATION: transcribing.transcription_diarization,
        Capability.PII_REDACTION: Redacting(door=door, clock=clock, budget_characters=budget_characters).pii_redaction,
        Capability.SENTIMENT_ANALYSIS: JudgingMoods(
            door=door, clock=clock, budget_characters=budget_characters
        ).sentiment_analysis,
        Capability.SUMMARIZATION: Summarizing(door=door, clock=clock, budget_characters=budget_characters).summarization,
    }
    has_model = bool(door.models)
    return WorkerSpec(
        worker_name=ANALYST,
        actions={capability.value: ActionSpec(run=action, paid=has_model) for capability, action in actions.items()},
        capabilities=tuple(capability.value for capability in actions),
        models=door.models,
        slots=slots,
    )
