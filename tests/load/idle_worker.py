"""A worker process whose actions do nothing, or sleep: what is measured is the factory around it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from msgspec import Meta

from aif_runtime.assignment import ActionSpec, Assignment, Outcome, WorkerSpec
from aif_runtime.connections import open_connections
from aif_runtime.process import Assembled, Surroundings, run_service
from aif_runtime.worker_parts import worker_parts
from aif_runtime.worker_settings import WorkerSettings


class IdleWorkerSettings(WorkerSettings, frozen=True, kw_only=True):
    idle_slots: Annotated[int, Meta(ge=1)] = 64


async def echo(assignment: Assignment) -> Outcome:
    """About as many bytes out as in."""
    return Outcome(output=dict(assignment.input))


async def nap(assignment: Assignment) -> Outcome:
    await asyncio.sleep(float(assignment.input["seconds"]))
    return Outcome(output=dict(assignment.input))


@asynccontextmanager
async def wire(surroundings: Surroundings[IdleWorkerSettings]) -> AsyncIterator[Assembled]:
    settings = surroundings.settings
    spec = WorkerSpec(
        worker_name="idle_worker",
        actions={
            "echo": ActionSpec(run=echo, paid=False),
            # The same, but every attempt is claimed first, as one that may spend money is.
            "paid_echo": ActionSpec(run=echo, paid=True),
            "nap": ActionSpec(run=nap, paid=False),
        },
        slots=settings.idle_slots,
    )
    async with open_connections(surroundings) as connections:
        yield Assembled(parts=worker_parts(surroundings, connections, spec))


if __name__ == "__main__":
    sys.exit(run_service(service="idle_worker", settings_type=IdleWorkerSettings, wire=wire))
