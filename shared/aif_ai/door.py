"""The one way to an AI answer: choose a provider, keep to the grant, book every call, correct what breaks the schema.

Which provider: a language model when one is configured and the grant allows it, the models in the order of the grant;
otherwise the local extractive provider, when the request says what structure it wants. A model that fails in a way that
another may not gives way to the next one. SDK retries are off; whether a whole attempt is tried again is for the
orchestrator to say, so that money and time have one owner.
"""

import asyncio
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import msgspec
from msgspec import Struct

from aif_ai.answer_check import checked_json
from aif_ai.attempt_ledger import AttemptLedger
from aif_ai.extractive.provider import WHAT_TO_CONFIGURE, ExtractiveProvider
from aif_ai.failures import (
    AiFailure,
    GrantExceeded,
    MalformedOutput,
    OutputTruncated,
    PriceUnknown,
    ProviderNotConfigured,
    ProviderTimeout,
)
from aif_ai.provider import ModelCall, Provider
from aif_ai.requests import Answer, CallTrace, Finish, Generation, GenerationRequest, Message, Role, StructuringTask
from aif_contracts.metering import CallOutcome, ProviderCall, Purpose, Tokens
from aif_contracts.money import usd_text
from aif_prices.book import FREE_VERSION, Price, PriceBook
from aif_runtime.clock import Clock
from aif_runtime.cpu_meter import run_in_thread

_MOST_CORRECTIONS = 2
_OVERHEAD_TOKENS = 2_048
"""Input tokens that a provider may add of its own: wrappers of messages, instructions for the schema."""
_FIRST_PERCENT, _LAST_PERCENT = 15, 85
"""The part of an attempt's progress that generation stands for."""


class _Candidate(Struct, frozen=True, kw_only=True):
    provider: Provider
    model: str
    price: Price | None


