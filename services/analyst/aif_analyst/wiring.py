"""What the analyst is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aif_ai.assembly import open_door
from aif_ai.configuration_assembly import open_configuration
from aif_ai.local.assembly import local_providers
from aif_ai.local.speech.provider import LocalSpeech, SpeechLimits
from aif_ai.local.speech.speech_runner import SpeechRunner
from aif_analyst.settings import AnalystSettings
from aif_analyst.worker import ANALYST, analyst_spec
from aif_runtime.connections import open_connections
from aif_runtime.process import Assembled, Part, Surroundings
from aif_runtime.worker_figures import WorkerFigures
from aif_runtime.worker_loop import run_worker


@asynccontextmanager
async def wire(surroundings: Surroundings[AnalystSettings]) -> AsyncIterator[Assembled]:
    """Open what one replica needs, and close it again."""
    settings = surroundings.settings
    async with open_connections(surroundings) as connections:
        runner = SpeechRunner(processes=settings.analyst_speech_processes)
        speech = LocalSpeech(
            runner,
            whisper_model_dir=settings.whisper_model_dir,
            limits=SpeechLimits(cpu_seconds=settings.analyst_speech_cpu_seconds, threads=settings.analyst_speech_threads),
        )
        configured = await open_configuration(
            connections.bus, surroundings.clock, origin=ANALYST, free_models=settings.free_models
        )
        door = open_door(
            settings.model_access(),
            surroundings.clock,
            switches=configured.switches,
            cache=settings.opened_cache(connections.bus),
            local=local_providers(speech),
        )
        spec = analyst_spec(
            door,
            surroundings.clock,
            runner,
            budget_characters=settings.source_budget_characters,
            slots=settings.analyst_slots,
            configurations=configured.clients,
        )
        try:
            await door.open()
            yield Assembled(
                parts=(
                    Part(name="configuration", run=configured.entries.run),
                    Part(
                        name=spec.worker_name,
                        run=lambda stop_event: run_worker(
                            spec,
                            bus=connections.bus,
                            blobs=connections.blobs,
                            tracing=surroundings.tracing,
                            clock=surroundings.clock,
                            instance_id=surroundings.instance_id,
                            settings=settings,
                            stop_event=stop_event,
                            figures=WorkerFigures(surroundings.registry),
                            redactor=surroundings.redactor,
                        ),
                    ),
                )
            )
        finally:
            await door.close()
