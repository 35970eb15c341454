"""What the researcher is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aif_ai.model_worker import open_equipment
from aif_researcher.settings import ResearcherSettings
from aif_researcher.worker import RESEARCHER, researcher_spec
from aif_runtime.process import Assembled, Surroundings
from aif_runtime.worker_parts import worker_parts


@asynccontextmanager
async def wire(surroundings: Surroundings[ResearcherSettings]) -> AsyncIterator[Assembled]:
    """Open what one replica needs, and close it again."""
    settings = surroundings.settings
    async with open_equipment(surroundings, origin=RESEARCHER) as equipment:
        researcher = researcher_spec(
            equipment.door,
            surroundings.clock,
            source_budget_characters=settings.source_budget_characters,
            slots=settings.researcher_slots,
            configurations=equipment.configurations,
        )
        yield Assembled(parts=(equipment.following, *worker_parts(surroundings, equipment.connections, researcher)))
