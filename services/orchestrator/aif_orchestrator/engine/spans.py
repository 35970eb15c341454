"""Executions and their stages as spans of the order's trace.

They are recorded when they have ended, while their attempts, in other processes, are their children from the first packet on:
so their ids follow from their names. An execution that is resumed has one span for each leg.
"""

from collections.abc import Mapping

from aif_contracts.orders import StageStatus
from aif_orchestrator.engine.batch import Worked
from aif_orchestrator.execution.state import Execution, StageRun
from aif_runtime.telemetry import Headers, Tracing

_NS_OF_MS = 1_000_000


class ExecutionSpans:
    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def headers(self, execution: Execution, stage_id: str | None = None) -> Headers:
        """For what the execution, or one of its stages, causes."""
        if not self._tracing.is_on:
            return execution.trace
        inner = self._tracing.child(execution.trace, _name(execution))
        return inner if stage_id is None else self._tracing.child(inner, stage_id)

    def record(self, worked: Worked) -> None:
        """What has ended by this."""
        execution = worked.execution
        if execution is None or not worked.has_changed or not self._tracing.is_on:
            return
        before: Mapping[str, StageRun] = {} if worked.before is None else worked.before.stages
        for stage_id, run in execution.stages.items():
            was = before.get(stage_id)
            if run.status.is_final and run is not was and (was is None or not was.status.is_final):
                self._record_stage(execution, stage_id, run)
        if execution.ended_at is not None and (worked.before is None or not worked.before.is_final):
            self._record_execution(execution, execution.ended_at)

    def _record_stage(self, execution: Execution, stage_id: str, run: StageRun) -> None:
        if run.ready_at is None or run.finished_at is None:
            return
        self._tracing.record_span(
            "stage",
            start_ns=run.ready_at * _NS_OF_MS,
            end_ns=run.finished_at * _NS_OF_MS,
            parent=self.headers(execution),
            attributes={
                "aif.execution_id": execution.execution_id,
                "aif.stage_id": stage_id,
                "aif.status": str(run.status),
                "aif.attempts": run.attempt,
                **({} if run.spent.cost_usd is None else {"aif.cost_usd": run.spent.cost_usd}),
            },
            failure=str(run.status) if run.status is StageStatus.FAILED else None,
            known_as=stage_id,
        )

    def _record_execution(self, execution: Execution, ended_at: int) -> None:
        self._tracing.record_span(
            "execution",
            start_ns=(execution.leg_began_at or execution.created_at) * _NS_OF_MS,
            end_ns=ended_at * _NS_OF_MS,
            parent=execution.trace,
            attributes={
                "aif.execution_id": execution.execution_id,
                "aif.template": execution.template,
                "aif.status": str(execution.status),
            },
            failure=execution.failure_code,
            known_as=_name(execution),
        )


def _name(execution: Execution) -> str:
    return f"{execution.execution_id}.{execution.leg}"
