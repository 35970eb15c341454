"""The results in words: a person reads them in a terminal."""

from collections.abc import Callable, Sequence

from load.measuring import Measured
from load.rounds import Results
from load.spread import spread
from load.targets import RATIOS, Judged
from load.workloads import Workload

Say = Callable[[str], None]
IDLE_WORKERS = "The workers do nothing and no AI provider is called: what is measured is the factory around them."


def tell_results(workloads: Sequence[Workload], results: Results, say: Say) -> None:
    for workload in workloads:
        say(f"\n{workload.title}: {workload.executions:,} executions; median (least to most) of the rounds")
        _tell_side("ours", results.ours[workload.key], say)
        for name, measured in results.others.items():
            if workload.key in measured:
                _tell_side(name, measured[workload.key], say)
        for name in results.others:
            ratios = [(what, results.ratio(workload, of, to=name)) for what, of in RATIOS]
            told = ", ".join(f"{what} {ratio}" for what, ratio in ratios if ratio is not None)
            if told:
                say(f"  ours to {name}: {told}")


def _tell_side(name: str, rounds: Sequence[Measured], say: Say) -> None:
    say(
        f"  {name:<8} {spread(each.per_second for each in rounds)} executions/s, "
        f"wall {spread(each.wall_seconds for each in rounds)} s, "
        f"p50 {spread(each.p50_ms for each in rounds)} ms, p99 {spread(each.p99_ms for each in rounds)} ms"
    )
    cpu = ", ".join(f"{who} {spread(each.cpu_ms[who] for each in rounds)}" for who in rounds[0].cpu_ms)
    say(
        f"           CPU ms per execution {spread(each.whole_cpu_ms for each in rounds)}: {cpu}; "
        f"beside it the measuring client {spread(each.client_cpu_ms for each in rounds)}"
    )
    memory = ", ".join(f"{who} {max(each.memory_mb[who] for each in rounds):.0f}" for who in rounds[0].memory_mb)
    say(f"           peak memory MB: {memory}")


def tell_judged(judged: Sequence[Judged], say: Say) -> None:
    if not judged:
        return
    say(f"\n{'':<34}{'target':<20}{'measured':<30}")
    for each in judged:
        measured = f"{each.measured}{each.unit}"
        say(f"{each.what:<34}{each.target:<20}{measured:<30}{'reached' if each.reached else 'NOT reached'}")
