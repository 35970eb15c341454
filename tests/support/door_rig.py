"""A door over providers that do as they are told, with a clock that only moves when somebody waits."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct

from aif_ai.attempt_ledger import AttemptLedger
from aif_ai.call_policy import CallPolicy
from aif_ai.door import Door
from aif_ai.model_switches import ModelSwitches, Switches
from aif_ai.provider import Listener, ModelCall, Offer
from aif_ai.requests import Answer, CallTrace, Capability, Finish, GenerationRequest, Message, Role
from aif_ai.response_cache import ResponseCache
from aif_contracts.metering import ProviderCall, Tokens
from aif_contracts.packets import Context, Grant, QualityTier
from aif_prices.book import PriceBook, shipped_prices
from support.manual_clock import ManualClock
from support.recording_assignment import RecordingAssignment

USAGE = Tokens(prompt_tokens=1_000, completion_tokens=100, total_tokens=1_100)


class Says(Struct, frozen=True, kw_only=True):
    """One answer."""

    text: str = "fine"
    pieces: tuple[str, ...] = ()
    """Told one by one; the text is told as one when there are none."""
    finish: Finish = Finish.COMPLETE
    tokens: Tokens | None = USAGE
    audio_ms: int | None = None


Step = Says | Exception | Callable[[ModelCall, CallTrace, Listener], Awaitable[Answer]]


class ScriptedProvider:
    """Takes one step for each call; answers well when no step is left."""

    def __init__(self, name: str, *offers: Offer | str, steps: tuple[Step, ...] = ()) -> None:
        self.name = name
        self.offers = tuple(
            Offer(capability=Capability.LLM_GENERATION, models=(offer,), continues=True) if isinstance(offer, str) else offer
            for offer in offers
        )
        self.steps = list(steps)
        self.asked: list[ModelCall] = []

    async def answer(self, call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        self.asked.append(call)
        step = self.steps.pop(0) if self.steps else Says()
        if isinstance(step, Exception):
            raise step
        if not isinstance(step, Says):
            return await step(call, trace, heard)
        trace.sent = True
        trace.response_id = f"{self.name}-{len(self.asked)}"
        for piece in step.pieces or (step.text,):
            trace.characters += len(piece)
            await heard(piece)
        trace.tokens = step.tokens
        trace.audio_ms = step.audio_ms
        return Answer(text="".join(step.pieces) or step.text, finish=step.finish)

    async def close(self) -> None:
        return None


class TimedAssignment(RecordingAssignment):
    """Has so many seconds by the manual clock."""

    def __init__(self, clock: ManualClock, *, grant: Grant | None, seconds: float, client_id: str) -> None:
        super().__init__(grant=grant)
        self.context = Context(client_id=client_id)
        self._clock = clock
        self._ends_at = clock.monotonic() + seconds

    def remaining_seconds(self) -> float:
        return self._ends_at - self._clock.monotonic()


class SetSwitches:
    """What an operator has configured, as a test says it."""

    def __init__(self, switches: Switches | None = None, *, per_minute: Mapping[str, int] | None = None) -> None:
        self.now = switches or Switches()
        self.per_minute = dict(per_minute or {})
        self.book: PriceBook | None = None
        self.operators: tuple[str, ...] = ()
        self.missed: list[tuple[str, str]] = []

    async def switches(self, action: str, context: Context) -> Switches:
        return self.now

    def named_by_operator(self, action: str) -> tuple[str, ...]:
        return self.operators

    def not_to_be_had(self, action: str, model: str) -> None:
        self.missed.append((action, model))

    def requests_per_minute(self, provider: str) -> int | None:
        return self.per_minute.get(provider)

    def prices(self) -> PriceBook | None:
        return self.book


class DoorRig:
    def __init__(
        self,
        *providers: ScriptedProvider,
        grant: Grant | None = None,
        seconds: float = 120.0,
        policy: CallPolicy | None = None,
        switches: ModelSwitches | None = None,
        cache: ResponseCache | None = None,
        free_models: tuple[str, ...] = (),
        quality_overrides: Mapping[str, QualityTier] | None = None,
        chance: float = 0.5,
    ) -> None:
        self.clock = ManualClock()
        self.slept: list[float] = []
        self._seconds = seconds
        self.door = Door(
            providers=providers,
            prices=PriceBook(shipped_prices(), free_models=free_models),
            clock=self.clock,
            policy=policy,
            switches=switches,
            cache=cache,
            quality_overrides=quality_overrides,
            sleep=self._sleep,
            chance=lambda: chance,
        )
        self.assignment = self.new_attempt(grant=grant)
        self.ledger = AttemptLedger(self.assignment)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.clock.advance(seconds)

    def new_attempt(self, *, grant: Grant | None = None, client_id: str = "client_1") -> TimedAssignment:
        return TimedAssignment(self.clock, grant=grant, seconds=self._seconds, client_id=client_id)

    @property
    def calls(self) -> list[ProviderCall]:
        return self.assignment.calls


def ask(**changes: Any) -> GenerationRequest:
    """A request for free text."""
    fields: dict[str, Any] = {
        "capability": Capability.LLM_GENERATION,
        "action": "ask",
        "messages": (Message(role=Role.USER, text="How do bees find their way?"),),
        "max_output_tokens": 500,
    }
    return GenerationRequest(**{**fields, **changes})
