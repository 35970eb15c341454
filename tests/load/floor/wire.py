"""What the floor's processes say to each other, and where."""

from collections.abc import Mapping

from msgspec import Struct

WORK_STREAM = "FLOOR_WORK"
REPORT_STREAM = "FLOOR_REPORTS"
WORK_CONSUMER = "floor_workers"
REPORT_CONSUMER = "floor_orchestrators"

ORDER = "floor.order"
"""Request and reply: answered when the order is committed."""
WORK = "floor.work"
REPORT = "floor.report"
ENDED = "floor.ended.*"


def ended(execution_id: str) -> str:
    return f"floor.ended.{execution_id}"


class Order(Struct, frozen=True, kw_only=True):
    execution_id: str
    widths: tuple[int, ...]
    """How many stages run side by side, step after step: (1, 1, 1) is a chain, (50, 1) a fan-out and a join."""
    action: str
    parameters: dict[str, str | float]


class Packet(Struct, frozen=True, kw_only=True):
    execution_id: str
    step: int
    place: int
    """Among the stages of the step."""
    action: str
    input: Mapping[str, str | float]


class Metrics(Struct, frozen=True, kw_only=True):
    tokens_used: int
    api_calls: int
    processing_time_ms: float
    cpu_time_ms: float


class Report(Struct, frozen=True, kw_only=True):
    execution_id: str
    step: int
    place: int
    output: Mapping[str, str | float]
    metrics: Metrics
