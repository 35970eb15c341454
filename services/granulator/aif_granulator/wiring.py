"""What the granulator is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aif_ai.model_worker import open_equipment
from aif_granulator.settings import GranulatorSettings
from aif_granulator.worker import GRANULATOR, granulator_spec, optimizer_spec
from aif_runtime.process import Assembled, Surroundings
from aif_runtime.worker_parts import worker_parts


@asynccontextmanager
async def wire(surroundings: Surroundings[GranulatorSettings]) -> AsyncIterator[Assembled]:
    """Open what one replica needs, and close it again."""
    settings = surroundings.settings
    async with open_equipment(surroundings, origin=GRANULATOR) as equipment:
        granulator = granulator_spec(
            equipment.door,
            surroundings.clock,
            source_budget_characters=settings.source_budget_characters,
            slots=settings.granulator_slots,
            configurations=equipment.configurations,
        )
        optimizer = optimizer_spec(slots=settings.optimizer_slots)
        workers = worker_parts(surroundings, equipment.connections, granulator, optimizer)
        yield Assembled(parts=(equipment.following, *workers))
