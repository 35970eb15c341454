"""Sums of what was used, over a stage and over an execution."""

from collections.abc import Callable
from decimal import Decimal
from functools import reduce

from aif_contracts.events import Totals
from aif_contracts.money import usd_text
from aif_contracts.orders import Breakdown, WorkerShare
from aif_orchestrator.execution.spent import (
    Spent,
    cost_lines_of,
    known_cost_of,
    known_cost_of_all,
    plus,
    resource_usage_of,
    spent_on_call,
    sum_usd,
    time_breakdown_of,
    tokens_of,
    total_of,
)
from aif_orchestrator.execution.state import Execution, StageRun


def spent_by_stage(run: StageRun) -> Spent:
    """What the stage has used: reported attempts, and the calls of attempts that never reported."""
    if not run.unreported_calls:
        return run.spent
    return reduce(plus, map(spent_on_call, run.unreported_calls), run.spent)


def execution_totals(execution: Execution, at_ms: int) -> Totals:
    runs = execution.stages.values()
    parts = [spent_by_stage(run) for run in runs]
    total = total_of(parts)
    ended_at = execution.ended_at if execution.ended_at is not None else at_ms
    return Totals(
        tokens_used=tokens_of(total),
        cost_usd=usd_text(known_cost_of_all(parts)),
        cost_is_complete=total.cost_usd is not None and not (execution.is_final and any(run.reserved for run in runs)),
        in_doubt_usd=usd_text(sum_usd(bound for part in parts if part.unanswered for bound in part.unanswered.values())),
        cost_lines=cost_lines_of(total),
        wall_time_ms=max(0, ended_at - execution.created_at),
        busy_time_ms=total.processing_time_ms,
        breakdown=time_breakdown_of(total),
        resource_usage=resource_usage_of(total),
        attempts=sum(run.attempt for run in runs),
    )


def breakdown_of(execution: Execution, worker_of: Callable[[str, StageRun], str]) -> Breakdown:
    """The totals by worker and by what was paid for. `worker_of` names the worker of a stage and its run."""
    by_worker: dict[str, list[StageRun]] = {}
    for stage_id, run in execution.stages.items():
        if run.attempt:
            by_worker.setdefault(worker_of(stage_id, run), []).append(run)
    parts = {worker: [spent_by_stage(run) for run in runs] for worker, runs in by_worker.items()}
    totals = {worker: total_of(own) for worker, own in parts.items()}
    return Breakdown(
        by_worker={
            worker: WorkerShare(
                attempts=sum(run.attempt for run in runs),
                tokens_used=tokens_of(totals[worker]),
                cost_usd=usd_text(known_cost_of_all(parts[worker])),
                busy_time_ms=totals[worker].processing_time_ms,
            )
            for worker, runs in by_worker.items()
        },
        by_resource=cost_lines_of(total_of(tuple(totals.values()))),
    )


def known_cost(run: StageRun) -> Decimal:
    """The part of the stage's cost that is known, in USD."""
    of_calls = sum_usd(call.cost_usd for call in run.unreported_calls if call.cost_usd is not None)
    return known_cost_of(run.spent) + of_calls