class Door:
    """Lives as long as its process; holds the providers and no state of attempts."""

    def __init__(
        self, *, providers: Sequence[Provider], prices: PriceBook, clock: Clock, call_timeout_seconds: float = 300.0
    ) -> None:
        self._providers = tuple(providers)
        self._extractive = ExtractiveProvider()
        self._prices = prices
        self._clock = clock
        self._call_timeout_seconds = call_timeout_seconds

    @property
    def models(self) -> tuple[str, ...]:
        """Models of all configured providers, the preferred one first."""
        return tuple(model for provider in self._providers for offer in provider.offers for model in offer.models)

    async def close(self) -> None:
        for provider in self._providers:
            await provider.close()

    async def generate(self, request: GenerationRequest, ledger: AttemptLedger) -> Generation:
        """An answer that keeps the request's schema and rules. Raises a leaf of AiFailure; whatever was called is booked."""
        already = len(ledger.calls)
        candidates = self._candidates(ledger, self._clock.now().date())
        if not candidates:
            return await self._locally(request, ledger)
        purpose = Purpose.FIRST_TRY
        for position, candidate in enumerate(candidates):
            try:
                output = await self._corrected(request, candidate, ledger, purpose)
            except AiFailure as failure:
                if not failure.retryable or position == len(candidates) - 1:
                    raise
                purpose = Purpose.FALLBACK
                continue
            return Generation(
                output=output, provider=candidate.provider.name, model=candidate.model, calls=ledger.calls[already:]
            )
        raise AssertionError("the last candidate returns or raises")

    def _candidates(self, ledger: AttemptLedger, today: date) -> list[_Candidate]:
        offered = {
            model: provider for provider in reversed(self._providers) for offer in provider.offers for model in offer.models
        }
        allowed = ledger.port.grant.models
        wanted = self.models if allowed is None else allowed
        return [
            _Candidate(provider=offered[model], model=model, price=self._prices.price(offered[model].name, model, today))
            for model in dict.fromkeys(wanted)
            if model in offered
        ]

    async def _locally(self, request: GenerationRequest, ledger: AttemptLedger) -> Generation:
        if not isinstance(request.input, StructuringTask):
            raise ProviderNotConfigured(f"no provider for {request.action}: {WHAT_TO_CONFIGURE}")
        began = self._clock.monotonic()
        call = self._row(
            ledger,
            call_key=ledger.call_key(),
            provider=self._extractive.name,
            model=self._extractive.model,
            purpose=Purpose.FIRST_TRY,
            outcome=CallOutcome.ANSWERED,
            cost_usd="0",
            price_version=FREE_VERSION,
        )
        try:
            output = await self._extractive.structure(request.input)
        except asyncio.CancelledError:
            await ledger.book(_ended(call, self._since(began), CallOutcome.CANCELLED, "cancelled"))
            raise
        except AiFailure as failure:
            await ledger.book(_ended(call, self._since(began), CallOutcome.FAILED, failure.code))
            raise
        finally:
            ledger.port.spent_on("ai_generation", self._since(began))
        booked = _ended(call, self._since(began), CallOutcome.ANSWERED, None)
        await ledger.book(booked)
        return Generation(
            output=output, provider=self._extractive.name, model=self._extractive.model, calls=(booked,), is_local=True
        )

    async def _corrected(
        self, request: GenerationRequest, candidate: _Candidate, ledger: AttemptLedger, purpose: Purpose
    ) -> bytes:
        """Ask, and ask again with what was wrong, up to two times."""
        messages = request.messages
        for corrections in range(_MOST_CORRECTIONS + 1):
            answer, call = await self._asked(request, messages, candidate, ledger, purpose)
            began = self._clock.monotonic()
            if answer.finish is Finish.TRUNCATED:
                await ledger.book(msgspec.structs.replace(call, outcome=CallOutcome.TRUNCATED, error=OutputTruncated.code))
                raise OutputTruncated(
                    f"the answer of {candidate.model} was cut off at its output limit: order a lower granularityLevel or "
                    "fewer questions, or let the stage use more output tokens"
                )
            output, complaints = await run_in_thread(_judged, request, answer.text)
            ledger.port.spent_on("validation", self._since(began))
            if not complaints:
                await ledger.book(call)
                return output
            await ledger.book(msgspec.structs.replace(call, outcome=CallOutcome.REJECTED, error=MalformedOutput.code))
            if corrections == _MOST_CORRECTIONS:
                break
            purpose = Purpose.CORRECTION
            messages = (
                *request.messages,
                Message(role=Role.ASSISTANT, text=answer.text or "(nothing)"),
                _correction(complaints),
            )
        raise MalformedOutput(f"{candidate.model} broke the rules of the answer {_MOST_CORRECTIONS + 1} times: {complaints[0]}")

    async def _asked(
        self,
        request: GenerationRequest,
        messages: tuple[Message, ...],
        candidate: _Candidate,
        ledger: AttemptLedger,
        purpose: Purpose,
    ) -> tuple[Answer, ProviderCall]:
        """One call. A call that gives no answer is booked here, one that gives an answer by the judge of the answer."""
        model_call = ModelCall(
            call_key=ledger.call_key(),
            model=candidate.model,
            messages=messages,
            schema_name=request.schema_name,
            schema=request.schema,
            max_output_tokens=_output_limit(request, ledger),
        )
        bound = _within_grant(model_call, candidate, ledger)
        trace = CallTrace()
        began = self._clock.monotonic()
        row = self._row(
            ledger,
            call_key=model_call.call_key,
            provider=candidate.provider.name,
            model=candidate.model,
            purpose=purpose,
            outcome=CallOutcome.ANSWERED,
            cost_usd=None,
            price_version=candidate.price.version if candidate.price else None,
        )

        async def heard(_: str) -> None:
            characters = trace.characters
            # An answer has about four characters for each token of its limit; mostly it ends well before.
            share = min(1.0, characters / (model_call.max_output_tokens * 2))
            percent = _FIRST_PERCENT + int((_LAST_PERCENT - _FIRST_PERCENT) * share)
            await ledger.port.progress(percent, f"{candidate.model} has written {characters} characters")

        try:
            async with asyncio.timeout(self._call_timeout_seconds):
                answer = await candidate.provider.answer(model_call, trace, heard)
        except asyncio.CancelledError:
            await ledger.book(
                _broken(row, self._since(began), trace, candidate.price, bound, CallOutcome.CANCELLED, "cancelled")
            )
            raise
        except TimeoutError as error:
            await ledger.book(
                _broken(row, self._since(began), trace, candidate.price, bound, CallOutcome.FAILED, ProviderTimeout.code)
            )
            raise ProviderTimeout(
                f"{candidate.model} did not end its answer within {self._call_timeout_seconds:g} s", maybe_billed=True
            ) from error
        except AiFailure as failure:
            trace.sent = trace.sent or failure.maybe_billed
            await ledger.book(_broken(row, self._since(began), trace, candidate.price, bound, CallOutcome.FAILED, failure.code))
            raise
        finally:
            ledger.port.spent_on("ai_generation", self._since(began))
        return answer, _priced(_ended(row, self._since(began), CallOutcome.ANSWERED, None), trace, candidate.price, bound)

    def _since(self, began: float) -> float:
        return self._clock.monotonic() - began

    def _row(
        self,
        ledger: AttemptLedger,
        *,
        call_key: str,
        provider: str,
        model: str,
        purpose: Purpose,
        outcome: CallOutcome,
        cost_usd: str | None,
        price_version: str | None,
    ) -> ProviderCall:
        port = ledger.port
        return ProviderCall(
            call_key=call_key,
            execution_id=port.execution_id,
            client_id=port.context.client_id,
            stage_id=port.stage_id,
            attempt=port.attempt,
            worker_name=port.worker_name,
            provider=provider,
            model=model,
            purpose=purpose,
            outcome=outcome,
            cost_usd=cost_usd,
            price_version=price_version,
        )


