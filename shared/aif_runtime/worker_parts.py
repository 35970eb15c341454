"""The workers of one process, as its parts."""

from typing import TypeVar

from aif_runtime.assignment import WorkerSpec
from aif_runtime.connections import Connections
from aif_runtime.process import Part, Surroundings
from aif_runtime.solitude import Solitude
from aif_runtime.worker_figures import WorkerFigures
from aif_runtime.worker_loop import run_worker
from aif_runtime.worker_settings import WorkerSettings

W = TypeVar("W", bound=WorkerSettings)


def worker_parts(surroundings: Surroundings[W], connections: Connections, *specs: WorkerSpec) -> tuple[Part, ...]:
    """They share their figures; and an attempt that is to be alone is alone among the work of all of them."""
    figures, solitude = WorkerFigures(surroundings.registry), Solitude()

    def part(spec: WorkerSpec) -> Part:
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

    return tuple(part(spec) for spec in specs)
