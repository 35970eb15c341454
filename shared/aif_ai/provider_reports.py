"""What the operator is told of the providers: on the health page of each process that has them, and in its figures."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from aif_ai.door import Door
from aif_ai.provider_refusals import words_of
from aif_contracts.workers import CircuitState, RefusalKind
from aif_runtime.health import Health


def report_on_providers(door: Door, health: Health, registry: CollectorRegistry, *, redact: Callable[[str], str]) -> None:
    """The process stays ready whatever a provider says: it works with the others, and with those that need no key."""
    if not door.health():
        return

    def trouble() -> str | None:
        return redact("; ".join(_troubles(door))) or None

    health.warn("providers", trouble)
    refuses = Gauge(
        "aif_provider_refuses",
        "1 while the provider refuses every call, or those of a model, for a reason that only the operator can mend",
        ["provider", "reason"],
        registry=registry,
    )
    for each in door.health():
        for kind in RefusalKind:
            refuses.labels(each.provider, kind.value).set_function(_counting(door, each.provider, kind))


def _troubles(door: Door) -> list[str]:
    words = []
    for each in door.health():
        words += [words_of(each.provider, told) for told in each.refusals]
        if each.circuit is not CircuitState.CLOSED:
            until = (
                f"for another {each.open_for_seconds:.0f} s" if each.circuit is CircuitState.OPEN else "until it is asked again"
            )
            in_a_row = f"it has failed {each.failures_in_a_row} times in a row, last with {each.last_failure}"
            words.append(f"{each.provider} is left alone {until}: {in_a_row}")
    return words


def _counting(door: Door, provider: str, kind: RefusalKind) -> Callable[[], float]:
    def refuses() -> float:
        told = (told for each in door.health() if each.provider == provider for told in each.refusals)
        return float(any(each.refusal.kind is kind for each in told))

    return refuses
