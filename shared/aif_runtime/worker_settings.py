"""Settings of a process that runs a worker, and the prices of what an attempt uses besides providers."""

from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from aif_contracts.money import ZERO, usd_text
from aif_runtime.process_settings import CommonSettings


class CostRates(Struct, frozen=True, kw_only=True):
    """US dollars for one operation of a kind."""

    api_call: Decimal = ZERO
    kv_operation: Decimal = ZERO
    object_operation: Decimal = ZERO
    cpu_ms: Decimal = ZERO

    @property
    def are_nothing(self) -> bool:
        return not (self.api_call or self.kv_operation or self.object_operation or self.cpu_ms)


class WorkerSettings(CommonSettings, frozen=True, kw_only=True):
    ack_wait_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=600,
            description="After so many silent seconds a packet goes to another worker; at most the orchestrator's lease",
        ),
    ] = 30.0
    api_call_cost: Annotated[Decimal, Meta(description="US dollars that one provider call costs besides its tokens")] = ZERO
    kv_operation_cost: Annotated[
        Decimal, Meta(description="US dollars for one key-value read or write", extra={"env": "KV_OPERATION_COST"})
    ] = ZERO
    r2_operation_cost: Annotated[
        Decimal, Meta(description="US dollars for one object store read or write", extra={"env": "R2_OPERATION_COST"})
    ] = ZERO
    cpu_cost_per_ms: Annotated[
        Decimal, Meta(description="US dollars for a millisecond of CPU time", extra={"env": "CPU_COST_PER_MS"})
    ] = ZERO

    def __post_init__(self) -> None:
        for name in ("api_call_cost", "kv_operation_cost", "r2_operation_cost", "cpu_cost_per_ms"):
            rate = getattr(self, name)
            if rate < 0:
                raise ValueError(f"{name} is {rate}: a price is 0 or more")
            try:
                usd_text(rate)
            except ArithmeticError as too_large:
                raise ValueError(f"{name} is {rate}: that is no price") from too_large

    @property
    def cost_rates(self) -> CostRates:
        return CostRates(
            api_call=self.api_call_cost,
            kv_operation=self.kv_operation_cost,
            object_operation=self.r2_operation_cost,
            cpu_ms=self.cpu_cost_per_ms,
        )
