"""What the live workers offer, all processes of a kind together."""

from collections.abc import Sequence

from msgspec.structs import replace

from aif_contracts.workers import CircuitState, ProviderDescription, ProviderRefusal, RefusalKind, WorkerDescription
from aif_kam.execution_payloads import (
    Capabilities,
    OfferedAction,
    OfferedCapability,
    OfferedProvider,
    OfferedWorker,
    Providers,
    ProviderState,
)


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


def providers_of(instances: Sequence[WorkerDescription]) -> Providers:
    """By name, local ones last."""
    kinds: dict[str, list[tuple[str, ProviderDescription]]] = {}
    for instance in instances:
        for provider in instance.providers:
            kinds.setdefault(provider.name, []).append((instance.worker_name, provider))
    offered = [_provider(name, kinds[name]) for name in sorted(kinds)]
    return Providers(providers=tuple(sorted(offered, key=lambda each: each.is_local)))


def _provider(name: str, seen: Sequence[tuple[str, ProviderDescription]]) -> OfferedProvider:
    open_in = sum(provider.circuit is CircuitState.OPEN for _, provider in seen)
    refusals = _together([refusal for _, provider in seen for refusal in provider.refusals])
    some = ProviderState.LEFT_ALONE if open_in == len(seen) else ProviderState.PARTLY
    models = {model.name: model for _, provider in seen for model in provider.models}
    return OfferedProvider(
        name=name,
        state=ProviderState.REFUSES if refusals else some if open_in else ProviderState.AVAILABLE,
        is_local=all(provider.is_local for _, provider in seen),
        capabilities=tuple(sorted({capability for _, provider in seen for capability in provider.capabilities})),
        models=tuple(models.values()),
        workers=tuple(sorted({worker for worker, _ in seen})),
        refusals=refusals,
    )


def _together(refusals: Sequence[ProviderRefusal]) -> tuple[ProviderRefusal, ...]:
    """Of what several processes have met the whole time."""
    found: dict[tuple[RefusalKind, str], ProviderRefusal] = {}
    for each in refusals:
        known = found.get((each.kind, each.model), each)
        found[each.kind, each.model] = replace(
            each, since=min(each.since, known.since), last_at=max(each.last_at, known.last_at)
        )
    return tuple(found[key] for key in sorted(found))


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
