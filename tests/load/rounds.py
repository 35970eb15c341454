"""Everything several times over, the sides in turn, so that a noisy neighbour meets all of them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

from msgspec import Struct

from load.measuring import Measured, measure
from load.side import Side
from load.spread import Spread, spread
from load.workloads import Workload

Of = Callable[[Measured], float]
Visit = Callable[[], AbstractAsyncContextManager[Side]]
"""A side that is there while it plays and is gone while the others do."""


class Results(Struct, frozen=True, kw_only=True):
    ours: Mapping[str, Sequence[Measured]]
    """By workload, a measurement for each round."""
    others: Mapping[str, Mapping[str, Sequence[Measured]]]
    """The same of the sides beside ours, by their names."""

    def of_ours(self, workload: Workload, of: Of) -> Spread:
        return spread(of(each) for each in self.ours[workload.key])

    def ratio(self, workload: Workload, of: Of, *, to: str) -> Spread | None:
        """Ours to the other side of the same round; None when that was not measured, or less than can be."""
        other = self.others.get(to, {}).get(workload.floor_of or workload.key, [])
        if not other or not all(of(each) for each in other):
            return None
        return spread(of(mine) / of(theirs) for mine, theirs in zip(self.ours[workload.key], other, strict=True))


async def play_rounds(
    workloads: Sequence[Workload],
    *,
    ours: Side,
    floor: Side,
    visits: Sequence[Visit],
    warm_up: Workload,
    repeat: int,
    say: Callable[[str], None],
) -> Results:
    """Each side in turn, again and again; before each measurement its side plays the warm-up."""
    taken: dict[str, dict[str, list[Measured]]] = {}
    # Who comes first has the disk's queue empty: the order is turned round each time.
    in_turn: list[Visit] = [lambda: nullcontext(floor), lambda: nullcontext(ours), *visits]
    for number in range(repeat):
        for workload in workloads:
            for visit in in_turn[1:2] if workload.floor_of else in_turn if number % 2 == 0 else reversed(in_turn):
                async with visit() as side:
                    # Who has waited for the others is as warm then as who has just been started for its turn.
                    await warm_up.play(side)
                    measured = await measure(side, workload)
                taken.setdefault(side.name, {}).setdefault(workload.key, []).append(measured)
                say(
                    f"  round {number + 1}  {workload.title:<34} {side.name:<8} {measured.per_second:8.0f}/s  "
                    f"p50 {measured.p50_ms:8.2f} ms  CPU {measured.whole_cpu_ms:6.2f} ms"
                )
    return Results(ours=taken.pop(ours.name), others=taken)
