"""Where things are, how the process is, and what the workers could do better."""

from functools import cache
from typing import Annotated, Any

import msgspec
from litestar import Litestar, MediaType, Request, Response, Router, get
from litestar.params import QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

from aif_contracts.asyncapi import asyncapi_document
from aif_contracts.performance import InsightsQuery, WorkerInsights
from aif_kam import problems
from aif_kam.api_page import CONTENT_SECURITY_POLICY as API_POLICY
from aif_kam.api_page import api_page
from aif_kam.failures import invalid
from aif_kam.landing import CONTENT_SECURITY_POLICY, PLACES, landing_page
from aif_kam.parts import Parts
from aif_kam.routes.calling import CallerRequest, require_admin, without_nul
from aif_runtime.health import HealthReport
from aif_runtime.metrics import METRICS_MEDIA_TYPE, metrics_page


def open_routes(parts: Parts) -> Router:
    """What needs no key."""

    @cache
    def page_of(app: Litestar) -> str:
        return api_page(app.openapi_schema.to_schema())

    @cache
    def channels() -> bytes:
        return msgspec.json.encode(asyncapi_document(parts.version))

    @get("/", include_in_schema=False)
    async def landing(request: Request[Any, Any, Any]) -> Response[Any]:
        if "text/html" in request.headers.get("accept", ""):
            host = request.headers.get("host") or "{}:{}".format(*(request.scope["server"] or ("localhost", "")))
            page = landing_page(version=parts.version, address=f"{request.scope['scheme']}://{host}")
            policy = {"content-security-policy": CONTENT_SECURITY_POLICY}
            return Response(page, media_type=MediaType.HTML, headers=policy)
        return Response({"name": "AI Factory", "version": parts.version, "places": PLACES}, media_type=MediaType.JSON)

    @get("/docs", include_in_schema=False)
    async def docs(request: Request[Any, Any, Any]) -> Response[str]:
        headers = {"content-security-policy": API_POLICY}
        return Response(page_of(request.app), media_type=MediaType.HTML, headers=headers)

    @get("/schema/asyncapi.json", include_in_schema=False)
    async def what_travels_over_nats() -> Response[bytes]:
        return Response(channels(), media_type=MediaType.JSON)

    @get(
        ["/health", "/api/v1/ai/pipelines/health"],
        security=[{}],
        responses=problems.described_as(HealthReport, HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE),
        summary="Whether this process is well",
    )
    async def health() -> Response[HealthReport]:
        report = await parts.health.report()
        return Response(report, status_code=problems.health_status(is_well=report.status == "ok"))

    @get(
        "/metrics",
        security=[{}],
        media_type=METRICS_MEDIA_TYPE,
        summary="Figures for Prometheus",
    )
    async def metrics() -> Response[bytes]:
        return Response(metrics_page(parts.registry), media_type=METRICS_MEDIA_TYPE)

    return Router("/", route_handlers=[landing, docs, what_travels_over_nats, health, metrics], tags=["operations"])


def insight_routes(parts: Parts) -> Router:
    @get(
        "/worker-insights",
        responses=problems.documented(*problems.OPERATOR),
        summary="Measured figures and recommendations per worker",
    )
    async def worker_insights(
        request: CallerRequest,
        worker_name: Annotated[str | None, QueryParameter(max_length=64)] = None,
        analysis_period: Annotated[str, QueryParameter(description="Hours or days, for example 24h or 7d")] = "7d",
    ) -> WorkerInsights:
        worker = without_nul(worker_name, field="worker_name")
        try:
            query = msgspec.convert({"worker_name": worker, "analysis_period": analysis_period}, InsightsQuery)
        except msgspec.ValidationError as wrong:
            raise invalid(
                "analysis_period",
                f"is {analysis_period[:40]!r}",
                "write hours or days, for example 24h or 7d, at most 999 of them",
            ) from wrong
        return await parts.orchestrator.insights(query)

    # They are of all clients' work, and name what it costs.
    return Router("/", route_handlers=[worker_insights], guards=[require_admin], tags=["insights"])
