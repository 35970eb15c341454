"""What the researcher is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aif_ai.assembly import open_door
from aif_researcher.settings import ResearcherSettings
from aif_researcher.worker import researcher_spec
from aif_runtime.connections import open_connections
from aif_runtime.process import Assembled, Part, Surroundings
from aif_runtime.worker_figures import WorkerFigures
from aif_runtime.worker_loop import run_worker


@asynccontextmanager
async def wire(surroundings: Surroundings[ResearcherSettings]) -> AsyncIterator[Assembled]:
    """Open what one replica needs, and close it again."""
    settings = surroundings.settings
    async with open_connections(surroundings) as connections:
        door = open_door(settings.model_access(), surroundings.clock)
        spec = researcher_spec(
            door,
            surroundings.clock,
            source_budget_characters=settings.source_budget_characters,
            slots=settings.researcher_slots,
        )
        try:
            yield Assembled(
                parts=(
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
                            redact=surroundings.redactor.text,
                        ),
                    ),
                )
            )
        finally:
            await door.close()
