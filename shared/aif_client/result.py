"""An execution that has ended: what it delivered, and what it took."""

from decimal import Decimal
from typing import Any

from msgspec import Struct

from aif_contracts.money import usd
from aif_contracts.orders import ExecutionStatus, ExecutionView


class ExecutionResult(Struct, frozen=True, kw_only=True):
    output: dict[str, Any]
    """What the pipeline delivers, by name: JSON as Python values, anything else as bytes. Nothing when it failed."""
    execution: ExecutionView
    """All that is known of it, stage by stage: attempts, providers, models, cost, time."""

    @property
    def execution_id(self) -> str:
        return self.execution.execution_id

    @property
    def status(self) -> ExecutionStatus:
        return self.execution.status

    @property
    def success(self) -> bool:
        """Whether it delivered. Only optional steps are missing when it is partially completed."""
        return self.status in (ExecutionStatus.COMPLETED, ExecutionStatus.PARTIALLY_COMPLETED)

    @property
    def total_cost_usd(self) -> Decimal | None:
        """Failed attempts included. None when a provider call's cost is unknown; `execution.totals` has the known part."""
        totals = self.execution.totals
        return usd(totals.cost_usd) if totals.cost_is_complete else None

    @property
    def total_duration_ms(self) -> int:
        """From its acceptance to its end."""
        return self.execution.totals.wall_time_ms

    @property
    def total_tokens(self) -> int:
        return self.execution.totals.tokens_used.total_tokens

    @property
    def attempts(self) -> int:
        """Of all steps together."""
        return self.execution.totals.attempts

    @property
    def fallbacks(self) -> dict[str, str]:
        """The model that failed and was replaced, by the step's name."""
        models = {stage.stage_id: stage.metrics.fallback_from for stage in self.execution.stages}
        return {step: model for step, model in models.items() if model is not None}

    @property
    def failure_code(self) -> str | None:
        return self.execution.failure_code

    @property
    def failure_message(self) -> str | None:
        return self.execution.failure_message
