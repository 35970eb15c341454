"""Everything several times over, the floor and ours in turn, so that a noisy neighbour meets both."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from load.measuring import Measured, measure
from load.side import Side
from load.spread import Spread, spread
from load.workloads import Workload

Of = Callable[[Measured], float]


class Results(Struct, frozen=True, kw_only=True):
    ours: dict[str, list[Measured]]
    """By workload, a measurement for each round."""
    floor: dict[str, list[Measured]]

    def of_ours(self, workload: Workload, of: Of) -> Spread:
        return spread(of(each) for each in self.ours[workload.key])

    def ratio(self, workload: Workload, of: Of) -> Spread | None:
        """Ours to the floor of the same round; None when that was not measured, or less than can be."""
        floor = self.floor.get(workload.floor_of or workload.key, [])
        if not floor or not all(of(each) for each in floor):
            return None
        return spread(of(mine) / of(theirs) for mine, theirs in zip(self.ours[workload.key], floor, strict=True))


async def play_rounds(
    workloads: Sequence[Workload], *, ours: Side, floor: Side, repeat: int, say: Callable[[str], None]
) -> Results:
    results = Results(ours={each.key: [] for each in workloads}, floor={})
    for number in range(repeat):
        for workload in workloads:
            # Who comes first has the caches cold and the disk's queue empty: each is first in turn.
            sides = [(floor, results.floor), (ours, results.ours)]
            for side, taken in sides if number % 2 == 0 else reversed(sides):
                if side is floor and workload.floor_of is not None:
                    continue
                measured = await measure(side, workload)
                taken.setdefault(workload.key, []).append(measured)
                say(
                    f"  round {number + 1}  {workload.title:<34} {side.name:<6} {measured.per_second:8.0f}/s  "
                    f"p50 {measured.p50_ms:8.2f} ms  CPU {measured.whole_cpu_ms:6.2f} ms"
                )
    return results
