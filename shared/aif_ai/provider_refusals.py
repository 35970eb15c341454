"""What a provider refuses because of how it is configured here: a wrong key, an empty account, a model that it does not have.

The client whose order met it is told by the failure; this is for the operator, who alone can mend it. It is told from the
first call that meets it until a call is answered.
"""

import structlog
from msgspec import Struct
from msgspec.structs import replace

from aif_ai.failures import AiFailure
from aif_contracts.workers import ProviderRefusal, RefusalKind
from aif_runtime.clock import Clock, rfc3339

_OF_THE_ACCOUNT = frozenset({RefusalKind.KEY, RefusalKind.CREDIT})
"""Whatever model answers, these are over; the others are of one model."""
_WHAT = {
    RefusalKind.KEY: "refuses its key",
    RefusalKind.PERMISSION: "does not let its key use {model}",
    RefusalKind.CREDIT: "has no credit left on its account",
    RefusalKind.UNKNOWN_MODEL: "does not know {model}",
}

_log = structlog.get_logger()


class ToldRefusal(Struct, frozen=True, kw_only=True):
    """A refusal with what the provider said, which is for operators alone."""

    refusal: ProviderRefusal
    message: str


class ProviderRefusals:
    """Of one provider."""

    def __init__(self, provider: str, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._told: dict[tuple[RefusalKind, str | None], ToldRefusal] = {}

    @property
    def told(self) -> tuple[ToldRefusal, ...]:
        return tuple(self._told.values())

    def note(self, failure: AiFailure, model: str) -> None:
        """A call has failed. Does nothing for what no operator can mend."""
        kind = failure.refusal
        if kind is None:
            return
        now = rfc3339(self._clock.now())
        key = (kind, None if kind in _OF_THE_ACCOUNT else model)
        known = self._told.get(key)
        if known is None:
            refusal = ProviderRefusal(kind=kind, model=model, since=now, last_at=now)
            _log.warning("provider_refuses", provider=self._provider, refusal=kind.value, model=model, message=failure.message)
        else:
            refusal = replace(known.refusal, model=model, last_at=now)
        self._told[key] = ToldRefusal(refusal=refusal, message=failure.message)

    def answered(self, model: str) -> None:
        over = [key for key in self._told if key[1] in (None, model)]
        for key in over:
            del self._told[key]
            _log.info("provider_refuses_no_more", provider=self._provider, refusal=key[0].value, model=model)


def words_of(provider: str, told: ToldRefusal) -> str:
    """For the health page."""
    refusal = told.refusal
    what = _WHAT[refusal.kind].format(model=refusal.model)
    return f"{provider} {what} since {refusal.since}, last at {refusal.last_at}: {told.message}"
