"""What must be so at the end of every history, whatever went wrong in it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from aif_contracts.events import (
    CompensationCompleted,
    ExecutionEvent,
    StepCompleted,
    StepRetrying,
    WorkflowCancelled,
    WorkflowFailed,
)
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_contracts.reports import HANDED_BACK, Completed
from aif_orchestrator.execution.attempts import DECLINED, NOT_BEGUN, WORKER_LOST
from aif_orchestrator.execution.commands import RecordAttempt
from aif_orchestrator.execution.judging import RETRY_RULE
from aif_orchestrator.execution.offering import packet_id
from aif_orchestrator.execution.state import Execution, StageRun, newest_instance
from aif_orchestrator.execution.stopping import CANCELLED
from aif_pipelines.plan import compensation_id
from simulation.broker import Broker
from simulation.legs import last_words_fit, leg_mistakes, legs_of, paid_again, started_twice, stories_of
from simulation.orchestrators import PATIENCE, output_of
from simulation.record import Record
from simulation.rulings import Rulings
from simulation.shapes import Shapes, sources_of
from simulation.truth import Truth
from simulation.undoing import undoing_mistakes

_NO_FAILURES = frozenset({None, WORKER_LOST, NOT_BEGUN, DECLINED, HANDED_BACK, CANCELLED})
_STOPPED = frozenset({ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})


def examine(*, record: Record, broker: Broker, truth: Truth, shapes: Shapes, blobs: dict[str, Any], drained: bool) -> None:
    """Tell the truth of every rule that is broken."""
    if not drained:
        truth.violated("drains", "the history goes on for ever")
    if record.outbox:
        truth.violated("outbox", f"rows {sorted(record.outbox)} were never published")
    if left := broker.undelivered():
        truth.violated("queues", f"{len(left)} messages were never settled")
    for execution_id in truth.accepted:
        if execution_id not in record.rows:
            truth.violated("durable", f"{execution_id} was accepted and is not there")
    attempts: dict[tuple[str, str], dict[int, RecordAttempt]] = {}
    for (execution_id, stage_id, number), ended in record.attempts.items():
        attempts.setdefault((execution_id, stage_id), {})[number] = ended
    for row in record.rows.values():
        _Case(row.execution, record, broker, truth, shapes, blobs, attempts).examine()


class _Case:
    """One execution before the judge."""

    def __init__(
        self,
        execution: Execution,
        record: Record,
        broker: Broker,
        truth: Truth,
        shapes: Shapes,
        blobs: dict[str, Any],
        attempts: Mapping[tuple[str, str], Mapping[int, RecordAttempt]],
    ) -> None:
        self._execution = execution
        self._id = execution.execution_id
        self._events: Sequence[ExecutionEvent] = record.events.get(self._id, ())
        self._legs = legs_of(self._events)
        self._broker = broker
        self._truth = truth
        self._plan = shapes.plans.of_execution("", execution.template, execution.template_version)
        self._blobs = blobs
        self._attempts = attempts
        self._bettered = {
            event.data.step_name: event.data.attempt
            for event in self._events
            if isinstance(event.data, StepRetrying) and event.data.code == RETRY_RULE
        }
        """By stage the newest attempt that a rule wanted bettered."""

    def examine(self) -> None:
        self._must(self._execution.is_final, "liveness", f"is {self._execution.status} for ever")
        self._tells_a_straight_story()
        self._ends_each_stage_once()
        self._accounts_for_each_attempt()
        self._passes_on_what_was_made()
        self._undoes_or_names_what_was_cut_off()
        broken = [
            *leg_mistakes(self._execution, self._legs, int(self._plan.pipeline.timeout_seconds * 1000)),
            *undoing_mistakes(self._execution, self._plan, self._legs),
            *Rulings(self._execution, self._plan, self._results).mistakes(self._legs),
        ]
        for rule, story in broken:
            self._must(False, rule, story)

    def _results(self, stage_id: str, attempt: int) -> Mapping[str, Any]:
        """The result of an attempt that completed, as rules see it."""
        output = self._attempts[self._id, stage_id][attempt].account.output
        assert output is not None, "an attempt that completed has an output"
        return self._truth.made[output.storage_key]

    def _must(self, holds: bool, rule: str, story: str) -> None:
        if not holds:
            self._truth.violated(rule, f"{self._id}: {story}")

    def _tells_a_straight_story(self) -> None:
        events = self._events
        self._must([event.sequence for event in events] == list(range(1, len(events) + 1)), "sequence", "it has a gap")
        self._must(self._execution.sequence == len(events), "sequence", "state and events differ")
        unheard = [event.id for event in events if event.id not in self._broker.events]
        self._must(not unheard, "events are published", f"nobody heard of {unheard}")

    def _ends_each_stage_once(self) -> None:
        twice = started_twice(self._legs)
        self._must(not twice, "one start per attempt", f"{twice}")
        for leg in self._legs:
            again = paid_again(leg)
            self._must(not again, "kept stages are not begun", f"{again} on leg {leg.number}")
        stories = [stories_of(leg) for leg in self._legs]
        completed = {event.data.step_name: event.data for event in self._events if isinstance(event.data, StepCompleted)}
        for stage_id, run in self._execution.stages.items():
            told = [story.get(stage_id, "") for story in stories]
            if run.compensates is None and not run.withdrawn:
                self._must(last_words_fit(run.status, told), "one end per stage", f"{stage_id} is {run.status} and told {told}")
            if run.compensates is None and run.output is not None:
                made_by = output_of(run.output, self._blobs)["attempt"]
                said = completed[stage_id].attempt if stage_id in completed else 0
                # The result of an attempt that was cut off is kept to be undone.
                was_cut_off = run.status is StageStatus.CANCELLED and made_by == run.attempt
                fits = made_by == said or was_cut_off
                self._must(fits, "fencing", f"{stage_id} ended by attempt {said} has the output of {made_by}")

    def _accounts_for_each_attempt(self) -> None:
        successes = Counter(
            f"compensate_{event.data.step_name}" if isinstance(event.data, CompensationCompleted) else event.data.step_name
            for event in self._events
            if isinstance(event.data, StepCompleted | CompensationCompleted)
        )
        ends = sum(1 for leg in self._legs if leg.is_over)
        for stage_id, run in self._execution.stages.items():
            records = self._attempts.get((self._id, stage_id), {})
            missing = sorted(set(range(1, run.attempt + 1)) - records.keys())
            # What nobody had begun when a leg ended has no end of its own.
            self._must(len(missing) <= ends, "attempts are recorded", f"{stage_id} lacks {missing} of {run.attempt}")
            if missing and ends == 1:
                was_stopped = missing == [run.attempt] and self._execution.status in _STOPPED
                self._must(was_stopped, "attempts are recorded", f"{stage_id} lacks {missing} of {run.attempt}")
            codes = Counter(ended.record.failure_code for ended in records.values())
            last_of_leg = {ended.account.leg: number for number, ended in sorted(records.items())}
            over = {last_of_leg.get(leg.number) for leg in self._legs if leg.is_over}
            cut_off = sum(number in over and ended.record.failure_code == CANCELLED for number, ended in records.items())
            stopped = codes[CANCELLED] - cut_off + codes["superseded"]
            self._must(stopped == 0, "stopped in error", f"{stage_id} lost {stopped} attempts to words that were not for them")
            told = successes[stage_id]
            self._must(codes[None] == told, "one success", f"{stage_id} told of {told} successes and had {codes[None]}")
            for number, ended in records.items():
                offered = packet_id(self._id, stage_id, ended.account.dispatches)
                given = self._truth.packets.get((self._id, stage_id, number), offered)
                self._must(given == offered, "packet fence", f"{given} was good for attempt {number} of {stage_id}")
            self._counts_since_it_began(stage_id, run, records)

    def _counts_since_it_began(self, stage_id: str, run: StageRun, records: Mapping[int, RecordAttempt]) -> None:
        """Losses and failures are counted anew on each leg that does not keep the stage, failures after each success, too."""
        newest = max((ended.account.leg for ended in records.values()), default=0)
        codes = {number: ended.record.failure_code for number, ended in records.items() if ended.account.leg == newest}
        is_anew = (
            newest < self._execution.leg and run.status is not StageStatus.COMPLETED and not run.losses and not run.failures
        )
        if not is_anew:
            lost = sum(code == WORKER_LOST for code in codes.values())
            self._must(lost == run.losses, "losses", f"{stage_id} counts {run.losses}, {lost} were")
            failed = sum(code not in _NO_FAILURES for number, code in codes.items() if number > self._bettered.get(stage_id, 0))
            self._must(failed == run.failures, "failures", f"{stage_id} counts {run.failures} failures, {failed} were")
        self._must(run.losses <= PATIENCE.max_losses, "losses", f"{stage_id} was lost {run.losses} times")
        most = self._plan.stage_plan(run.follows or stage_id).stage.retry.max_attempts
        self._must(run.failures <= most, "retries", f"{stage_id} failed {run.failures} times and may {most} times")

    def _passes_on_what_was_made(self) -> None:
        """What a stage was given is what the stages before it made, in the form that counted at last.

        Only a stage that has an effect, and is not done twice, may keep what was made from something older.
        """
        stages = self._execution.stages
        for stage_id, run in stages.items():
            plan = self._plan.stage_plan(run.follows or stage_id)
            is_old = run.compensates is not None and not stages[run.compensates].is_undone
            may_be_old = plan.compensation is not None and self._execution.leg > 1
            if run.output is None or is_old or may_be_old:
                continue
            given = output_of(run.output, self._blobs)["from"]
            wanted = {
                field: output_of(source.output, self._blobs)["made"]
                for field, names in sources_of(plan.stage.input).items()
                if (source := self._first_of(names, run)) is not None and source.output is not None
            }
            self._must(given == wanted, "hand-over", f"{stage_id} was given {given} and not {wanted}")

    def _undoes_or_names_what_was_cut_off(self) -> None:
        """An attempt that was under way when its execution failed or was cancelled, and did its work all the same.

        Of one that two workers had, because its packet came to both, the first word counts.
        """
        last = self._events[-1].data
        if not isinstance(last, WorkflowFailed | WorkflowCancelled):
            return
        for stage_id, run in self._execution.stages.items():
            is_undoable = run.compensates is None and compensation_id(run.follows or stage_id) in self._plan.extra
            was_cut_off = run.status is StageStatus.CANCELLED and run.attempt > run.ended
            if is_undoable and was_cut_off and self._truth.said.get((self._id, stage_id, run.attempt)) == {Completed}:
                is_known = run.is_undone or stage_id in last.not_undone
                self._must(is_known, "undone or named", f"attempt {run.attempt} of {stage_id} did its work and was cut off")

    def _first_of(self, names: Sequence[str], reader: StageRun) -> StageRun | None:
        """The first of these stages that has a result; its own name means the one it stands on, not the newest."""
        stages = self._execution.stages
        origin = reader.compensates or reader.added_by
        for name in names:
            found = newest_instance(stages, name)
            if origin is not None and name in (origin, stages[origin].follows):
                found = stages[origin]
            if found is not None and found.output is not None and (reader.compensates or found.status is StageStatus.COMPLETED):
                return found
        return None
