"""Whether an order may start: it names a template that exists, its parameters fit, and the factory can do it at all."""

from datetime import timedelta

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from aif_contracts.money import ZERO, UsdText, usd
from aif_contracts.orders import LARGEST_PARAMETERS_BYTES, Execute, FieldMistake, Refusal
from aif_orchestrator.engine.plans import Plans, UnknownTemplate
from aif_orchestrator.engine.workforce import Workforce
from aif_orchestrator.execution.assignee import worker_of
from aif_orchestrator.moments import moment_in
from aif_pipelines.failures import ExpressionFailed, PipelineInvalid
from aif_pipelines.plan import Plan, RefusalPlan
from aif_runtime.clock import Clock

FARTHEST_START = timedelta(days=367)
"""A day more than the gateway allows, whose clock may be ahead of this one."""


_HEARING = frozenset({"transcription", "transcription_diarization"})
_ADDRESS = "audio_url"


class Admitted(Struct, frozen=True, kw_only=True):
    order: Execute
    owner: str
    """The client whose own pipeline it names; empty for one of the factory's."""


class Admission:
    def __init__(self, *, plans: Plans, workforce: Workforce, max_execution_cost_usd: UsdText, clock: Clock) -> None:
        self._plans = plans
        self._workforce = workforce
        self._max_execution_cost_usd = max_execution_cost_usd
        self._clock = clock

    @property
    def max_execution_cost_usd(self) -> UsdText:
        """The operator's limit."""
        return self._max_execution_cost_usd

    async def admit(self, order: Execute) -> Admitted | Refusal:
        """The order as it will run, its template version fixed and its defaults filled in, or why it will not.

        Raises DatabaseUnavailable.
        """
        try:
            chosen = await self._plans.find(order.client_id, order.template_name, order.template_version)
        except UnknownTemplate as unknown:
            mistake = FieldMistake(field=unknown.field, message=str(unknown), mend=unknown.mend)
            return Refusal(code="unknown_template", message=str(unknown), mistakes=(mistake,))
        except PipelineInvalid as invalid:
            return _outdated(order, invalid)
        plan = chosen.plan
        size = len(msgspec.json.encode(order.parameters))
        if size > LARGEST_PARAMETERS_BYTES:
            message = f"the parameters are {size} bytes long; {LARGEST_PARAMETERS_BYTES} are allowed"
            mistake = FieldMistake(field="parameters", message=message, mend="Send long texts as a source document.")
            return Refusal(code="parameters_too_large", message=message, mistakes=(mistake,))
        checked = plan.parameters.check(order.parameters)
        if checked.mistakes:
            mistakes = tuple(FieldMistake(field=each.path, message=each.message, mend=each.mend) for each in checked.mistakes)
            return Refusal(code="invalid_parameters", message=_in_words(mistakes), mistakes=mistakes)
        refusal = (
            self._refused_start(order)
            or self._refused_limit(order)
            or _refused_address(plan, checked.values)
            or self._refused_by_template(plan, checked.values)
        )
        if refusal is not None:
            return refusal
        fixed = replace(order, parameters=checked.values, template_version=plan.pipeline.version)
        return Admitted(order=fixed, owner=chosen.owner)

    def _refused_start(self, order: Execute) -> Refusal | None:
        mistakes: list[FieldMistake] = []
        moment = moment_in("start_at", order.start_at, mistakes)
        if moment is not None and moment > self._clock.now() + FARTHEST_START:
            message = f"start_at is {order.start_at}, which is more than a year ahead"
            mistakes.append(FieldMistake(field="start_at", message=message, mend="Name a time within a year."))
        if not mistakes:
            return None
        return Refusal(code="invalid_start", message=mistakes[0].message, mistakes=tuple(mistakes))

    def _refused_limit(self, order: Execute) -> Refusal | None:
        if order.max_cost_usd is None or ZERO < usd(order.max_cost_usd) <= usd(self._max_execution_cost_usd):
            return None
        message = f"an execution may spend more than 0 and at most {self._max_execution_cost_usd} USD, not {order.max_cost_usd}"
        mend = "Leave it out for the operator's limit, or have the operator raise AIF_ORCHESTRATOR_MAX_EXECUTION_COST_USD."
        mistake = FieldMistake(field="max_cost_usd", message=message, mend=mend)
        return Refusal(code="limit_not_allowed", message=message, mistakes=(mistake,))

    def _refused_by_template(self, plan: Plan, parameters: dict[str, object]) -> Refusal | None:
        if not plan.refusals:
            return None
        present = self._workforce.present()
        absent = {worker_of(stage) for stage in plan.stages.values()} - present.live_workers
        scope = {"params": parameters, "capabilities": sorted(present.capabilities)}
        for rule in plan.refusals:
            if absent and any(path.root == "capabilities" for path in rule.condition.references):
                # Who could do it is unknown while its worker is away; the worker itself will say so when it is back.
                continue
            try:
                is_refused = rule.condition.holds(scope)
            except ExpressionFailed as failure:
                return _undecidable(plan, rule, failure)
            if is_refused:
                field = rule.refusal.field
                mend = f"Give {field}" if parameters.get(field) is None else f"Change {field} or leave it out"
                mistake = FieldMistake(
                    field=f"parameters.{field}",
                    message=rule.refusal.message,
                    mend=f"{mend}, or have the operator change what the message names.",
                )
                return Refusal(code="order_refused", message=rule.refusal.message, mistakes=(mistake,))
        return None


def _refused_address(plan: Plan, parameters: dict[str, object]) -> Refusal | None:
    """A recording that is to be fetched by the stage that hears it. What a stage before that one has made is its own affair."""
    hears_first = any(stage.stage.capability in _HEARING and not stage.depends_on for stage in plan.stages.values())
    if not hears_first or parameters.get(_ADDRESS) is None or parameters.get("source") is not None:
        return None
    message = f"{_ADDRESS} is an address, and no recording is fetched from one"
    mend = f"Upload the recording to /api/kam/sources and name its source_id as source, in place of {_ADDRESS}."
    mistake = FieldMistake(field=f"parameters.{_ADDRESS}", message=message, mend=mend)
    return Refusal(code="address_not_fetched", message=message, mistakes=(mistake,))


def _undecidable(plan: Plan, rule: RefusalPlan, failure: ExpressionFailed) -> Refusal:
    """The template's own condition has no value for these parameters, so nobody knows whether it wants the order."""
    field = rule.refusal.field
    message = f"{plan.pipeline.name} cannot judge the order by its refusal {rule.condition.text!r}: {failure.message}"
    mend = f"Give another {field}; or save a version of the pipeline whose condition has a value here. {failure.mend}"
    mistake = FieldMistake(field=f"parameters.{field}", message=message, mend=mend)
    return Refusal(code="order_refused", message=message, mistakes=(mistake,))


def _outdated(order: Execute, invalid: PipelineInvalid) -> Refusal:
    """It was stored by a release that took what this one refuses."""
    first = invalid.mistakes[0]
    mistake = FieldMistake(field="template_name", message=str(first), mend="Save a mended version of the pipeline.")
    return Refusal(code="invalid_pipeline", message=f"{order.template_name} cannot be run: {first}", mistakes=(mistake,))


def _in_words(mistakes: tuple[FieldMistake, ...]) -> str:
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return f"{mistakes[0].message}{more}"
