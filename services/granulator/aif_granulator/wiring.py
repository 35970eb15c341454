"""What the granulator is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aif_ai.assembly import open_door
from aif_ai.configuration_assembly import open_configuration
from aif_granulator.settings import GranulatorSettings
from aif_granulator.worker import GRANULATOR, granulator_spec, optimizer_spec
from aif_runtime.assignment import WorkerSpec
from aif_runtime.connections import Connections, open_connections
from aif_runtime.process import Assembled, Part, Surroundings
from aif_runtime.solitude import Solitude
from aif_runtime.worker_figures import WorkerFigures
from aif_runtime.worker_loop import run_worker


@asynccontextmanager
async def wire(surroundings: Surroundings[GranulatorSettings]) -> AsyncIterator[Assembled]:
    """Open what one replica needs, and close it again."""
    settings = surroundings.settings
    async with open_connections(surroundings) as connections:
        configured = await open_configuration(
            connections.bus, surroundings.clock, origin=GRANULATOR, free_models=settings.free_models
        )
        door = open_door(
            settings.model_access(),
            surroundings.clock,
            switches=configured.switches,
            cache=settings.opened_cache(connections.bus),
        )
        figures, solitude = WorkerFigures(surroundings.registry), Solitude()
        granulator = granulator_spec(
            door,
            surroundings.clock,
            source_budget_characters=settings.source_budget_characters,
            slots=settings.granulator_slots,
            configurations=configured.clients,
        )
        optimizer = optimizer_spec(slots=settings.optimizer_slots)
        try:
            await door.open()
            specs = (granulator, optimizer)
            following = Part(name="configuration", run=configured.entries.run)
            working = (_part(spec, surroundings, connections, figures, solitude) for spec in specs)
            yield Assembled(parts=(following, *working))
        finally:
            await door.close()


def _part(
    spec: WorkerSpec,
    surroundings: Surroundings[GranulatorSettings],
    connections: Connections,
    figures: WorkerFigures,
    solitude: Solitude,
) -> Part:
    return Part(
        name=spec.worker_name,
        run=lambda stop_event: run_worker(
            spec,
            bus=connections.bus,
            blobs=connections.blobs,
            tracing=surroundings.tracing,
            clock=surroundings.clock,
            instance_id=surroundings.instance_id,
            settings=surroundings.settings,
            stop_event=stop_event,
            figures=figures,
            solitude=solitude,
            redactor=surroundings.redactor,
        ),
    )
