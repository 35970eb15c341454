"""The books of one attempt: every call in order, what its grant has left, and who else has to know."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Protocol

from aif_ai.failures import LedgerUnreachable
from aif_contracts.audit import Severity
from aif_contracts.metering import ProviderCall
from aif_contracts.money import ZERO, usd
from aif_contracts.packets import Context, Grant
from aif_runtime.failures import BusUnavailable


class AttemptPort(Protocol):
    """What the AI layer needs of an assignment."""

    @property
    def execution_id(self) -> str: ...
    @property
    def stage_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def worker_name(self) -> str: ...
    @property
    def context(self) -> Context: ...
    @property
    def grant(self) -> Grant: ...

    def remaining_seconds(self) -> float: ...

    async def progress(self, percent: int, message: str) -> None: ...

    async def announce_call(self, call: ProviderCall) -> None: ...

    async def record_call(self, call: ProviderCall) -> None: ...

    async def audit(self, action: str, severity: Severity, details: Mapping[str, Any]) -> None: ...

    def next_call_number(self) -> int: ...

    def spent_on(self, part: str, seconds: float) -> None: ...


class AttemptLedger:
    """One for each attempt, for all its generations, because the grant bounds their sum."""

    def __init__(self, port: AttemptPort) -> None:
        self.port = port
        self._calls: list[ProviderCall] = []
        self._under_way: dict[str, tuple[Decimal, int]] = {}

    @property
    def calls(self) -> tuple[ProviderCall, ...]:
        """Those that have ended, in the order of their ends."""
        return tuple(self._calls)

    def call_key(self) -> str:
        """A fresh key; one for each call that is made."""
        return f"{self.port.execution_id}.{self.port.stage_id}.{self.port.attempt}.{self.port.next_call_number()}"

    def money_left(self) -> Decimal | None:
        """None when the grant sets no bound. Calls under way and calls of unknown cost count with their upper bound."""
        bound = usd(self.port.grant.max_cost_usd)
        if bound == ZERO:
            return None
        ended = sum((usd(call.cost_usd or call.upper_bound_usd or "0") for call in self._calls), ZERO)
        return bound - ended - sum((most for most, _ in self._under_way.values()), ZERO)

    def output_tokens_left(self) -> int | None:
        """None when the grant sets no bound. Calls under way count with their limit."""
        bound = self.port.grant.max_tokens
        if bound is None:
            return None
        return bound - sum(c.tokens.completion_tokens for c in self._calls) - sum(n for _, n in self._under_way.values())

    def begin(self, call: ProviderCall, *, output_tokens: int) -> None:
        """Set aside what a call that is about to be made can use."""
        self._under_way[call.call_key] = (usd(call.upper_bound_usd or "0"), output_tokens)

    async def announce(self, call: ProviderCall) -> None:
        """Tell of a call that may cost money before it is made. Raises LedgerUnreachable: it must not be made."""
        try:
            await self.port.announce_call(call)
        except BusUnavailable as error:
            raise LedgerUnreachable(f"the call to {call.model} could not be announced, so it was not made: {error}") from error

    async def book(self, call: ProviderCall) -> None:
        """The end of a call; one for each key."""
        self._under_way.pop(call.call_key, None)
        self._calls.append(call)
        await self.port.record_call(call)
