"""Who works here, and what a stage can ask for."""

from litestar import Router, get

from aif_contracts.workers import WorkerList
from aif_kam import problems
from aif_kam.execution_payloads import Capabilities, Providers
from aif_kam.offers import capabilities_of, providers_of
from aif_kam.parts import Parts
from aif_kam.routes.calling import CallerRequest


def worker_routes(parts: Parts) -> Router:
    @get(
        "/api/v1/ai/pipelines/capabilities",
        responses=problems.documented(),
        summary="Which capabilities and actions the live workers offer",
    )
    async def capabilities(request: CallerRequest) -> Capabilities:
        return capabilities_of((await parts.orchestrator.workers()).workers)

    @get(
        "/api/v1/ai/pipelines/providers",
        responses=problems.documented(),
        summary="Which AI providers the live workers have, with their models and whether they are asked at present",
    )
    async def providers(request: CallerRequest) -> Providers:
        return providers_of((await parts.orchestrator.workers()).workers)

    @get("/api/kam/workers", responses=problems.documented(), summary="The live worker processes")
    async def workers(request: CallerRequest) -> WorkerList:
        return await parts.orchestrator.workers()

    return Router("/", route_handlers=[capabilities, providers, workers], tags=["workers"])
