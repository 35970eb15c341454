"""One generation put to one model: asked again after a failure that may pass, continued when cut off, corrected when the
answer breaks its rules."""

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from aif_ai.answer_check import AnswerCheck
from aif_ai.booking import Why, broken_row
from aif_ai.call_policy import REACTIONS, CallPolicy, wait_before_retry
from aif_ai.failures import AiFailure, GrantExceeded, MalformedOutput, OutputTruncated
from aif_ai.one_call import Answered, Audience, Caller, Subject
from aif_ai.requests import Answer, CallTrace, Capability, Finish, GenerationRequest, Message, Role
from aif_contracts.metering import CallOutcome, ProviderCall, Purpose
from aif_runtime.clock import Clock
from aif_runtime.cpu_meter import run_in_thread

_JUDGED_AT_ONCE = 16_384
"""Characters; a longer answer is judged in a thread, so that nobody else waits for it."""
_GO_ON = (
    "Your answer was cut off at its length limit. Go on exactly where it ends, in the middle of a word if need be, and write "
    "nothing but the rest."
)


class Accepted(Struct, frozen=True, kw_only=True):
    """An answer that keeps all rules."""

    output: bytes
    text: str
    """As the model wrote it."""
    row: ProviderCall
    """Its last call."""


class Rhythm(Struct, frozen=True, kw_only=True):
    """What waiting between tries needs: handed in, so that nothing waits in tests."""

    clock: Clock
    sleep: Callable[[float], Awaitable[None]]
    chance: Callable[[], float]
    """From 0 to 1."""


class Asking:
    def __init__(
        self,
        subject: Subject,
        audience: Audience,
        *,
        caller: Caller,
        check: AnswerCheck,
        policy: CallPolicy,
        rhythm: Rhythm,
        ends_at: float,
    ) -> None:
        self._subject = subject
        self._request: GenerationRequest = subject.request
        self._audience = audience
        self._caller = caller
        self._check = check
        self._policy = policy
        self._rhythm = rhythm
        self._ends_at = ends_at

    async def answer(self, why: Why) -> Accepted:
        """Raises any AiFailure; every call that was made is booked by then."""
        writes = self._subject.candidate.offer.capability is Capability.LLM_GENERATION
        corrections = self._policy.most_corrections if writes else 0
        messages = self._request.messages
        for left in range(corrections, -1, -1):
            await self._audience.new_answer()
            answered = await self._whole(messages, why)
            output, complaints = await self._judged(answered)
            if not complaints:
                return Accepted(output=output, text=answered.answer.text, row=answered.row)
            if left:
                why = Why(purpose=Purpose.CORRECTION, reason=MalformedOutput.code)
                said = Message(role=Role.ASSISTANT, text=answered.answer.text if answered.answer.text.strip() else "(nothing)")
                messages = (*self._request.messages, said, _correction(complaints))
        model = self._subject.candidate.model
        times = "once" if corrections == 0 else f"{corrections + 1} times"
        # It has been told what is wrong, as often as it pays: another attempt would only pay for the same again.
        raise MalformedOutput(f"{model} broke the rules of the answer {times}: {complaints[0]}", retryable=False)

    async def _whole(self, messages: tuple[Message, ...], why: Why) -> Answered:
        """An answer that was not cut off, or was cut off and continued to its end. Raises OutputTruncated."""
        first = await self._answered(messages, why)
        if first.answer.finish is Finish.COMPLETE:
            return first
        await self._book_truncated(first)
        if not self._subject.candidate.offer.continues or not first.answer.text.strip():
            raise self._truncated()
        begun = Message(role=Role.ASSISTANT, text=first.answer.text)
        why = Why(purpose=Purpose.CONTINUATION, reason=OutputTruncated.code)
        try:
            rest = await self._answered((*messages, begun, Message(role=Role.USER, text=_GO_ON)), why, begun=first.answer.text)
        except GrantExceeded as failure:
            raise self._truncated() from failure
        if rest.answer.finish is Finish.TRUNCATED:
            await self._book_truncated(rest)
            raise self._truncated()
        return Answered(answer=Answer(text=first.answer.text + rest.answer.text), row=rest.row)

    async def _answered(self, messages: tuple[Message, ...], why: Why, *, begun: str = "") -> Answered:
        """Ask up to so many times, as long as the time lasts. `begun` is what the answer goes on from."""
        tries = 0
        while True:
            try:
                return await self._caller.call(
                    self._subject, messages, why, self._audience, keeps_schema=not begun, ends_at=self._ends_at
                )
            except AiFailure as failure:
                tries += 1
                wait = self._wait_after(failure, tries)
                if wait is None:
                    raise
                why = Why(purpose=Purpose.RETRY, reason=failure.code)
            await self._audience.new_answer()
            await self._audience.piece(begun)
            await self._rhythm.sleep(wait)

    def _wait_after(self, failure: AiFailure, tries: int) -> float | None:
        """Seconds until the next try; None when there is none."""
        if not REACTIONS[type(failure)].again or tries >= self._policy.most_tries:
            return None
        wait = wait_before_retry(self._policy, failure, tries=tries, chance=self._rhythm.chance())
        return wait if self._rhythm.clock.monotonic() + wait < self._ends_at else None

    async def _judged(self, answered: Answered) -> tuple[bytes, tuple[str, ...]]:
        """The output and what is wrong with it. The call is booked as what it turned out to be, also when this is
        cancelled or the request's own check is broken."""
        ledger, began = self._subject.ledger, self._rhythm.clock.monotonic()
        row = broken_row(answered.row, CallTrace(sent=True), outcome=CallOutcome.CANCELLED, error="interrupted")
        try:
            if len(answered.answer.text) <= _JUDGED_AT_ONCE:
                output, complaints = self._check.judge(self._request, answered.answer)
            else:
                output, complaints = await run_in_thread(self._check.judge, self._request, answered.answer)
            row = answered.row
            if complaints:
                row = replace(row, outcome=CallOutcome.REJECTED, error=MalformedOutput.code)
        finally:
            ledger.port.spent_on("validation", self._rhythm.clock.monotonic() - began)
            await ledger.book(row)
        return output, complaints

    async def _book_truncated(self, answered: Answered) -> None:
        row = replace(answered.row, outcome=CallOutcome.TRUNCATED, error=OutputTruncated.code)
        await self._subject.ledger.book(row)

    def _truncated(self) -> OutputTruncated:
        return OutputTruncated(
            f"the answer of {self._subject.candidate.model} was cut off at its output limit: order a lower granularityLevel or "
            "fewer questions, or let the stage use more output tokens"
        )


def _correction(complaints: Sequence[str]) -> Message:
    listed = "\n".join(f"- {complaint}" for complaint in complaints)
    return Message(
        role=Role.USER,
        text=f"Your answer breaks the rules:\n{listed}\nGive the whole answer again, corrected, as JSON and nothing else.",
    )
