"""A past execution as far as a simulation looks at it: what each stage has cost and taken, and what was ordered."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from aif_contracts.money import ZERO


class StageShare(Struct, frozen=True, kw_only=True):
    """What one stage has used in one execution, all its attempts together."""

    worker_name: str
    action: str
    cost_usd: Decimal
    saved_usd: Decimal = ZERO
    """What it would have cost more without the response cache."""
    time_ms: int
    """From ready to the end of its last attempt."""


class PastExecution(Struct, frozen=True, kw_only=True):
    execution_id: str
    template_version: str
    traits: Mapping[str, float]
    stages: Mapping[str, StageShare]
    """By the id under which each ran. One that is not here was left out, or the execution ended before it."""

    @property
    def cost_usd(self) -> Decimal:
        return sum((share.cost_usd for share in self.stages.values()), ZERO)

    @property
    def saved_usd(self) -> Decimal:
        return sum((share.saved_usd for share in self.stages.values()), ZERO)

    @property
    def time_ms(self) -> int:
        """Work and waiting of all stages together: not wall time, but it grows with the same things."""
        return sum(share.time_ms for share in self.stages.values())


def traits_of(parameters: Mapping[str, Any]) -> dict[str, float]:
    """What of an order can be more or less: numbers as they are, documents by bytes, texts and lists by length."""
    found: dict[str, float] = {}
    for name, value in parameters.items():
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            found[name] = float(value)
        elif isinstance(value, str | list):
            found[f"length of {name}"] = float(len(value))
        elif isinstance(value, dict) and isinstance(value.get("size_bytes"), int):
            found[f"size of {name}"] = float(value["size_bytes"])
    return found
