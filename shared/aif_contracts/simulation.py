"""What an execution would cost and how long it would take, asked before it is ordered.

P10, P50 and P90 are the amounts that one in ten, half and nine in ten executions like it stay below.
"""

import enum
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from aif_contracts.money import UsdText
from aif_contracts.orders import ClientId, Name
from aif_contracts.packets import Priority


class SimulateExecution(Struct, frozen=True, kw_only=True):
    """Nothing is started, stored or reserved. Answered with Simulation or Refusal, as the order itself would be."""

    client_id: ClientId
    template_name: Name
    template_version: str | None = None
    """None for the newest."""
    parameters: dict[str, Any] = field(default_factory=dict)
    priority: Priority = Priority.NORMAL
    tier: str = "standard"
    max_cost_usd: UsdText | None = None
    """The order's own limit; None for the operator's."""


class Grounds(enum.StrEnum):
    """What an estimate of a stage rests on."""

    HISTORY = "history"
    """On the client's own executions of the template."""
    SIMILAR = "similar"
    """On those of them that are like this one, in what the history shows to matter."""
    TOKEN_MODEL = "token_model"
    """On an assumed number of tokens and the price of the model that would be used: there is too little history."""
    FREE = "free"
    """Nothing in it can cost anything; its time is assumed."""


class UsdRange(Struct, frozen=True, kw_only=True):
    p10: UsdText
    p50: UsdText
    p90: UsdText


class MsRange(Struct, frozen=True, kw_only=True):
    """Milliseconds."""

    p10: int
    p50: int
    p90: int


class StageSimulation(Struct, frozen=True, kw_only=True):
    stage_id: str
    worker_name: str
    action: str
    grounds: Grounds
    samples: int
    """Past executions that it rests on; 0 for an assumption."""
    runs_percent: Annotated[int, Meta(ge=0, le=100)]
    """How often it runs at all: a condition may leave it out, a rule may add it."""
    cost_usd: UsdRange
    """When it runs; retries and failed attempts included."""
    time_ms: MsRange
    """When it runs: from ready to ended, waiting and retries included."""
    model: str | None = None
    """That the token model has reckoned with."""


class Simulation(Struct, frozen=True, kw_only=True):
    template: str
    template_version: str
    cost_usd: UsdRange
    time_ms: MsRange
    """Wall time, from the start to the end; stages side by side where the pipeline allows it."""
    bound_usd: UsdText
    """The most that it can cost; as much is reserved of the budget when it is ordered."""
    samples: int
    """Past executions that were looked at."""
    stages: tuple[StageSimulation, ...]
    """In the pipeline's order, those that rules may add and compensations behind it."""
    assumptions: tuple[str, ...]
    """What was taken for granted, in words."""
    over_limit_percent: Annotated[int, Meta(ge=0, le=100)] | None = None
    """How many of the ways that it may go cost more than the order's own limit: such an order fails before its end. The
    other figures are told as if there were no such limit. None where the order has none."""
