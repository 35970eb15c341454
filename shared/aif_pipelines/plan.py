"""A pipeline ready to run: everything that is text in the definition is compiled once, here."""

from collections.abc import Iterator, Mapping, Set
from typing import Any

import msgspec
from msgspec import Struct

from aif_pipelines.checks import examine
from aif_pipelines.definition import Pipeline, Refusal
from aif_pipelines.expressions import Expression
from aif_pipelines.failures import PipelineInvalid
from aif_pipelines.graph import topological_order
from aif_pipelines.mistakes import Mistake
from aif_pipelines.parameters import ParameterCheck
from aif_pipelines.stage_plan import RulePlan, StagePlan, compensation_id, compensation_plan

__all__ = ["Plan", "RefusalPlan", "RulePlan", "StagePlan", "compensation_id", "compile_pipeline"]


class RefusalPlan(Struct, frozen=True, kw_only=True):
    refusal: Refusal
    condition: Expression


class Plan(Struct, frozen=True, kw_only=True):
    pipeline: Pipeline
    order: tuple[str, ...]
    """Stage ids, each after those it depends on, else in the order of the document."""
    stages: Mapping[str, StagePlan]
    extra: Mapping[str, StagePlan]
    """Stages that a rule may add, by id, and what undoes a stage, added ones too, by `compensation_id`."""
    refusals: tuple[RefusalPlan, ...]
    parameters: ParameterCheck

    def stage_plan(self, plan_id: str) -> StagePlan:
        """Of a stage of the pipeline, of one that a rule may add, or of a compensation."""
        found = self.stages.get(plan_id)
        return self.extra[plan_id] if found is None else found

    def refuse(self, params: Mapping[str, Any], capabilities: Set[str]) -> list[Mistake]:
        """Why an order with these checked parameters cannot be taken now; empty when it can.

        `capabilities` are the words of the live workers. Raises ExpressionFailed when a condition has no value.
        """
        scope = {"params": dict(params), "capabilities": sorted(capabilities)}
        return [
            Mistake(path=f"parameters.{plan.refusal.field}", message=plan.refusal.message, mend="Change the order.")
            for plan in self.refusals
            if plan.condition.holds(scope)
        ]


def compile_pipeline(pipeline: Pipeline) -> Plan:
    """Raises PipelineInvalid with every mistake."""
    found = examine(pipeline)
    if found.mistakes:
        raise PipelineInvalid(found.mistakes)
    plans = {compiled.plan.stage.id: compiled.plan for compiled in found.stages}
    order = topological_order({name: plan.depends_on for name, plan in plans.items()})
    return Plan(
        pipeline=pipeline,
        order=order,
        stages={name: _with_dependents(name, plans, order) for name in order},
        extra={extra.stage.id: extra for plan in plans.values() for extra in _extra(plan)},
        refusals=tuple(
            RefusalPlan(refusal=refusal, condition=condition)
            for refusal, condition in zip(pipeline.refusals, found.refusals, strict=True)
        ),
        parameters=ParameterCheck(pipeline.parameters),
    )


def _extra(plan: StagePlan) -> Iterator[StagePlan]:
    compensation = compensation_plan(plan)
    if compensation is not None:
        yield compensation
    for rule in plan.rules:
        if rule.added is not None:
            yield rule.added
            yield from _extra(rule.added)


def _with_dependents(name: str, plans: Mapping[str, StagePlan], order: tuple[str, ...]) -> StagePlan:
    dependents = tuple(other for other in order if name in plans[other].depends_on)
    return msgspec.structs.replace(plans[name], dependents=dependents)
