"""The books of one attempt: every call in order, and what its grant has left."""

from decimal import Decimal
from typing import Protocol

from aif_contracts.metering import ProviderCall
from aif_contracts.money import ZERO, usd
from aif_contracts.packets import Context, Grant


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

    async def progress(self, percent: int, message: str) -> None: ...

    async def record_call(self, call: ProviderCall) -> None: ...

    def next_call_number(self) -> int: ...

    def spent_on(self, part: str, seconds: float) -> None: ...


class AttemptLedger:
    """One for each attempt, for all its generations, because the grant bounds their sum."""

    def __init__(self, port: AttemptPort) -> None:
        self.port = port
        self._calls: list[ProviderCall] = []

    @property
    def calls(self) -> tuple[ProviderCall, ...]:
        return tuple(self._calls)

    def call_key(self) -> str:
        """A fresh key; one for each call that is made."""
        return f"{self.port.execution_id}.{self.port.stage_id}.{self.port.attempt}.{self.port.next_call_number()}"

    def money_left(self) -> Decimal | None:
        """None when the grant sets no bound. Calls of unknown cost count with their upper bound."""
        bound = usd(self.port.grant.max_cost_usd)
        if bound == ZERO:
            return None
        return bound - sum((usd(call.cost_usd or call.upper_bound_usd or "0") for call in self._calls), ZERO)

    def output_tokens_left(self) -> int | None:
        """None when the grant sets no bound."""
        bound = self.port.grant.max_tokens
        return None if bound is None else bound - sum(call.tokens.completion_tokens for call in self._calls)

    async def book(self, call: ProviderCall) -> None:
        self._calls.append(call)
        await self.port.record_call(call)
