"""What the analyst is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aif_ai.local.assembly import local_providers
from aif_ai.local.speech.provider import LocalSpeech, SpeechLimits
from aif_ai.local.speech.speech_runner import SpeechRunner
from aif_ai.model_worker import open_equipment
from aif_analyst.settings import AnalystSettings
from aif_analyst.worker import ANALYST, analyst_spec
from aif_runtime.process import Assembled, Surroundings
from aif_runtime.worker_parts import worker_parts


@asynccontextmanager
async def wire(surroundings: Surroundings[AnalystSettings]) -> AsyncIterator[Assembled]:
    """Open what one replica needs, and close it again."""
    settings = surroundings.settings
    runner = SpeechRunner(processes=settings.analyst_speech_processes)
    speech = LocalSpeech(
        runner,
        whisper_model_dir=settings.whisper_model_dir,
        limits=SpeechLimits(cpu_seconds=settings.analyst_speech_cpu_seconds, threads=settings.analyst_speech_threads),
    )
    async with open_equipment(surroundings, origin=ANALYST, local=local_providers(speech)) as equipment:
        analyst = analyst_spec(
            equipment.door,
            surroundings.clock,
            runner,
            budget_characters=settings.source_budget_characters,
            slots=settings.analyst_slots,
            configurations=equipment.configurations,
        )
        yield Assembled(parts=(equipment.following, *worker_parts(surroundings, equipment.connections, analyst)))
