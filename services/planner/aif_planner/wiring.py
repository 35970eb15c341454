"""What the planner is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aif_ai.local.workflow.provider import local_workflow
from aif_ai.model_worker import open_equipment
from aif_planner.settings import PlannerSettings
from aif_planner.worker import WORKFLOW_GENERATOR, generator_spec
from aif_runtime.process import Assembled, Surroundings
from aif_runtime.worker_parts import worker_parts


@asynccontextmanager
async def wire(surroundings: Surroundings[PlannerSettings]) -> AsyncIterator[Assembled]:
    """Open what one replica needs, and close it again."""
    settings = surroundings.settings
    async with open_equipment(surroundings, origin=WORKFLOW_GENERATOR, local=(local_workflow(),)) as equipment:
        generator = generator_spec(
            equipment.door,
            surroundings.clock,
            budget_characters=settings.source_budget_characters,
            slots=settings.planner_slots,
            configurations=equipment.configurations,
        )
        yield Assembled(parts=(equipment.following, *worker_parts(surroundings, equipment.connections, generator)))
