"""An execution while the steps of one batch change it: the new state and the commands that follow, gathered in order."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from aif_contracts.events import EventData, ExecutionEvent
from aif_contracts.money import usd
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_contracts.reports import LONGEST_TEXT
from aif_orchestrator.execution.allowance import Allowance
from aif_orchestrator.execution.bill import Bill
from aif_orchestrator.execution.commands import Command, EmitEvent
from aif_orchestrator.execution.happenings import Circumstances
from aif_orchestrator.execution.state import Execution, StageRun, newest_instance
from aif_orchestrator.execution.tally import Tally
from aif_pipelines.plan import StagePlan

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OPEN = frozenset({StageStatus.QUEUED, StageStatus.RUNNING})


class Draft:
    """Lives within one batch, whose steps all happen at the same time and under the same circumstances."""

    def __init__(self, execution: Execution, circumstances: Circumstances) -> None:
        self.execution = execution
        """As it is but for its stages and what its events count: `finish` puts them together."""
        self.circumstances = circumstances
        self.at = circumstances.at_ms
        self._plan = circumstances.plan
        self.stages = dict(execution.stages)
        self.commands: list[Command] = []
        """Of the step that is being taken."""
        self._original = execution
        self._sequence = execution.sequence
        self._progress_percent = execution.progress_percent
        self._stages_changed = False
        self._counted: Tally | None = None
        self._billed: Bill | None = None
        self._newest_made_at: int | None = None
        self._ended: list[str] = []
        self._starts_anew = False
        self.has_money_moved = False
        self.is_admission = False
        """What the execution reserves has to fit into its client's budget."""

    def next_step(self) -> None:
        """What follows is another step, with commands of its own."""
        self.commands = []
        self.has_money_moved = False
        self.is_admission = False

    @property
    def is_as_planned(self) -> bool:
        """Its stages are those of the pipeline: no rule has added one, and nothing is undone."""
        return len(self.stages) == len(self._plan.order)

    def plan_of(self, stage_id: str) -> StagePlan:
        planned = self._plan.stages.get(stage_id)
        return self._plan.extra[self.stages[stage_id].follows or stage_id] if planned is None else planned

    def newest(self, plan_id: str) -> StageRun | None:
        """The run that a name in the pipeline means; None for a stage that no rule has added."""
        return newest_instance(self.stages, plan_id)

    def change(self, stage_id: str, **changes: Any) -> StageRun:
        """Gathering `changes` costs more than making them: what every execution does is `put` with `replace`."""
        return self.put(stage_id, replace(self.stages[stage_id], **changes))

    def put(self, stage_id: str, run: StageRun) -> StageRun:
        """In its place, or at the end when the execution has no such stage yet."""
        was = self.stages.get(stage_id)
        self.stages[stage_id] = run
        self._stages_changed = True
        if was is None:
            self._count_anew()
            return run
        if run.status is not was.status and run.status.is_final:
            self._ended.append(stage_id)
        if self._counted is not None:
            self._counted.replace(was, run)
        if self._billed is not None:
            self._billed.replace(was, run)
        return run

    def start_anew(self) -> None:
        """Any stage may be ready, and not only those that wait for what has ended."""
        self._starts_anew = True

    @property
    def has_news(self) -> bool:
        """Whether stages have ended that nobody has gone on from."""
        return self._starts_anew or bool(self._ended)

    def take_news(self) -> Sequence[str]:
        """The stages that may have become ready since this was asked last."""
        ended, self._ended = self._ended, []
        anew, self._starts_anew = self._starts_anew, False
        if anew or not self.is_as_planned:
            return list(self.stages)
        return [waiting for stage_id in ended for waiting in self._plan.stages[stage_id].dependents]

    def take_out(self, stage_id: str) -> StageRun | None:
        """To be put at the end."""
        self._count_anew()
        return self.stages.pop(stage_id, None)

    def insert_after(self, owner: str, stage_id: str, run: StageRun) -> None:
        """Put a stage behind the one that added it, and behind those that this one has added before."""
        before = owner
        for known, other in self.stages.items():
            if other.added_by == owner:
                before = known
        stages: dict[str, StageRun] = {}
        for known, other in self.stages.items():
            stages[known] = other
            if known == before:
                stages[stage_id] = run
        self.stages = stages
        self._stages_changed = True
        self._count_anew()

    def money_moved(self) -> None:
        """What is spent or reserved may have changed; the books are brought up to date at the end of the step."""
        self.has_money_moved = True

    def command(self, command: Command) -> None:
        self.commands.append(command)

    def emit(self, data: EventData, *, happened_at: int | None = None) -> None:
        """Number and keep an event. An execution that has ended says no more: its final event is the last one.

        `happened_at` is for what is heard of later than it was; None for now.
        """
        if self.execution.status.is_final:
            return
        self.number_event(data, happened_at=happened_at)

    def number_event(self, data: EventData, *, happened_at: int | None = None) -> None:
        execution = self.execution
        self._sequence = sequence = self._sequence + 1
        self._progress_percent = progress = self.progress()
        self.commands.append(
            EmitEvent(
                event=ExecutionEvent(
                    id=f"{execution.execution_id}:{sequence}",
                    type=_event_type(type(data)),
                    time=rfc3339(self.at if happened_at is None else happened_at),
                    subject=execution.execution_id,
                    sequence=sequence,
                    client_id=execution.client_id,
                    request_id=execution.request_id,
                    progress_percent=progress,
                    data=data,
                ),
                leg=execution.leg,
            )
        )

    def progress(self) -> int:
        """Percent of the execution, as the next event will say it; it never falls within a leg."""
        status = self.execution.status
        if status.is_final:
            delivered = status in (ExecutionStatus.COMPLETED, ExecutionStatus.PARTIALLY_COMPLETED)
            return 100 if delivered else self._progress_percent
        tally = self.tally()
        percent = min(99, tally.percents // tally.stages) if tally.stages else 0
        return max(percent, self._progress_percent)

    def tally(self) -> Tally:
        """Of the stages as they are now."""
        if self._counted is None:
            self._counted = Tally(self.stages.values())
        return self._counted

    def bill(self) -> Bill:
        """Of the stages as they are now."""
        if self._billed is None:
            self._billed = Bill(self.stages.values())
        return self._billed

    def allowance(self) -> Allowance:
        """As it is now."""
        bill = self.bill()
        return Allowance(limit=usd(self.execution.max_cost_usd), spent=bill.spent, reserved=bill.reserved)

    def next_made_at(self) -> int:
        """Now; or later, when another replica's clock was ahead: what is made from something is never older than that."""
        if self._newest_made_at is None:
            self._newest_made_at = max((run.made_at for run in self.stages.values() if run.made_at is not None), default=0)
        self._newest_made_at = max(self.at, self._newest_made_at + 1)
        return self._newest_made_at

    def begin_leg(self) -> None:
        """What was counted and made before has no part in it."""
        self._progress_percent = 0
        self._newest_made_at = None

    def finish(self) -> Execution:
        """The new state; the very same object as before when nothing has changed."""
        if not self._stages_changed and self.execution is self._original and self._sequence == self._original.sequence:
            return self._original
        return replace(
            self.execution, stages=dict(self.stages), sequence=self._sequence, progress_percent=self._progress_percent
        )

    def _count_anew(self) -> None:
        """Stages have come or gone."""
        self._counted = None
        self._billed = None


@lru_cache(maxsize=64)
def _event_type(kind: type[EventData]) -> str:
    return f"aif.{str(kind.__struct_config__.tag).lower()}"


@lru_cache(maxsize=64)
def rfc3339(at_ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339 in UTC with milliseconds."""
    seconds, milliseconds = divmod(at_ms, 1000)
    return f"{_to_the_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=64)
def _to_the_second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def told(words: str) -> str:
    """What somebody else has written, short enough for events and views, which hold it more than once in one message."""
    return words if len(words) <= LONGEST_TEXT else f"{words[: LONGEST_TEXT - 1]}…"


def is_open(run: StageRun) -> bool:
    """A worker may be working on the stage."""
    return run.status in _OPEN


def has_open_attempt(run: StageRun) -> bool:
    """An attempt was opened, by a claim or together with its packet, and has not ended."""
    return is_open(run) and run.attempt > run.ended
