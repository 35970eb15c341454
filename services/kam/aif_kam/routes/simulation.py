"""What an order would cost and how long it would take, before it is placed."""

from collections.abc import Mapping
from typing import Any

from litestar import Router, post
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK
from msgspec import Struct, field
from msgspec.structs import replace

from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.money import UsdText
from aif_contracts.orders import ClientId, Name, Refusal, Version
from aif_contracts.simulation import SimulateExecution, Simulation
from aif_kam import problems
from aif_kam.failures import Refused
from aif_kam.field_words import renamed
from aif_kam.order_parameters import check_wishes, no_source, with_source, wrong_parameters
from aif_kam.parts import Parts
from aif_kam.payloads import MaxCost
from aif_kam.routes.calling import CallerRequest, StrictJson


class SimulateTemplate(Struct, frozen=True, kw_only=True):
    parameters: dict[str, Any] = field(default_factory=dict)
    """As the order itself would have them. A `source_text` is measured and not kept."""
    client_id: ClientId | None = None
    template_version: Version | None = None
    max_cost_usd: MaxCost | None = None


class SimulatePipeline(Struct, frozen=True, kw_only=True):
    pipeline_name: Name
    input_data: dict[str, Any] = field(default_factory=dict)
    """The pipeline's parameters."""
    client_id: ClientId | None = None
    pipeline_version: Version | None = None
    max_cost_usd: MaxCost | None = None


class _Wish(Struct, frozen=True, kw_only=True):
    client_id: str
    template: str
    version: str | None
    parameters: Mapping[str, Any]
    max_cost_usd: UsdText | None
    template_field: str
    version_field: str
    parameters_field: str

    def in_its_words(self, refusal: Refusal) -> Refusal:
        """The orchestrator names fields of its own question; the caller has others."""
        words = {
            "template_name": self.template_field,
            "template_version": self.version_field,
            "parameters": self.parameters_field,
        }
        return replace(refusal, mistakes=renamed(refusal.mistakes, words))


def simulation_routes(parts: Parts) -> Router:
    documented = problems.documented(*problems.BODY, *problems.ABSENT)

    @post(
        "/api/v1/ai/pipelines/simulate",
        status_code=HTTP_200_OK,
        dto=StrictJson[SimulatePipeline],
        return_dto=None,
        responses=documented,
        summary="What an execution would cost and how long it would take: P10, P50, P90, stage by stage",
        tags=["pipelines"],
    )
    async def of_pipeline(request: CallerRequest, data: JSONBody[SimulatePipeline]) -> Simulation:
        wish = _Wish(
            client_id=await parts.identity.acting_for(request.auth, data.client_id),
            template=data.pipeline_name,
            version=data.pipeline_version,
            parameters=data.input_data,
            max_cost_usd=data.max_cost_usd,
            template_field="pipeline_name",
            version_field="pipeline_version",
            parameters_field="input_data",
        )
        return await _simulated(parts, wish)

    @post(
        "/api/kam/templates/{name:str}/simulate",
        status_code=HTTP_200_OK,
        dto=StrictJson[SimulateTemplate],
        return_dto=None,
        responses=documented,
        summary="What an order of this template would cost and how long it would take: P10, P50, P90, stage by stage",
        tags=["documents"],
    )
    async def of_template(request: CallerRequest, name: FromPath[str], data: JSONBody[SimulateTemplate]) -> Simulation:
        client_id = await parts.identity.acting_for(request.auth, data.client_id)
        wish = _Wish(
            client_id=client_id,
            # Of an address that names nothing, the address is to blame.
            template=(await parts.catalogue.get(name, client_id)).name,
            version=data.template_version,
            parameters=data.parameters,
            max_cost_usd=data.max_cost_usd,
            template_field="name",
            version_field="template_version",
            parameters_field="parameters",
        )
        return await _simulated(parts, wish)

    return Router("/", route_handlers=[of_pipeline, of_template])


async def _simulated(parts: Parts, wish: _Wish) -> Simulation:
    question = await _question(parts, wish)
    try:
        return await parts.orchestrator.simulate(question)
    except Refused as refused:
        raise Refused(wish.in_its_words(refused.refusal)) from refused


async def _question(parts: Parts, wish: _Wish) -> SimulateExecution:
    """Checked as an order is; of a text in it only the length is told, and nothing kept. Raises InvalidInput, Unavailable."""
    template = await parts.catalogue.chosen(
        wish.template, wish.client_id, field=wish.template_field, version=wish.version, version_field=wish.version_field
    )
    wishes = check_wishes(template, wish.parameters, wish.parameters_field)
    mistakes, blob = wishes.mistakes, None
    if wishes.source_id is not None and not mistakes:
        blob = await parts.intake.find_blob(wishes.source_id, wish.client_id)
        if blob is None:
            mistakes = [no_source(f"{wish.parameters_field}.source", wishes.source_id)]
    if mistakes:
        raise wrong_parameters(mistakes)
    if wishes.text is not None:
        blob = BlobRef(
            storage_type=StorageType.OBJECT,
            storage_key="sources/simulated",
            size_bytes=len(wishes.text.encode("utf-8", "replace")),
            sha256="0" * 64,
        )
    return SimulateExecution(
        client_id=wish.client_id,
        template_name=template.name,
        template_version=wish.version,
        parameters=with_source(wishes.values, blob),
        tier=(await parts.identity.client_at(wish.client_id)).tier,
        max_cost_usd=wish.max_cost_usd,
    )
