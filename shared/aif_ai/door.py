"""The one way to an AI answer: `generate`.

What may serve a request is chosen (`choice.py`), one model after the other is asked (`asking.py`), each call is kept to the
grant, announced and booked (`one_call.py`). What follows a failure stands in one table (`call_policy.py`). SDK retries are
off; whether a whole attempt is tried again is for the orchestrator to say, so that money and time have one owner.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from aif_ai.answer_check import AnswerCheck
from aif_ai.asking import Accepted, Asking, Rhythm
from aif_ai.attempt_ledger import AttemptLedger
from aif_ai.booking import Why
from aif_ai.cached_answers import CachedAnswers
from aif_ai.call_policy import REACTIONS, CallPolicy, Then, share_of_time
from aif_ai.choice import Choice, Wanted, choose
from aif_ai.failures import AiFailure, GrantExceeded, InvalidRequest, NoModelAllowed, ProviderNotConfigured, SourceTooThin
from aif_ai.local_structuring import LocalStructuring
from aif_ai.model_switches import ModelSwitches, UnchangedSwitches
from aif_ai.one_call import Audience, Caller, Subject
from aif_ai.provider import OpenedBefore, Provider
from aif_ai.provider_gate import ProviderGate, ProviderHealth, Sleep
from aif_ai.registry import Candidate, CapabilityRegistry
from aif_ai.requests import Capability, Generation, GenerationRequest, StructuringTask, tokens_wasted
from aif_ai.response_cache import ResponseCache
from aif_contracts.audit import Severity
from aif_contracts.metering import Purpose
from aif_contracts.packets import QualityTier
from aif_contracts.workers import CircuitState, ModelDescription, ProviderDescription
from aif_prices.book import PriceBook
from aif_runtime.clock import Clock

_LONGEST_FIRST_WORDS = 300
"""Characters of what the first model's failure says."""


