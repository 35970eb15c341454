"""Something that has happened, on its way through the engine."""

import asyncio

from msgspec import Struct

from aif_contracts.events import Kept
from aif_contracts.orders import Execute, ExecutionStatus
from aif_contracts.packets import ClaimAnswer, ProgressAnswer
from aif_orchestrator.execution.commands import MoveAccount, Refuse
from aif_orchestrator.execution.happenings import Happening, ResumeAsked
from aif_orchestrator.execution.terms import NO_CEILING, Terms


class NotApplied(Exception):
    """An arrival that cannot be applied whatever is tried: a mistake of ours, kept for a person to look at."""


class NotItsAttempt(NotApplied):
    """A report of a worker whose work the stage is not: no mistake of ours, and nothing that could change."""


class ExecutionOrdered(Struct, frozen=True, kw_only=True):
    """An admitted order. The same execution id a second time is the same order."""

    order: Execute
    trace: dict[str, str]
    owner: str = ""
    """The client whose own pipeline it names; empty for one of the factory's."""
    terms: Terms = NO_CEILING


class Applied(Struct, frozen=True, kw_only=True):
    """What came of an arrival, known once it is committed."""

    answer: ClaimAnswer | ProgressAnswer | None = None
    refusal: Refuse | None = None
    """Why nothing was done, to somebody who asked for something."""
    denied: str | None = None
    """Code of why the client's budget does not allow it; nothing was stored then."""
    not_fitting: MoveAccount | None = None
    """What was denied."""
    kept: Kept | None = None
    """What a resumed execution does not pay for again."""
    client_id: str | None = None
    status: ExecutionStatus | None = None
    """None when there is no such execution."""
    template_version: str = ""


class Arrival:
    """`done` gets its result after the commit, or the failure that kept it from being applied."""

    __slots__ = ("done", "execution_id", "happening")

    def __init__(self, execution_id: str, happening: Happening | ExecutionOrdered, done: "asyncio.Future[Applied]") -> None:
        self.execution_id = execution_id
        self.happening = happening
        self.done = done

    def succeed(self, applied: Applied) -> None:
        if not self.done.done():
            self.done.set_result(applied)

    def fail(self, failure: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(failure)


def asks_for_money(arrival: Arrival) -> bool:
    """Whether its client's budget has to allow it."""
    return isinstance(arrival.happening, ExecutionOrdered | ResumeAsked)
