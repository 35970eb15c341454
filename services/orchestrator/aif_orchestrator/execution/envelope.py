"""The most that an execution can cost: what is reserved of its client's budget before anything begins.

Reserved stage by stage, a budget for half of the work finishes little of it: all begin, and few can end. So the bounds of all
stages are reserved together, stages that may be added and compensations at their cap.
"""

from collections.abc import Iterable
from decimal import Decimal

from aif_contracts.money import ZERO, UsdText, usd, usd_text
from aif_orchestrator.execution.assignee import action_of, worker_of
from aif_orchestrator.execution.happenings import Circumstances
from aif_pipelines.definition import AddStage, RetryStage
from aif_pipelines.plan import StagePlan

ATTEMPTS_WORTH = 2
"""A stage that names no limit of its own may cost as much as two attempts at their bound."""


def envelope_of(circumstances: Circumstances, wanted: UsdText | None) -> UsdText:
    """In USD; 0 when no stage can cost anything. `wanted` is the order's own limit."""
    bounds = ZERO
    for plan, times in _paid_stages(circumstances):
        bounds += _bound_of(circumstances, plan) * times
    return usd_text(min(usd(wanted or circumstances.max_execution_cost_usd), bounds)) if bounds else "0"


def paid_stage_count(circumstances: Circumstances) -> int:
    return sum(times for _, times in _paid_stages(circumstances))


def stage_limit(circumstances: Circumstances, plan: StagePlan) -> Decimal:
    """What all attempts at the stage may cost together, in USD."""
    own = plan.stage.max_cost_usd
    return usd(own) if own is not None else usd(circumstances.max_attempt_cost_usd) * ATTEMPTS_WORTH


def _bound_of(circumstances: Circumstances, plan: StagePlan) -> Decimal:
    """A rule that has the stage tried again may double its cost, unless it has a limit."""
    limit = stage_limit(circumstances, plan)
    if plan.stage.max_cost_usd is not None:
        return limit
    again = sum(rule.max_retries for rule in plan.stage.rules if isinstance(rule, RetryStage))
    return limit + usd(circumstances.max_attempt_cost_usd) * again


def _paid_stages(circumstances: Circumstances) -> Iterable[tuple[StagePlan, int]]:
    """With how often each may run."""
    plan = circumstances.plan
    for stage in plan.stages.values():
        if _is_paid(circumstances, stage):
            yield stage, 1
    times: dict[str, int] = {}
    for stage in (*plan.stages.values(), *plan.extra.values()):
        for rule in stage.stage.rules:
            if isinstance(rule, AddStage):
                times[rule.stage.id] = times.get(rule.stage.id, 0) + rule.max_times
    for stage_id, stage in plan.extra.items():
        if _is_paid(circumstances, stage):
            yield stage, times.get(stage_id, 1)


def _is_paid(circumstances: Circumstances, stage: StagePlan) -> bool:
    return (worker_of(stage), action_of(stage)) not in circumstances.free_actions