def _output_limit(request: GenerationRequest, ledger: AttemptLedger) -> int:
    left = ledger.output_tokens_left()
    if left is None:
        return request.max_output_tokens
    if left <= 0:
        raise GrantExceeded("the attempt has used all output tokens of its grant (max_tokens)")
    return min(left, request.max_output_tokens)


def _within_grant(call: ModelCall, candidate: _Candidate, ledger: AttemptLedger) -> Decimal | None:
    """The most that the call can cost, None when it has no price. Raises GrantExceeded, PriceUnknown."""
    bound = None
    if candidate.price is not None:
        # No token is shorter than a byte, so bytes bound tokens without trusting a tokenizer.
        size = len(msgspec.json.encode(call.messages)) + len(msgspec.json.encode(call.schema)) + _OVERHEAD_TOKENS
        bound = candidate.price.upper_bound(input_tokens=size, output_tokens=call.max_output_tokens)
    left = ledger.money_left()
    if left is None:
        return bound
    if bound is None:
        raise PriceUnknown(
            f"{candidate.model} has no price, so the bound of {ledger.port.grant.max_cost_usd} USD cannot be kept: "
            "name it in AIF_FREE_MODELS if it costs nothing, or use a model with a known price"
        )
    if bound > left:
        raise GrantExceeded(
            f"a call to {candidate.model} can cost up to {usd_text(bound)} USD and the grant has {usd_text(left)} USD left: "
            "raise the budget, shorten the source or use a cheaper model"
        )
    return bound


def _judged(request: GenerationRequest, text: str) -> tuple[bytes, tuple[str, ...]]:
    complaints: tuple[str, ...] = ()
    if request.schema is None:
        output = text.encode()
    else:
        output, complaints = checked_json(text, request.schema)
    if not complaints and request.check is not None:
        complaints = request.check(output)
    return output, complaints


def _correction(complaints: Sequence[str]) -> Message:
    listed = "\n".join(f"- {complaint}" for complaint in complaints)
    return Message(
        role=Role.USER,
        text=f"Your answer breaks the rules:\n{listed}\nGive the whole answer again, corrected, as JSON and nothing else.",
    )


def _ended(call: ProviderCall, seconds: float, outcome: CallOutcome, error: str | None) -> ProviderCall:
    return msgspec.structs.replace(call, outcome=outcome, error=error, latency_ms=round(seconds * 1_000))


def _priced(call: ProviderCall, trace: CallTrace, price: Price | None, bound: Decimal | None) -> ProviderCall:
    """With usage and price the exact cost; without usage the upper bound; never a zero that nobody measured."""
    if trace.tokens is None:
        return msgspec.structs.replace(
            call, response_id=trace.response_id, upper_bound_usd=usd_text(bound) if bound is not None else None
        )
    return msgspec.structs.replace(
        call,
        response_id=trace.response_id,
        tokens=trace.tokens,
        cost_usd=usd_text(price.cost(trace.tokens)) if price is not None else None,
    )


def _broken(
    call: ProviderCall,
    seconds: float,
    trace: CallTrace,
    price: Price | None,
    bound: Decimal | None,
    outcome: CallOutcome,
    error: str,
) -> ProviderCall:
    """A call without an answer to use: free when nothing was sent, exact with usage, in doubt otherwise."""
    ended = _ended(call, seconds, outcome, error)
    if trace.tokens is not None:
        return _priced(ended, trace, price, bound)
    if not trace.sent:
        return msgspec.structs.replace(ended, cost_usd="0", tokens=Tokens(), response_id=trace.response_id)
    return msgspec.structs.replace(_priced(ended, trace, price, bound), outcome=CallOutcome.IN_DOUBT)
