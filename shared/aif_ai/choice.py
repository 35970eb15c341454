"""Which models serve a request, in which order. Pure: what is offered, granted and configured goes in.

The order is made by, from the weightiest: the tuned parameter `model`; the grant's `prefer_providers`; the grant's `models`
or, when it leaves the choice open, the primary and the fallback model of the configuration; the order of the settings. Local
providers follow the others, unless the grant prefers them. Then the quality ceiling takes out what is too good, and the
number of fallbacks cuts the chain.
"""

from collections.abc import Sequence

from msgspec import Struct

from aif_ai.extractive.provider import WHAT_TO_CONFIGURE
from aif_ai.failures import AiFailure, InvalidRequest, NoModelAllowed, ProviderNotConfigured
from aif_ai.model_switches import Switches
from aif_ai.registry import Candidate, within
from aif_ai.requests import Capability, GenerationRequest
from aif_contracts.packets import CeilingReason, Grant

_SPEECH = frozenset({Capability.TRANSCRIPTION, Capability.TRANSCRIPTION_DIARIZATION})


class Choice(Struct, frozen=True, kw_only=True):
    candidates: tuple[Candidate, ...]
    """At least one; the first is asked first."""
    preferred: Candidate | None = None
    """What would have been asked first without the quality ceiling; None when the ceiling changes nothing."""


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
    allowed = _ordered([c for c in _unique(offered) if _is_granted(c, wanted.grant)], wanted)
    capped = within(allowed, wanted.grant.quality)
    serving = [c for c in capped if not c.offer.last_resort] or [c for c in capped if c.offer.last_resort]
    if not serving:
        raise _nothing_left(allowed, wanted.grant, request)
    first = next((c for c in allowed if not c.offer.last_resort), None)
    is_lowered = first is not None and first not in serving
    return Choice(candidates=tuple(serving[: 1 + _fallbacks(wanted)]), preferred=first if is_lowered else None)


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


def _nothing_left(allowed: list[Candidate], grant: Grant, request: GenerationRequest) -> AiFailure:
    if allowed and grant.quality is not None:
        why = "energy" if grant.quality_reason is CeilingReason.ENERGY else "tier"
        better = ", ".join(c.model for c in allowed)
        return NoModelAllowed(
            f"the client's {why} allows models of the {grant.quality} tier for {request.action}, and only better ones are "
            f"configured ({better}): configure a cheaper model, or say its tier in AIF_MODEL_QUALITY"
        )
    if grant.models:
        return NoModelAllowed(
            f"the grant allows {', '.join(grant.models)} for {request.action}, and no provider here offers any of them: "
            f"{_what_to_configure(request)}"
        )
    return _not_configured(request)


def _not_configured(request: GenerationRequest) -> ProviderNotConfigured:
    return ProviderNotConfigured(f"no provider for {request.action}: {_what_to_configure(request)}")


def _what_to_configure(request: GenerationRequest) -> str:
    return "set DEEPGRAM_API_KEY to transcribe speech" if request.capability in _SPEECH else WHAT_TO_CONFIGURE
