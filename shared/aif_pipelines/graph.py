"""Which stage waits for which: order, ancestors and cycles. Edges lead from a stage to those it depends on."""

from collections.abc import Mapping, Set

Edges = Mapping[str, Set[str]]


def find_cycle(edges: Edges) -> tuple[str, ...] | None:
    """Some cycle, first stage repeated at its end; None when there is none. Unknown stages are ignored."""
    done: set[str] = set()
    for start in edges:
        trail: list[str] = []
        waiting: list[tuple[str, bool]] = [(start, True)]
        while waiting:
            stage, entering = waiting.pop()
            if not entering:
                done.add(trail.pop())
            elif stage in trail:
                return (*trail[trail.index(stage) :], stage)
            elif stage not in done:
                trail.append(stage)
                waiting.append((stage, False))
                waiting += [(before, True) for before in sorted(edges[stage]) if before in edges]
    return None


def topological_order(edges: Edges) -> tuple[str, ...]:
    """Every stage after those it depends on, else in the order given. The edges must have no cycle."""
    order: list[str] = []
    placed: set[str] = set()
    left = list(edges)
    while left:
        ready = next(stage for stage in left if edges[stage] <= placed)
        order.append(ready)
        placed.add(ready)
        left.remove(ready)
    return tuple(order)


def ancestors(edges: Edges, stage: str) -> frozenset[str]:
    """Everything that has ended when `stage` starts. Works with cycles too."""
    found: set[str] = set()
    waiting = [stage]
    while waiting:
        for before in edges.get(waiting.pop(), frozenset()):
            if before not in found:
                found.add(before)
                waiting.append(before)
    return frozenset(found)
