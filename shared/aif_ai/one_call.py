"""One call to one provider: kept to the grant, announced, made, and booked exactly once, whatever its end."""

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from aif_ai.attempt_ledger import AttemptLedger
from aif_ai.booking import Why, answered_row, broken_row, started_row
from aif_ai.call_costs import bound_of, largest_size
from aif_ai.choice import tuned_number
from aif_ai.failures import AiFailure, GrantExceeded, NoTimeLeft, PriceUnknown, ProviderTimeout
from aif_ai.provider import ModelCall
from aif_ai.provider_gate import ProviderGate
from aif_ai.registry import Candidate
from aif_ai.requests import Answer, CallTrace, Capability, GenerationRequest, Message
from aif_contracts.metering import CallOutcome, ProviderCall
from aif_contracts.money import usd_text
from aif_runtime.clock import Clock

_FIRST_PERCENT, _LAST_PERCENT = 15, 85
"""The part of an attempt's progress that generation stands for."""


class Subject(Struct, frozen=True, kw_only=True):
    """Who asks for what, of whom: the same for all calls of one generation to one model."""

    request: GenerationRequest
    candidate: Candidate
    preferred: Candidate | None
    ledger: AttemptLedger


class Answered(Struct, frozen=True, kw_only=True):
    """An answer that has arrived, and its row: the judge of the answer books it."""

    answer: Answer
    row: ProviderCall


class Audience:
    """Who reads along over all calls of a generation; knows when they have to forget what they read."""

    def __init__(self, request: GenerationRequest) -> None:
        self._listener = request.listener
        self._has_read = False

    async def new_answer(self) -> None:
        if self._listener is not None and self._has_read:
            self._has_read = False
            await self._listener.restart()

    async def piece(self, text: str) -> None:
        if self._listener is not None and text:
            self._has_read = True
            await self._listener.piece(text)


class Caller:
    def __init__(self, *, gates: Mapping[str, ProviderGate], clock: Clock, call_timeout_seconds: float) -> None:
        self._gates = gates
        self._clock = clock
        self._call_timeout_seconds = call_timeout_seconds

    async def call(
        self,
        subject: Subject,
        messages: tuple[Message, ...],
        why: Why,
        audience: Audience,
        *,
        keeps_schema: bool = True,
        ends_at: float,
    ) -> Answered:
        """Ask once. A call that gives no answer is booked here.

        `keeps_schema` is False for the rest of an answer, which is no whole document. Raises any AiFailure; GrantExceeded,
        PriceUnknown, CircuitOpen, NoTimeLeft and LedgerUnreachable say that nothing was sent.
        """
        if subject.candidate.offer.local:
            return await self._made(subject, messages, why, audience, keeps_schema, ends_at, heard_from=_nobody)
        patience = ends_at - self._clock.monotonic()
        candidate = subject.candidate
        async with self._gates[candidate.provider.name].passing(patience, model=candidate.model) as passage:

            def heard_from() -> None:
                passage.has_spoken = True

            return await self._made(subject, messages, why, audience, keeps_schema, ends_at, heard_from=heard_from)

    async def _made(
        self,
        subject: Subject,
        messages: tuple[Message, ...],
        why: Why,
        audience: Audience,
        keeps_schema: bool,
        ends_at: float,
        *,
        heard_from: Callable[[], None],
    ) -> Answered:
        candidate, ledger = subject.candidate, subject.ledger
        # No await from here until the call is on the ledger: calls of one attempt share what its grant has left.
        planned = planned_call(subject, messages, keeps_schema=keeps_schema)
        bound = _bound(subject, planned)
        call = replace(planned, call_key=ledger.call_key())
        row = started_row(ledger.port, subject.request, candidate, why, call_key=call.call_key, bound=bound)
        ledger.begin(row, output_tokens=call.max_output_tokens)
        trace = CallTrace()
        outcome, error = CallOutcome.CANCELLED, "interrupted"
        began = self._clock.monotonic()

        limit: asyncio.Timeout | None = None
        heard = _Listening(subject, call, trace, audience, heard_from)
        try:
            if not candidate.is_free:
                await ledger.announce(row)
            began = self._clock.monotonic()
            limit_seconds = ends_at - began
            if not candidate.offer.local:
                # What works in this process cannot hang like a connection, and an hour of speech takes its time.
                limit_seconds = min(self._call_timeout_seconds, limit_seconds)
            if limit_seconds <= 0:
                raise NoTimeLeft(f"no time is left to ask {candidate.model}")
            async with asyncio.timeout(limit_seconds) as limit:
                answer = await candidate.provider.answer(call, trace, heard)
            trace.answered = True
        except asyncio.CancelledError:
            outcome, error = CallOutcome.CANCELLED, "cancelled"
            raise
        except TimeoutError as late:
            outcome, error = CallOutcome.FAILED, ProviderTimeout.code
            if limit is None or not limit.expired():
                raise
            raise ProviderTimeout(
                f"{candidate.model} did not end its answer within {limit_seconds:.3g} s", maybe_billed=trace.sent
            ) from late
        except AiFailure as failure:
            outcome, error = CallOutcome.FAILED, failure.code
            trace.sent = trace.sent or failure.maybe_billed
            raise
        finally:
            seconds = self._clock.monotonic() - began
            ledger.port.spent_on("ai_generation", seconds)
            row = replace(
                answered_row(row, trace, subject.request, candidate, subject.preferred), latency_ms=round(seconds * 1_000)
            )
            if not trace.answered:
                # Whatever ended it, a mistake in an adapter or a listener included, the call has its row.
                await ledger.book(broken_row(row, trace, outcome=outcome, error=error))
        return Answered(answer=answer, row=row)