class Door:
    """Lives as long as its process; holds the providers, what is known of their health, and no state of attempts."""

    def __init__(
        self,
        *,
        providers: Sequence[Provider],
        prices: PriceBook,
        clock: Clock,
        policy: CallPolicy | None = None,
        switches: ModelSwitches | None = None,
        cache: ResponseCache | None = None,
        quality_overrides: Mapping[str, QualityTier] | None = None,
        requests_per_minute: Mapping[str, int] | None = None,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._providers = (*providers, LocalStructuring())
        self._registry = CapabilityRegistry(self._providers, quality_overrides=quality_overrides or {})
        self._prices = prices
        self._clock = clock
        self._policy = policy or CallPolicy()
        self._switches = switches or UnchangedSwitches()
        self._requests_per_minute = dict(requests_per_minute or {})
        self._gates = {
            provider.name: self._gate(provider.name, sleep, chance)
            for provider in self._providers
            if not all(offer.local for offer in provider.offers)
        }
        self._caller = Caller(gates=self._gates, clock=clock, call_timeout_seconds=self._policy.call_timeout_seconds)
        self._check = AnswerCheck()
        self._cached = CachedAnswers(cache, self._check) if cache is not None else None
        self._rhythm = Rhythm(clock=clock, sleep=sleep, chance=chance)

    @property
    def models(self) -> tuple[str, ...]:
        """Models of all providers that are not local, the preferred one first."""
        found = (o.models for provider in self._providers for o in provider.offers if not o.local)
        return tuple(dict.fromkeys(model for models in found for model in models))

    @property
    def language_models(self) -> tuple[str, ...]:
        """Those of them that answer messages: without one, nobody needs to write a prompt."""
        found = (o.models for p in self._providers for o in p.offers if o.capability is Capability.LLM_GENERATION)
        return tuple(dict.fromkeys(model for models in found for model in models))

    @property
    def registry(self) -> CapabilityRegistry:
        return self._registry

    def providers(self) -> tuple[ProviderDescription, ...]:
        """What each can do, with which models, and whether it is asked at present; local ones included, no key told."""
        prices, today = self._switches.prices() or self._prices, self._clock.now().date()
        health = {each.provider: each for each in self.health()}
        offers = [each for capability in Capability for each in self._registry.candidates(capability, prices, today)]
        return tuple(
            ProviderDescription(
                name=provider.name,
                is_local=all(offer.local for offer in provider.offers),
                capabilities=tuple(offer.capability.value for offer in provider.offers),
                models=_described({each.model: each.quality for each in offers if each.provider is provider}),
                circuit=health[provider.name].circuit if provider.name in health else CircuitState.CLOSED,
                refusals=tuple(told.refusal for told in health[provider.name].refusals) if provider.name in health else (),
            )
            for provider in self._providers
        )

    def health(self) -> tuple[ProviderHealth, ...]:
        """Of every provider that is not local."""
        return tuple(gate.health() for gate in self._gates.values())

    async def open(self) -> None:
        """Have every configured provider do what its first call would do first: to import an SDK takes seconds of processor
        time. What is configured wrongly is told by the calls that meet it."""
        for provider in self._providers:
            if isinstance(provider, OpenedBefore):
                with suppress(InvalidRequest):
                    await provider.open()

    async def close(self) -> None:
        for provider in self._providers:
            await provider.close()

    async def generate(self, request: GenerationRequest, ledger: AttemptLedger) -> Generation:
        """An answer that keeps the request's schema and rules. Raises a leaf of AiFailure; whatever was called is booked."""
        already = len(ledger.calls)
        choice = await self._choice(request, ledger)
        audience = Audience(request)
        left = list(choice.candidates)
        why = Why(purpose=Purpose.FIRST_TRY)
        telling: AiFailure | None = None
        first_words = ""
        while True:
            candidate = left.pop(0)
            before = len(ledger.calls)
            try:
                accepted = await self._accepted(
                    Subject(request=request, candidate=candidate, preferred=choice.preferred, ledger=ledger),
                    audience,
                    why,
                    others_follow=bool(left),
                )
            except AiFailure as failure:
                telling = _more_telling(telling, failure)
                left = _who_may_follow(left, candidate, failure)
                if not left:
                    if telling is failure:
                        telling = _with(first_words, telling)
                    telling = _with_what_rules_out(telling, choice, request)
                    raise telling from (None if telling is failure else failure)
                first_words = first_words or f"; before it {candidate.model} failed: {failure.message[:_LONGEST_FIRST_WORDS]}"
                why = Why(purpose=Purpose.FALLBACK, reason=failure.code, fallback_from=candidate.model)
                await self._audit_fallback(request, ledger, why, to=left[0], since=before)
                continue
            return Generation(
                output=accepted.output,
                provider=candidate.provider.name,
                model=candidate.model,
                calls=ledger.calls[already:],
                is_local=candidate.offer.local,
                fallback_from=why.fallback_from,
                fallback_reason=why.reason or None,
            )

    async def _choice(self, request: GenerationRequest, ledger: AttemptLedger) -> Choice:
        grant = ledger.port.grant
        switches = await self._switches.switches(request.action, ledger.port.context)
        prices, today = self._switches.prices() or self._prices, self._clock.now().date()
        offered: list[Candidate] = []
        if request.messages:
            offered += self._registry.candidates(Capability.LLM_GENERATION, prices, today)
        if request.input is not None and request.capability is not Capability.LLM_GENERATION:
            offered += self._registry.candidates(request.capability, prices, today)
        if request.messages:
            known = {candidate.model for candidate in offered}
            for model in dict.fromkeys(self._switches.named_by_operator(request.action)):
                if model in known:
                    continue
                reachable = self._registry.reachable(model, prices, today)
                if reachable is None:
                    self._switches.not_to_be_had(request.action, model)
                else:
                    offered.append(reachable)
        return choose(
            offered, Wanted(grant=grant, switches=switches, max_fallbacks=self._policy.max_fallbacks), request=request
        )

    async def _accepted(self, subject: Subject, audience: Audience, why: Why, *, others_follow: bool) -> Accepted:
        cached = self._cached
        if cached is None or not subject.ledger.port.grant.cache or subject.candidate.offer.local:
            return await self._asked(subject, audience, why, others_follow=others_follow)
        key = cached.key(subject)
        hit = await cached.find(key, subject, audience, why)
        if hit is not None:
            return hit
        accepted = await self._asked(subject, audience, why, others_follow=others_follow)
        await cached.keep(key, accepted)
        return accepted

    async def _asked(self, subject: Subject, audience: Audience, why: Why, *, others_follow: bool) -> Accepted:
        share = share_of_time(self._policy, subject.ledger.port.remaining_seconds(), others_follow=others_follow)
        asking = Asking(
            subject,
            audience,
            caller=self._caller,
            check=self._check,
            policy=self._policy,
            rhythm=self._rhythm,
            ends_at=self._clock.monotonic() + share,
        )
        return await asking.answer(why)

    async def _audit_fallback(
        self, request: GenerationRequest, ledger: AttemptLedger, why: Why, *, to: Candidate, since: int
    ) -> None:
        await ledger.port.audit(
            f"{request.audit_name}_FALLBACK",
            Severity.WARNING,
            {
                "primary_model": why.fallback_from,
                "fallback_model": to.model,
                "reason": why.reason,
                "tokens_wasted": tokens_wasted(ledger.calls[since:]),
            },
        )

    def _gate(self, provider: str, sleep: Sleep, chance: Callable[[], float]) -> ProviderGate:
        def requests_per_minute() -> int | None:
            told = self._switches.requests_per_minute(provider)
            return told if told is not None else self._requests_per_minute.get(provider)

        return ProviderGate(
            provider,
            policy=self._policy,
            clock=self._clock,
            sleep=sleep,
            chance=chance,
            requests_per_minute=requests_per_minute,
        )


def _described(models: Mapping[str, QualityTier]) -> tuple[ModelDescription, ...]:
    return tuple(ModelDescription(name=name, quality=quality) for name, quality in models.items())


def _who_may_follow(left: list[Candidate], failed: Candidate, failure: AiFailure) -> list[Candidate]:
    match REACTIONS[type(failure)].then:
        case Then.OTHER_MODEL:
            return left
        case Then.OTHER_PROVIDER:
            return [candidate for candidate in left if candidate.provider.name != failed.provider.name]
        case Then.STOP:
            return []


def _more_telling(before: AiFailure | None, failure: AiFailure) -> AiFailure:
    """That a fallback would not fit the grant says less than why there had to be one."""
    return before if before is not None and isinstance(failure, GrantExceeded) else failure


def _with(first_words: str, failure: AiFailure) -> AiFailure:
    """The last failure says what may follow; what is to be mended is often told by the first alone, such as a wrong key."""
    if not first_words:
        return failure
    return type(failure)(
        f"{failure.message}{first_words}",
        retry_after_ms=failure.retry_after_ms,
        maybe_billed=failure.maybe_billed,
        retryable=failure.retryable,
    )


def _with_what_rules_out(failure: AiFailure, choice: Choice, request: GenerationRequest) -> AiFailure:
    """Where models are configured and must not be asked, to configure one is no mend."""
    if choice.ruled_out is None:
        return failure
    match failure:
        case ProviderNotConfigured():
            is_topic = isinstance(request.input, StructuringTask) and request.input.source is None
            instead = "; or give a `source` document to work from" if is_topic else ""
            return NoModelAllowed(f"{request.action} needs a model for this, and {choice.ruled_out}{instead}")
        case SourceTooThin():
            return SourceTooThin(f"{failure.message}; but {choice.ruled_out}")
        case _:
            return failure
