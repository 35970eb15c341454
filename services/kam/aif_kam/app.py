"""The HTTP app: routes, problem documents, limits, its own description."""

from typing import Any, cast

from litestar import Litestar, Response, Router
from litestar.config.app import AppConfig
from litestar.exceptions import HTTPException, NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.routes import HTTPRoute
from litestar.status_codes import HTTP_404_NOT_FOUND

from aif_kam import problems
from aif_kam.access import Access
from aif_kam.described_structs import DescribedStructs
from aif_kam.described_tuples import BoundedTuples
from aif_kam.failures import KamFailure
from aif_kam.parts import Parts
from aif_kam.routes.accounts import account_routes
from aif_kam.routes.address_parameters import refuse_unknown_parameters
from aif_kam.routes.audit import audit_routes
from aif_kam.routes.batches import batch_routes
from aif_kam.routes.budgets import admin_budget_routes, budget_routes
from aif_kam.routes.calling import API_KEY_HEADER, key_guard
from aif_kam.routes.calls import call_routes
from aif_kam.routes.client_configuration import client_configuration_routes
from aif_kam.routes.clients import client_routes
from aif_kam.routes.configuration import configuration_routes
from aif_kam.routes.dead_letters import dead_letter_routes
from aif_kam.routes.documents import document_routes
from aif_kam.routes.events import event_routes, event_socket
from aif_kam.routes.history import history_routes
from aif_kam.routes.keys import key_routes
from aif_kam.routes.operations import insight_routes, open_routes
from aif_kam.routes.pipelines import pipeline_routes
from aif_kam.routes.requests import request_routes
from aif_kam.routes.schedules import schedule_routes
from aif_kam.routes.simulation import simulation_routes
from aif_kam.routes.steering import steering_routes
from aif_kam.routes.stored_pipelines import stored_pipeline_routes
from aif_kam.routes.usage import admin_usage_routes, usage_routes
from aif_kam.routes.workers import worker_routes
from aif_runtime.failures import RuntimeFailure
from aif_runtime.health import AsgiApp

MAX_JSON_BYTES = 1024 * 1024


def create_app(parts: Parts) -> AsgiApp:
    """An ASGI app. Whoever serves it ends open streams through the drain signal in `parts.events`."""
    keyed = Router(
        "/",
        route_handlers=[
            request_routes(parts),
            pipeline_routes(parts),
            steering_routes(parts),
            history_routes(parts),
            simulation_routes(parts),
            stored_pipeline_routes(parts),
            worker_routes(parts),
            dead_letter_routes(parts),
            call_routes(parts),
            audit_routes(parts),
            schedule_routes(parts),
            batch_routes(parts),
            event_routes(parts),
            document_routes(parts),
            insight_routes(parts),
            configuration_routes(parts),
            client_configuration_routes(parts),
            usage_routes(parts),
            admin_usage_routes(parts),
            budget_routes(parts),
            admin_budget_routes(parts),
            account_routes(parts),
            client_routes(parts),
            key_routes(parts),
        ],
        guards=[key_guard(parts.identity)],
        before_request=refuse_unknown_parameters,
    )
    app = Litestar.from_config(
        AppConfig(
            route_handlers=[keyed, event_socket(parts), open_routes(parts)],
            exception_handlers={
                KamFailure: problems.on_kam_failure,
                RuntimeFailure: problems.on_runtime_failure,
                HTTPException: problems.on_http_exception,
                Exception: problems.on_bug,
            },
            openapi_config=_description(parts.version),
            plugins=[BoundedTuples(), DescribedStructs()],
            request_max_body_size=MAX_JSON_BYTES,
            debug=False,
        )
    )
    # The framework types scopes and messages more closely than ASGI does.
    inner = parts.bodies.around(cast(AsgiApp, app))
    return Access(inner, methods=_methods_by_route(app), tracing=parts.tracing, registry=parts.registry)


def _methods_by_route(app: Litestar) -> dict[str, set[str]]:
    return {route.path_format: set(route.methods) for route in app.routes if isinstance(route, HTTPRoute)}


def _description(version: str) -> OpenAPIConfig:
    scheme = SecurityScheme(type="apiKey", name=API_KEY_HEADER, security_scheme_in="header")
    return OpenAPIConfig(
        title="AI Factory",
        version=version,
        description=(
            "Orders in, deliverables out. Errors are problem documents (RFC 9457). "
            "HEAD is answered wherever GET is, with the same headers and no body."
        ),
        openapi_router=Router(
            "/schema", route_handlers=[], include_in_schema=False, dto=None, return_dto=None, after_request=_without_pages
        ),
        render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
        components=Components(security_schemes={"ApiKey": scheme}),
        security=[{"ApiKey": []}],
    )


async def _without_pages(response: Response[Any]) -> Response[Any]:
    """Below the description the framework answers with a page of its own what there is not."""
    if response.status_code == HTTP_404_NOT_FOUND:
        raise NotFoundException
    return response