def _nobody() -> None:
    """A local provider has no gate."""


class _Listening:
    """Passes what it hears on to all who want to know of it."""

    def __init__(
        self, subject: Subject, call: ModelCall, trace: CallTrace, audience: Audience, heard_from: Callable[[], None]
    ) -> None:
        self._port = subject.ledger.port
        self._call = call
        self._trace = trace
        self._audience = audience
        self._heard_from = heard_from

    async def __call__(self, piece: str) -> None:
        self._heard_from()
        await self._audience.piece(piece)
        if self._call.max_output_tokens:
            # An answer has about four characters for each token of its limit; mostly it ends well before.
            share = self._trace.characters / (self._call.max_output_tokens * 2)
            await self.comes_on(share, f"{self._call.model} has written {self._trace.characters} characters")

    async def comes_on(self, share: float, doing: str) -> None:
        await self._port.progress(_FIRST_PERCENT + int((_LAST_PERCENT - _FIRST_PERCENT) * min(1.0, share)), doing)


def planned_call(subject: Subject, messages: tuple[Message, ...], *, keeps_schema: bool = True) -> ModelCall:
    """What the provider will be told, but for the call's key. Raises GrantExceeded when no output token is left."""
    request, offer = subject.request, subject.candidate.offer
    if offer.capability is not Capability.LLM_GENERATION:
        return ModelCall(
            call_key="",
            model=subject.candidate.model,
            capability=request.capability,
            input=request.input,
            schema=request.schema,
        )
    return ModelCall(
        call_key="",
        model=subject.candidate.model,
        messages=messages,
        schema_name=request.schema_name,
        schema=request.schema if keeps_schema else None,
        max_output_tokens=_output_limit(subject),
    )


def _output_limit(subject: Subject) -> int:
    asked = tuned_number(subject.ledger.port.grant, "max_output_tokens") or subject.request.max_output_tokens
    left = subject.ledger.output_tokens_left()
    if left is None:
        return asked
    if left <= 0:
        raise GrantExceeded("the attempt has used all output tokens that it may use (its max_tokens)")
    return min(left, asked)


def _bound(subject: Subject, call: ModelCall) -> Decimal:
    """The most that the call can cost. Raises GrantExceeded, PriceUnknown."""
    candidate, ledger = subject.candidate, subject.ledger
    if candidate.price is None:
        raise PriceUnknown(
            f"{candidate.model} of {candidate.provider.name} has no price, so nobody could say what it spends: give it a price "
            "in the configuration (key `prices`), name it in AIF_FREE_MODELS if it costs nothing, or use a model with a price"
        )
    bound = bound_of(candidate.price, largest_size(call.messages, call.schema, call.input, call.max_output_tokens))
    left = ledger.money_left()
    if left is not None and bound > left:
        raise GrantExceeded(
            f"a call to {candidate.model} can cost up to {usd_text(bound)} USD and this attempt may still spend "
            f"{usd_text(left)} USD of the order's max_cost_usd (or of the stage's, or of the operator's limit for an attempt): "
            "order with a higher max_cost_usd, shorten the source or use a cheaper model"
        )
    return bound
