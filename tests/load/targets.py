"""What is aimed at, beside what was measured."""

from collections.abc import Sequence

from msgspec import Struct

from load.floor.floor import NAME as FLOOR
from load.measuring import Measured
from load.restate.peer import NAME as RESTATE
from load.rounds import Of, Results
from load.spread import Spread, figure
from load.workloads import AT_ONCE, FAN_OUT, IN_FLIGHT, ONE_AT_A_TIME, PAID_IN_FLIGHT, PAID_ONE, Workload


class Target(Struct, frozen=True, kw_only=True):
    what: str
    workload: str
    of: Of
    limit: float
    unit: str
    at_least: bool = False
    """The limit is the least; otherwise it is the most."""
    to: str | None = None
    """The side to which ours is a ratio; None for a figure of ours alone."""

    def is_reached(self, median: float) -> bool:
        return median >= self.limit if self.at_least else median <= self.limit

    @property
    def words(self) -> str:
        sign = "at least" if self.at_least else "at most"
        return f"{sign} {self.limit:,g}{self.unit}"


class Judged(Struct, frozen=True, kw_only=True):
    what: str
    target: str
    measured: Spread
    unit: str
    reached: bool


def _p50(measured: Measured) -> float:
    return measured.p50_ms


def _p99(measured: Measured) -> float:
    return measured.p99_ms


def _rate(measured: Measured) -> float:
    return measured.per_second


def _wall(measured: Measured) -> float:
    return measured.wall_seconds


def _cpu(measured: Measured) -> float:
    return measured.whole_cpu_ms


def _largest_process(measured: Measured) -> float:
    return max(measured.memory_mb.values())


TARGETS = (
    Target(what="W1a p50", workload=ONE_AT_A_TIME, of=_p50, limit=6, unit=" ms"),
    Target(what="W1a p99", workload=ONE_AT_A_TIME, of=_p99, limit=12, unit=" ms"),
    Target(what="W1a p50, every attempt claimed", workload=PAID_ONE, of=_p50, limit=6, unit=" ms"),
    Target(what="W1b executions", workload=IN_FLIGHT, of=_rate, limit=1300, unit="/s", at_least=True),
    Target(what="W1b, every attempt claimed", workload=PAID_IN_FLIGHT, of=_rate, limit=1300, unit="/s", at_least=True),
    Target(what="W1b to the floor", workload=IN_FLIGHT, of=_rate, limit=0.5, unit="", at_least=True, to=FLOOR),
    Target(what="W1b to Restate", workload=IN_FLIGHT, of=_rate, limit=3, unit="", at_least=True, to=RESTATE),
    Target(what="W1c wall time", workload=AT_ONCE, of=_wall, limit=3.5, unit=" s"),
    Target(what="W1c largest process", workload=AT_ONCE, of=_largest_process, limit=250, unit=" MB"),
    Target(what="W1d CPU, one at a time", workload=ONE_AT_A_TIME, of=_cpu, limit=5, unit=" ms"),
    Target(what="W1d CPU, 200 in flight", workload=IN_FLIGHT, of=_cpu, limit=1.3, unit=" ms"),
    Target(what="CPU to Restate, one at a time", workload=ONE_AT_A_TIME, of=_cpu, limit=0.333, unit="", to=RESTATE),
    Target(what="CPU to Restate, 200 in flight", workload=IN_FLIGHT, of=_cpu, limit=0.333, unit="", to=RESTATE),
    Target(what="W2 p50", workload=FAN_OUT, of=_p50, limit=14, unit=" ms"),
)
RATIOS: tuple[tuple[str, Of], ...] = (("executions/s", _rate), ("p50", _p50), ("CPU", _cpu))


def judge(workloads: Sequence[Workload], results: Results) -> list[Judged]:
    by_key = {each.key: each for each in workloads}
    judged = []
    for target in TARGETS:
        workload = by_key.get(target.workload)
        if workload is None:
            continue
        measured = (
            results.of_ours(workload, target.of) if target.to is None else results.ratio(workload, target.of, to=target.to)
        )
        if measured is None:
            continue
        judged.append(
            Judged(
                what=target.what,
                target=target.words,
                measured=measured,
                unit=target.unit,
                reached=target.is_reached(measured.median),
            )
        )
    return judged


def growth_judged(slowdown_percent: Spread, most_percent: float = 10.0) -> Judged:
    return Judged(
        what="Growth: W1b slower by",
        target=f"at most {figure(most_percent)} %",
        measured=slowdown_percent,
        unit=" %",
        reached=slowdown_percent.median <= most_percent,
    )
