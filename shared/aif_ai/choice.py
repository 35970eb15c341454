"""Which models serve a request, in which order. Pure: what is offered, granted and configured goes in.

The order is made by, from the weightiest: the tuned parameter `model`; the grant's `prefer_providers`; the grant's `models`
or, when it leaves the choice open, the primary and the fallback model of the configuration; the order of the settings. Local
providers follow the others, unless the grant prefers them. Then the quality ceiling takes out what is too good, and the
number of fallbacks cuts the chain.
"""

from collections.abc import Sequence

from msgspec import Struct

from aif_ai.extractive.provider import WHAT_TO_CONFIGURE
from aif_ai.failures import InvalidRequest, NoModelAllowed, ProviderNotConfigured
from aif_ai.model_switches import Switches
from aif_ai.registry import Candidate, within
from aif_ai.requests import Capability, GenerationRequest
from aif_contracts.packets import CeilingReason, Grant, QualityTier

_MOST_NAMED = 5
"""Models in a message."""
_SPEECH = frozenset({Capability.TRANSCRIPTION, Capability.TRANSCRIPTION_DIARIZATION})


class Choice(Struct, frozen=True, kw_only=True):
    candidates: tuple[Candidate, ...]
    """At least one; the first is asked first."""
    preferred: Candidate | None = None
    """What would have been asked first without the quality ceiling; None when the ceiling changes nothing."""
    ruled_out: str | None = None
    """Which models there are and why none of them may be asked, with the mend, where only this machine is left."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What the grant and the configuration say, besides what is offered."""

    grant: Grant
    switches: Switches
    max_fallbacks: int
    """When the grant does not say how many. The configuration only ever says that there shall be none."""


def choose(offered: Sequence[Candidate], wanted: Wanted, *, request: GenerationRequest) -> Choice:
    """`offered` in the order of the settings. Raises ProviderNotConfigured, NoModelAllowed, InvalidRequest."""
    if not offered:
        raise _not_configured(request)
    there_are = _unique(offered)
    allowed = _ordered([c for c in there_are if _is_granted(c, wanted.grant)], wanted)
    capped = within(allowed, wanted.grant.quality)
    serving = [c for c in capped if not c.offer.last_resort] or [c for c in capped if c.offer.last_resort]
    if not serving:
        raise NoModelAllowed(_why_not(there_are, wanted.grant, request))
    others = [c for c in there_are if not c.offer.local]
    is_ruled_out = bool(others) and all(c.offer.local for c in capped)
    first = next((c for c in allowed if not c.offer.last_resort), None)
    is_lowered = first is not None and first not in serving
    return Choice(
        candidates=tuple(serving[: 1 + _fallbacks(wanted)]),
        preferred=first if is_lowered else None,
        ruled_out=_why_not(others, wanted.grant, request) if is_ruled_out else None,
    )


def tuned_number(grant: Grant, name: str) -> int | None:
    """A tuned parameter that counts something. Raises InvalidRequest for anything but a whole number above zero."""
    value = grant.parameters.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise InvalidRequest(f"grant.parameters.{name} is {value!r}: a whole number above 0 is needed")
    return value


def tuned_model(grant: Grant) -> str | None:
    """Raises InvalidRequest for anything but text."""
    value = grant.parameters.get("model")
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"grant.parameters.model is {value!r}: the name of a model is needed")
    return value


def _unique(offered: Sequence[Candidate]) -> list[Candidate]:
    found: dict[tuple[str, str], Candidate] = {}
    for candidate in offered:
        found.setdefault((candidate.provider.name, candidate.model), candidate)
    return list(found.values())


def _is_granted(candidate: Candidate, grant: Grant) -> bool:
    return candidate.offer.local or grant.models is None or candidate.model in grant.models


def _ordered(candidates: list[Candidate], wanted: Wanted) -> list[Candidate]:
    tuned = tuned_model(wanted.grant)
    switches = wanted.switches
    models = [m for m in (switches.primary_model, switches.fallback_model) if m]
    if wanted.grant.models is not None:
        models = list(wanted.grant.models)
    providers = wanted.grant.prefer_providers

    def place(candidate: Candidate) -> tuple[bool, int, bool, int]:
        return (
            candidate.model != tuned,
            _position(candidate.provider.name, providers),
            candidate.offer.local,
            _position(candidate.model, models),
        )

    return sorted(candidates, key=place)


def _position(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)


def _fallbacks(wanted: Wanted) -> int:
    if wanted.switches.enable_fallback is False:
        return 0
    return wanted.max_fallbacks if wanted.grant.max_fallbacks is None else max(0, wanted.grant.max_fallbacks)


def _why_not(there_are: list[Candidate], grant: Grant, request: GenerationRequest) -> str:
    """What keeps every one of the models from being asked, and the mend. `there_are` is not empty."""
    granted = [c for c in there_are if _is_granted(c, grant)]
    if granted and grant.quality is not None:
        return _above_the_ceiling(granted, grant.quality, grant.quality_reason, request)
    if grant.models:
        return (
            f"the grant allows {', '.join(grant.models)} for {request.action}, and no provider here offers any of them "
            f"({_named(there_are)} there is): {_what_to_configure(request)}"
        )
    return (
        f"{_named(there_are)} is configured, and this attempt of {request.action} was granted as one that costs nothing: order "
        "again, now that there is a model"
    )


def _above_the_ceiling(
    models: list[Candidate], ceiling: QualityTier, reason: CeilingReason | None, request: GenerationRequest
) -> str:
    if reason is CeilingReason.ENERGY:
        why, mend = "the client's energy is low and", "raise the client's energy"
    else:
        why, mend = "the client's tier", "give the client another tier"
    better = ", ".join(f"{each.model} ({each.quality})" for each in models[:_MOST_NAMED])
    return (
        f"{why} allows models of the {ceiling} tier only for {request.action}, and those that are configured are better "
        f"({better}): have the operator {mend}, configure a cheaper model, or say a model's tier in AIF_MODEL_QUALITY"
    )


def _named(models: list[Candidate]) -> str:
    return ", ".join(each.model for each in models[:_MOST_NAMED])


def _not_configured(request: GenerationRequest) -> ProviderNotConfigured:
    return ProviderNotConfigured(f"no provider for {request.action}: {_what_to_configure(request)}")


def _what_to_configure(request: GenerationRequest) -> str:
    return "set DEEPGRAM_API_KEY to transcribe speech" if request.capability in _SPEECH else WHAT_TO_CONFIGURE
