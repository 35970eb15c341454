"""What a workflow has to keep beyond its schema, said so that a model can mend it."""

from collections import Counter
from collections.abc import Sequence

from aif_contracts.workflows import PilotStep
from aif_planner.generation_order import GenerationOrder

_MOST_TOLD = 8


def complaints(steps: Sequence[PilotStep], order: GenerationOrder) -> tuple[str, ...]:
    """Empty when there is nothing to complain about; the first ones when there is much."""
    found = [*_about_the_whole(steps, order)]
    known: set[str] = set()
    ids = {step.id for step in steps}
    for step in steps:
        found += _about_references(step, known, ids)
        found += _about_words(step, order)
        known.add(step.id)
    return tuple(found[:_MOST_TOLD])


def _about_the_whole(steps: Sequence[PilotStep], order: GenerationOrder) -> list[str]:
    found = []
    if not steps:
        found.append(f"there is no step: give 1 to {order.max_steps}")
    if len(steps) > order.max_steps:
        found.append(f"there are {len(steps)} steps, at most {order.max_steps} are wanted")
    for step_id, count in Counter(step.id for step in steps).items():
        if count > 1:
            found.append(f"the id {step_id} is given {count} times: give every step an id of its own")
    return found


def _about_references(step: PilotStep, earlier: set[str], ids: set[str]) -> list[str]:
    found = []
    for wanted in step.depends_on:
        if wanted in earlier:
            continue
        if wanted == step.id:
            found.append(f"step {step.id} depends on itself")
        elif wanted in ids:
            found.append(f"step {step.id} depends on {wanted}, which comes after it: only earlier steps can be depended on")
        else:
            found.append(f"step {step.id} depends on {wanted}, and there is no such step")
    return found


def _about_words(step: PilotStep, order: GenerationOrder) -> list[str]:
    found = []
    if not step.operation.strip():
        found.append(f"step {step.id} has a blank operation: say what it does")
    elif order.allowed_operations and step.operation not in order.allowed_operations:
        found.append(
            f"step {step.id} has the operation {step.operation[:80]!r}: use one of {_listed(order.allowed_operations)}"
        )
    if step.service is not None and order.connected_services and step.service not in order.connected_services:
        found.append(f"step {step.id} uses {step.service!r}, which is not connected: use {_listed(order.connected_services)}")
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:40])
