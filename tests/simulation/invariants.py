"""What must be so at the end of every history, whatever went wrong in it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from aif_contracts.events import ExecutionEvent, StepCompleted, StepFailed, StepSkipped, StepStarted
from aif_contracts.money import usd
from aif_contracts.orders import StageStatus
from aif_contracts.reports import HANDED_BACK
from aif_orchestrator.execution.attempts import WORKER_LOST
from aif_orchestrator.execution.happenings import Patience
from aif_orchestrator.execution.metering import execution_totals
from aif_orchestrator.execution.state import Execution
from simulation.broker import Broker
from simulation.orchestrators import output_of
from simulation.record import Record, is_final_event
from simulation.shapes import Shapes, parents_of
from simulation.truth import Truth

SLACK_MS = 60_000
"""After its deadline an execution has so long to end."""

_LAST_WORDS = {
    StageStatus.COMPLETED: ["STEP_COMPLETED"],
    StageStatus.FAILED: ["STEP_FAILED"],
    StageStatus.SKIPPED: ["STEP_SKIPPED"],
}
"""What a stage says of its end; one that is cancelled says nothing."""


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
    if unknown := sorted(truth.told_calls ^ record.calls.keys()):
        truth.violated("calls", f"kept and told calls differ by {unknown}")
    for row in record.rows.values():
        _Case(row.execution, record, broker, truth, shapes, blobs).examine()


class _Case:
    """One execution before the judge."""

    def __init__(
        self, execution: Execution, record: Record, broker: Broker, truth: Truth, shapes: Shapes, blobs: dict[str, Any]
    ) -> None:
        self._execution = execution
        self._id = execution.execution_id
        self._events: Sequence[ExecutionEvent] = record.events.get(self._id, ())
        self._record = record
        self._broker = broker
        self._truth = truth
        self._plan = shapes.plans.of_execution("", execution.template, execution.template_version)
        self._blobs = blobs

    def examine(self) -> None:
        self._ends_in_time()
        self._tells_a_straight_story()
        self._ends_each_stage_once()
        self._accounts_for_each_attempt()
        self._is_charged_exactly()
        self._passes_on_what_was_made()

    def _must(self, holds: bool, rule: str, story: str) -> None:
        if not holds:
            self._truth.violated(rule, f"{self._id}: {story}")

    def _ends_in_time(self) -> None:
        ended_at, limit = self._execution.ended_at, self._execution.deadline_at + SLACK_MS
        self._must(self._execution.is_final, "liveness", f"is {self._execution.status} for ever")
        self._must(ended_at is None or ended_at <= limit, "liveness", "ended long after its deadline")

    def _tells_a_straight_story(self) -> None:
        events = self._events
        finals = [event.sequence for event in events if is_final_event(event)]
        if self._execution.is_final:
            self._must(finals == [len(events)], "one final event", f"{len(events)} events with finals at {finals}")
        self._must([event.sequence for event in events] == list(range(1, len(events) + 1)), "sequence", "it has a gap")
        self._must(self._execution.sequence == len(events), "sequence", "state and events differ")
        progress = [event.progress_percent for event in events if not is_final_event(event)]
        self._must(progress == sorted(progress), "progress", f"it falls: {progress}")
        unheard = [event.id for event in events if event.id not in self._broker.events]
        self._must(not unheard, "events are published", f"nobody heard of {unheard}")

    def _ends_each_stage_once(self) -> None:
        started = Counter((e.data.step_name, e.data.attempt) for e in self._events if isinstance(e.data, StepStarted))
        twice = sorted(key for key, times in started.items() if times > 1)
        self._must(not twice, "one start per attempt", f"{twice}")
        for stage_id, run in self._execution.stages.items():
            ends = [
                event.data
                for event in self._events
                if isinstance(event.data, StepCompleted | StepFailed | StepSkipped) and event.data.step_name == stage_id
            ]
            kinds = [str(end.__struct_config__.tag) for end in ends]
            wanted = _LAST_WORDS.get(run.status, [])
            self._must(kinds == wanted, "one end per stage", f"{stage_id} is {run.status} and told {kinds}")
            if run.status is StageStatus.COMPLETED and run.output is not None and isinstance(ends[0], StepCompleted):
                made_by = output_of(run.output, self._blobs)["attempt"]
                told = ends[0].attempt
                self._must(made_by == told, "fencing", f"{stage_id} ended by attempt {told} has the output of {made_by}")

    def _accounts_for_each_attempt(self) -> None:
        for stage_id, run in self._execution.stages.items():
            records = {
                number: record
                for number in range(1, run.attempt + 1)
                if (record := self._record.attempts.get((self._id, stage_id, number))) is not None
            }
            open_at_end = {run.attempt} if run.status is StageStatus.CANCELLED else set()
            missing = sorted(set(range(1, run.attempt + 1)) - records.keys() - open_at_end)
            self._must(not missing, "attempts are recorded", f"{stage_id} lacks {missing} of {run.attempt}")
            codes = Counter(record.failure_code for record in records.values())
            self._must(codes[WORKER_LOST] == run.losses, "losses", f"{stage_id} counts {run.losses}, {codes[WORKER_LOST]} were")
            self._must(run.losses <= Patience().max_losses, "losses", f"{stage_id} was lost {run.losses} times")
            failures = sum(codes.values()) - codes[WORKER_LOST] - codes[HANDED_BACK] - codes[None]
            self._must(failures == run.failures, "failures", f"{stage_id} counts {run.failures} failures, {failures} were")
            most = self._plan.stages[stage_id].stage.retry.max_attempts
            self._must(run.failures <= most, "retries", f"{stage_id} failed {run.failures} times and may {most} times")
            stopped = codes["cancelled"] + codes["superseded"]
            self._must(stopped == 0, "stopped in error", f"{stage_id} lost {stopped} attempts to words that were not for them")
            completed = 1 if run.status is StageStatus.COMPLETED else 0
            self._must(codes[None] == completed, "one success", f"{stage_id} is {run.status} with {codes[None]} successes")

    def _is_charged_exactly(self) -> None:
        totals = execution_totals(self._execution, self._execution.deadline_at)
        owed, is_complete = self._truth.owed(self._id)
        self._must(usd(totals.cost_usd) == owed, "money", f"charged {totals.cost_usd}, owed {owed}")
        self._must(totals.cost_is_complete == is_complete, "money", "complete and incomplete totals are mixed up")

    def _passes_on_what_was_made(self) -> None:
        """What a stage was given is what the stages before it made, in the form that counted."""
        for stage_id, run in self._execution.stages.items():
            if run.output is None:
                continue
            given = output_of(run.output, self._blobs)["from"]
            wanted = {
                name: output_of(parent.output, self._blobs)["made"]
                for name in parents_of(self._plan.stages[stage_id].stage)
                if (parent := self._execution.stages[name]).output is not None
            }
            self._must(given == wanted, "hand-over", f"{stage_id} was given {given} and not {wanted}")
