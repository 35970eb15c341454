"""What the live workers offer, all processes of a kind together."""

from collections.abc import Sequence

from aif_contracts.workers import WorkerDescription
from aif_kam.execution_payloads import Capabilities, OfferedAction, OfferedCapability, OfferedWorker


def capabilities_of(instances: Sequence[WorkerDescription]) -> Capabilities:
    """By name; an action that costs money in one process is said to cost money."""
    kinds: dict[str, list[WorkerDescription]] = {}
    for instance in instances:
        kinds.setdefault(instance.worker_name, []).append(instance)
    workers = tuple(_offer(name, kinds[name]) for name in sorted(kinds))
    names = sorted({capability for worker in workers for capability in worker.capabilities})
    return Capabilities(
        capabilities=tuple(
            OfferedCapability(name=name, workers=tuple(each.worker_name for each in workers if name in each.capabilities))
            for name in names
        ),
        workers=workers,
    )


def _offer(name: str, instances: Sequence[WorkerDescription]) -> OfferedWorker:
    actions: dict[str, OfferedAction] = {}
    for action in (action for instance in instances for action in instance.actions):
        known = actions.get(action.name)
        actions[action.name] = OfferedAction(
            name=action.name,
            paid=action.paid or (known is not None and known.paid),
            instances=1 if known is None else known.instances + 1,
        )
    return OfferedWorker(
        worker_name=name,
        instances=len(instances),
        slots=sum(instance.slots for instance in instances),
        actions=tuple(actions[action] for action in sorted(actions)),
        capabilities=tuple(sorted({capability for instance in instances for capability in instance.capabilities})),
        models=tuple(sorted({model for instance in instances for model in instance.models})),
    )
