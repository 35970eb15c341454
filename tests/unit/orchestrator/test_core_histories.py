"""Histories that nobody would think of: whatever happens to the core, in any order, twice, late or forged, the rules hold."""

from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aif_contracts.events import (
    FINAL_EVENT_TYPES,
    AiGenerationCompleted,
    CompensationStarted,
    ExecutionEvent,
    StepCompleted,
    StepStarted,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowResumed,
)
from aif_contracts.metering import CostLines, Metrics
from aif_contracts.money import ZERO, usd, usd_text
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_contracts.packets import Granted, Later, Proceed
from aif_contracts.reports import HANDED_BACK
from aif_orchestrator.execution.attempts import DECLINED, NOT_BEGUN
from aif_orchestrator.execution.commands import AnswerClaim, DispatchPacket, EmitEvent, LoadOutputs, RecordAttempt
from aif_orchestrator.execution.happenings import (
    ApprovalDecisionMade,
    AttemptCompleted,
    AttemptFailed,
    CallBooked,
    CancelAsked,
    CompensationSkipAsked,
    InputStored,
    InputUnavailable,
    PacketDeclined,
    PacketUntold,
    PauseAsked,
    ResumeAsked,
    TimePassed,
)
from aif_orchestrator.execution.metering import execution_totals
from aif_orchestrator.execution.state import Execution, StageRun, wake_at
from aif_orchestrator.execution.stopping import CANCELLED
from aif_pipelines.definition import AddStage, Approve, Compensation, Fail, OutputValidation, Pipeline, RetryStage, SkipStage
from support.execution_story import Story, call, deliverable, final_events, inline, pipeline, schema_of, stage, stored

MOST_BETTER_TRIES = 2
MOST_ADDED = 2
UNDO_ONE = Compensation(worker="maker", action="make", input={"what": "{{one.made}}"})
PIPELINES: tuple[Pipeline, ...] = (
    pipeline(stage("one")),
    pipeline(stage("one"), stage("two", input={"from": "{{one.made}}"}), outputs=(deliverable("two"),)),
    pipeline(
        stage("one", optional=True),
        stage("two", depends_on=("one",), input={"from": "{{one.made?}}"}),
        stage("three", when="{{two.quality_score}} < 0.7"),
        stage("four", depends_on=("three",)),
    ),
    pipeline(
        stage("one", output_validation=OutputValidation(required_fields=("made",))),
        stage("two"),
        stage("three", input={"left": "{{one.made}}", "right": "{{two.made}}", "text": "{{params.text}}"}),
        parameters=schema_of("text"),
    ),
    pipeline(
        stage(
            "one",
            compensate=UNDO_ONE,
            rules=(
                RetryStage(condition="one.quality_score < 0.7", max_retries=MOST_BETTER_TRIES),
                AddStage(
                    condition="one.made != ''",
                    stage=stage("more", optional=True, input={"from": "{{one.made}}"}),
                    max_times=MOST_ADDED,
                ),
            ),
        ),
        stage("two", depends_on=("one",), input={"from": "{{more.made ?? one.made}}"}),
    ),
    pipeline(
        stage("one", compensate=UNDO_ONE, rules=(SkipStage(condition="one.quality_score < 0.7", stage="three"),)),
        stage("two", optional=True, rules=(Approve(condition="two.quality_score < 0.7", message="Look at it."),)),
        stage("three", depends_on=("one",), rules=(Fail(condition="three.quality_score < 0.7", message="Bad."),)),
    ),
    pipeline(
        stage("one", rules=(Approve(condition="true", message="Look."), RetryStage(condition="one.quality_score < 0.7"))),
        stage("two", optional=True, rules=(Approve(condition="true", message="And here."),)),
        stage("three", input={"one": "{{one.made}}", "two": "{{two.made?}}"}),
    ),
)
STAGES = st.sampled_from(
    ("at work", "at work", "at work", "at work", "at work", "one", "two", "three", "more", "compensate_one", "nowhere")
)
"""`at work` is the first stage that could go on."""
WORKERS = st.sampled_from(("worker_a", "worker_b"))
WHICH = st.sampled_from(("newest", "newest", "newest", "newest", "newest", "before", "first", "next", "far", "none"))
AMOUNTS = st.sampled_from(("0", "0.25", "0.000001"))

MONEY_FIELDS = ("spent", "settled", "statements", "unreported_calls", "reserved")
"""What a late report may still change."""

_HARMLESS = frozenset({None, HANDED_BACK, NOT_BEGUN, DECLINED, CANCELLED})
_PAUSABLE = frozenset({ExecutionStatus.RUNNING, ExecutionStatus.AWAITING_APPROVAL, ExecutionStatus.PAUSED})
_STOPPED = frozenset({ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})
_RESUMABLE = _STOPPED | {ExecutionStatus.PAUSED, ExecutionStatus.PARTIALLY_COMPLETED}
_WORKS = frozenset({ExecutionStatus.RUNNING, ExecutionStatus.COMPENSATING})
_DELIVERED = frozenset({ExecutionStatus.COMPLETED, ExecutionStatus.PARTIALLY_COMPLETED})


class CoreHistories(RuleBasedStateMachine):
    """Beside the core a little model keeps which attempts were opened and ended, and what they must cost."""

    story: Story

    def __init__(self) -> None:
        super().__init__()
        self.opened: set[tuple[str, int]] = set()
        self.ended: list[tuple[str, int]] = []
        self.calls: dict[str, tuple[str, int, Decimal]] = {}
        self.calls_after_the_end = 0
        """Of which no event tells."""
        self.reported: dict[tuple[str, int], Decimal] = {}
        self.outputs: dict[str, Any] = {}
        self.final_stages: dict[str, StageStatus] = {}
        self.harmless: Counter[str] = Counter()
        """Attempts by stage that ended well, were handed back, declined or had not begun: they count against nothing."""
        self.told: list[AttemptCompleted | AttemptFailed] = []
        self.read_commands = 0
        self.was_paused = False

    @initialize(number=st.integers(0, len(PIPELINES) - 1), free=st.booleans(), long_text=st.booleans())
    def order(self, number: int, free: bool, long_text: bool) -> None:
        definition = PIPELINES[number]
        text = "x" * (9_000 if long_text else 10)
        parameters = {"text": text} if definition.parameters["properties"] else {}
        self.story = Story(definition, free=free, parameters=parameters)
        self._read_news()

    @rule(stage_id=STAGES, which=WHICH, by=WORKERS, is_first_delivery=st.booleans())
    def claim(self, stage_id: str, which: str, by: str, is_first_delivery: bool) -> None:
        stage_id = self._stage(stage_id)
        run = self._run(stage_id)
        now = self.story.circumstances.at_ms
        is_held = run.status is StageStatus.RUNNING and now < (run.due_at or 0)
        packet = self._number(which, run.dispatches)

        came_with_its_packet = (stage_id, run.attempt) in self.opened and run.attempt > run.ended and run.heard_at is None

        answer = self.story.claim(
            stage_id, by=by, packet_id=f"packet_1.{stage_id}.{packet}", is_first_delivery=is_first_delivery
        )

        if isinstance(answer, Granted):
            assert packet == run.dispatches, "an old packet was good for a grant"
            assert not is_held, "an attempt that is alive was given away"
            if (stage_id, answer.attempt) in self.opened:
                assert came_with_its_packet
                assert is_first_delivery
                assert answer.attempt == run.attempt
            self.opened.add((stage_id, answer.attempt))
        if isinstance(answer, Later):
            assert is_held or "budget" in answer.reason
        self._read_news()

    @rule(stage_id=STAGES, which=WHICH, percent=st.integers(0, 100), by=WORKERS)
    def progress(self, stage_id: str, which: str, percent: int, by: str) -> None:
        stage_id = self._stage(stage_id)
        attempt, before, is_open = self._attempt(stage_id, which)

        answer = self.story.progress(stage_id, attempt, percent, by=by)

        assert isinstance(answer, Proceed) == is_open
        if is_open:
            assert self._run(stage_id).progress_percent == max(percent, before.progress_percent)
        else:
            assert self._run(stage_id) == before
        self._read_news()

    @precondition(lambda self: not self.story.execution.is_final)
    @rule(by=WORKERS, quality=st.sampled_from((0.5, 0.5, 0.9)))
    def do_as_one_should(self, by: str, quality: float) -> None:
        """Wait until the stage at work is offered, take it and complete it."""
        stage_id = self._stage("at work")
        if self._run(stage_id).status is StageStatus.RETRYING:
            self.story.wakes()
            self._read_news()
        if self._run(stage_id).status is StageStatus.AWAITING_APPROVAL:
            self.decide(stage_id, approved=True)
        if self._run(stage_id).status is StageStatus.JUDGING:
            self.prepare(stage_id, "loaded")
        if self._run(stage_id).status is StageStatus.PREPARING:
            self.prepare(stage_id, "loaded")
            self.prepare(stage_id, "stored")
        if self._run(stage_id).status is StageStatus.QUEUED:
            self.claim(stage_id, "newest", by, is_first_delivery=True)
            self.complete(stage_id, "newest", "0.25", quality, is_empty=False, large=True)

    @rule(
        stage_id=STAGES,
        which=WHICH,
        cost=AMOUNTS,
        quality=st.sampled_from((0.5, 0.9)),
        is_empty=st.booleans(),
        large=st.booleans(),
    )
    def complete(self, stage_id: str, which: str, cost: str, quality: float, is_empty: bool, large: bool) -> None:
        stage_id = self._stage(stage_id)
        attempt, before, _ = self._attempt(stage_id, which)
        value = {} if is_empty else {"made": f"{stage_id} by {attempt}"}
        output = stored(f"{stage_id}/{attempt}") if large else inline(value)
        report = AttemptCompleted(
            stage_id=stage_id,
            attempt=attempt,
            worker_name=self.story.worker_of(stage_id),
            output=output,
            value=value,
            metrics=self._reports(stage_id, attempt, cost),
            quality_score=quality,
            element_count=None,
            summary="",
        )

        self._tell_as_it_is(report, before)
        self._read_news()

    @rule(
        stage_id=STAGES,
        which=WHICH,
        cost=AMOUNTS,
        code=st.sampled_from(("provider_timeout", "provider_timeout", HANDED_BACK)),
        retryable=st.sampled_from((True, True, True, False)),
        wait=st.sampled_from((None, 0, 40_000)),
    )
    def fail(self, stage_id: str, which: str, cost: str, code: str, retryable: bool, wait: int | None) -> None:
        stage_id = self._stage(stage_id)
        attempt, before, _ = self._attempt(stage_id, which)
        report = AttemptFailed(
            stage_id=stage_id,
            attempt=attempt,
            worker_name=self.story.worker_of(stage_id),
            code=code,
            message="it did not work",
            retryable=retryable,
            retry_after_ms=wait,
            metrics=self._reports(stage_id, attempt, cost),
        )

        self._tell_as_it_is(report, before)
        self._read_news()

    @precondition(lambda self: self.told)
    @rule(ago=st.integers(0, 3))
    def tell_again(self, ago: int) -> None:
        """The broker delivers a report once more, perhaps long after the first time."""
        report = self.told[max(0, len(self.told) - 1 - ago)]
        before = self._run(report.stage_id)
        self._tell_as_it_is(report, before)
        self._read_news()

    @rule(stage_id=STAGES, which=WHICH, number=st.integers(1, 2), cost=AMOUNTS)
    def book_a_call(self, stage_id: str, which: str, number: int, cost: str) -> None:
        stage_id = self._stage(stage_id)
        attempt = self._number(which, self._run(stage_id).attempt)
        booked = call(stage_id, attempt, number, cost)
        if (stage_id, attempt) in self.opened and booked.call_key not in self.calls:
            self.calls[booked.call_key] = (stage_id, attempt, usd(cost))
            self.calls_after_the_end += self.story.execution.is_final

        self.story.happens(CallBooked(call=booked))

        self._read_news()

    @rule(stage_id=STAGES, which=WHICH)
    def decline(self, stage_id: str, which: str) -> None:
        stage_id = self._stage(stage_id)
        number = self._number(which, self._run(stage_id).dispatches)

        worker = self.story.worker_of(stage_id)
        packet_id = f"packet_1.{stage_id}.{number}"
        self.story.happens(PacketDeclined(stage_id=stage_id, packet_id=packet_id, worker_name=worker, message="not here"))

        self._read_news()

    @rule(stage_id=STAGES, which=WHICH)
    def find_untold(self, stage_id: str, which: str) -> None:
        """A replica died before it published a packet, or before it noted that it had; or nothing was heard of an offer."""
        stage_id = self._stage(stage_id)
        before = self.story.execution
        run = self._run(stage_id)
        number = self._number(which, run.dispatches)
        is_newest = run.status is StageStatus.QUEUED and number == run.dispatches
        is_paused = before.status is ExecutionStatus.PAUSED

        self.story.happens(PacketUntold(stage_id=stage_id, packet_id=f"packet_1.{stage_id}.{number}"))

        written = [(command.packet.packet_id, command.is_repeated) for command in self._dispatched_by_the_last_step()]
        assert written == ([(f"packet_1.{stage_id}.{number}", True)] if is_newest and not is_paused else [])
        due_at = self.story.circumstances.at_ms if is_newest and is_paused else run.due_at
        assert self._run(stage_id) == msgspec.structs.replace(run, due_at=due_at)
        assert msgspec.structs.replace(self.story.execution, stages=before.stages) == before
        self._read_news()

    @rule(stage_id=STAGES, answer=st.sampled_from(("loaded", "loaded", "stored", "stored", "gone")))
    def prepare(self, stage_id: str, answer: str) -> None:
        """A follow-up comes back: asked for now, long ago, or never."""
        stage_id = self._stage(stage_id)
        asked = [each for each in self.story.history if isinstance(each, LoadOutputs) and each.stage_id == stage_id]
        if answer == "gone":
            self.story.happens(InputUnavailable(stage_id=stage_id, code="blob_missing", message="no bytes"))
        elif answer == "stored":
            self.story.happens(InputStored(stage_id=stage_id, input_ref=stored()))
        elif asked:
            self.story.loads(stage_id, **{name: {"made": name} for name in asked[-1].refs})
        self._read_news()

    @rule(milliseconds=st.sampled_from((1, 500, 9_000, 31_000, 70_000)))
    def time_goes_by(self, milliseconds: int) -> None:
        self.story.later(milliseconds)

    @rule()
    def a_second_sweeper_comes(self) -> None:
        """It may find nothing due."""
        self.story.happens(TimePassed())
        self._read_news()

    @precondition(lambda self: not self.story.execution.is_final)
    @rule()
    def wake(self) -> None:
        self.story.wakes()
        self._read_news()

    @precondition(lambda self: len(self.story.history) > 20)
    @rule()
    def cancel(self) -> None:
        self.story.happens(CancelAsked(reason="changed my mind"))
        self._read_news()

    @precondition(lambda self: len(self.story.history) > 5)
    @rule()
    def pause(self) -> None:
        before = self.story.execution

        self.story.happens(PauseAsked(reason="lunch"))

        assert (self.story.refusal() is None) == (before.status in _PAUSABLE)
        self._read_news()

    @rule()
    def resume(self) -> None:
        """After a pause, after the end, or when there is nothing to resume."""
        before = self.story.execution

        self.story.happens(ResumeAsked())

        assert (self.story.refusal() is None) == (before.status in _RESUMABLE)
        if before.is_final and before.status in _RESUMABLE:
            self.final_stages.clear()
        if self.story.refusal() is not None:
            assert self.story.execution is before
        self._read_news()

    @rule(stage_id=STAGES, approved=st.sampled_from((True, True, True, False)))
    def decide(self, stage_id: str, approved: bool) -> None:
        stage_id = self._stage(stage_id)
        waits = self._run(stage_id).status is StageStatus.AWAITING_APPROVAL

        self.story.happens(ApprovalDecisionMade(stage_id=stage_id, approved=approved, decided_by="ada", comment=""))

        assert (self.story.refusal() is None) == waits
        self._read_news()

    @rule(stage_id=STAGES)
    def skip_compensation(self, stage_id: str) -> None:
        stage_id = self._stage(stage_id)
        run = self.story.execution.stages.get(stage_id)
        is_left = run is not None and run.compensates is not None and not run.status.is_final

        self.story.happens(CompensationSkipAsked(stage_id=stage_id, decided_by="ada", comment=""))

        if run is not None and run.compensates is not None:
            assert (self.story.refusal() is None) == is_left
        self._read_news()

    @invariant()
    def tells_a_straight_story(self) -> None:
        events = [command.event for command in self.story.history if isinstance(command, EmitEvent)]
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert self.story.execution.sequence == len(events)
        execution = self.story.execution
        ends = execution.leg if execution.is_final else execution.leg - 1
        assert final_events(execution, self.story.history) == ends
        legs: list[list[ExecutionEvent]] = [[]]
        for event in events:
            legs[-1].append(event)
            if event.data.__struct_config__.tag in FINAL_EVENT_TYPES:
                legs.append([])
        for number, leg in enumerate(legs[1:], 2):
            assert not leg or (isinstance(leg[0].data, WorkflowResumed) and leg[0].data.leg == number)
        for leg in legs:
            progress = [event.progress_percent for event in leg if event.data.__struct_config__.tag not in FINAL_EVENT_TYPES]
            assert progress == sorted(progress)

    @invariant()
    def waits_for_something_while_it_lives(self) -> None:
        execution = self.story.execution
        if execution.is_final:
            assert all(run.status.is_final for run in execution.stages.values())
            holds_money = any(run.silent for run in execution.stages.values())
            assert (wake_at(execution, self.story.circumstances.at_ms) is not None) == holds_money
        else:
            assert wake_at(execution, self.story.circumstances.at_ms) is not None
        if execution.status in _WORKS:
            assert any(run.due_at is not None for run in execution.stages.values() if not run.status.is_final)

    @invariant()
    def counts_every_attempt_once(self) -> None:
        assert max(Counter(self.ended).values(), default=1) == 1
        assert set(self.ended) <= self.opened
        for stage_id, run in self.story.execution.stages.items():
            ends = sum(1 for stage, _ in self.ended if stage == stage_id)
            if self.story.execution.leg == 1 and not run.retries_by_rule:
                assert ends == run.failures + run.losses + self.harmless[stage_id]
            assert run.failures <= 3
            assert run.losses <= 5
            assert {number for stage, number in self.opened if stage == stage_id} == set(range(1, run.attempt + 1))

    @invariant()
    def charges_what_was_spent(self) -> None:
        """Of an attempt what it has reported, or what its calls have cost, whichever is more; whatever came first."""
        of_calls: dict[tuple[str, int], Decimal] = {}
        for stage_id, attempt, amount in self.calls.values():
            of_calls[stage_id, attempt] = of_calls.get((stage_id, attempt), ZERO) + amount
        owed = {
            key: max(self.reported.get(key, ZERO), of_calls.get(key, ZERO)) for key in self.reported.keys() | of_calls.keys()
        }
        # What an attempt spends while something is reserved for it is part of that.
        settled = [amount for (stage_id, attempt), amount in owed.items() if attempt not in self._run(stage_id).reserved]

        totals = execution_totals(self.story.execution, self.story.circumstances.at_ms)

        assert usd(totals.cost_usd) == sum(owed.values(), ZERO)
        assert usd(self.story.execution.account.spent) == sum(settled, ZERO)

    @invariant()
    def tells_of_every_call_once(self) -> None:
        told = [event for event in self.story.events() if isinstance(event, AiGenerationCompleted)]
        assert len(told) + self.calls_after_the_end == len(self.calls)

    @invariant()
    def what_has_ended_stays_as_it_is(self) -> None:
        for stage_id, run in self.story.execution.stages.items():
            if run.withdrawn or (run.compensates is not None and self.story.execution.leg > 1):
                # It may be added, or begun, once more.
                continue
            if stage_id in self.final_stages:
                assert run.status is self.final_stages[stage_id]
                if run.status is StageStatus.CANCELLED and self.outputs[stage_id] is None:
                    # It was cut off, and has done its work all the same.
                    self.outputs[stage_id] = run.output
                assert run.output == self.outputs[stage_id]
            elif run.status.is_final:
                self.final_stages[stage_id] = run.status
                self.outputs[stage_id] = run.output

    @invariant()
    def rules_act_as_often_as_they_may(self) -> None:
        stages = self.story.execution.stages
        assert sum(1 for run in stages.values() if run.follows == "more" and not run.withdrawn) <= MOST_ADDED
        assert all(tries <= MOST_BETTER_TRIES for run in stages.values() for tries in run.retries_by_rule.values())

    @invariant()
    def what_stands_at_an_end_without_success_was_not_undoable(self) -> None:
        execution = self.story.execution
        one = execution.stages["one"]
        has_undoing = "compensate_one" in self.story.circumstances.plan.extra
        if execution.status in _STOPPED and has_undoing and one.output is not None:
            ending = self.story.events()[-1]
            assert isinstance(ending, WorkflowFailed | WorkflowCancelled)
            assert one.is_undone != ("one" in ending.not_undone)
        if execution.leg == 1 and execution.status in _DELIVERED:
            assert not one.is_undone
            assert "compensate_one" not in execution.stages

    @invariant()
    def survives_its_stored_form(self) -> None:
        execution = self.story.execution
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(execution), type=Execution) == execution

    def teardown(self) -> None:
        """Whatever happened, time ends it."""
        wakes = 0
        while not self.story.execution.is_final:
            for stage_id, run in self.story.execution.stages.items():
                if run.status in (StageStatus.PREPARING, StageStatus.JUDGING):
                    # A store answers some time; else it would be asked again for the thirty days of a pause.
                    self.story.happens(InputUnavailable(stage_id=stage_id, code="blob_missing", message="no bytes"))
                    break
            else:
                self.story.wakes()
            self._read_news()
            wakes += 1
            assert wakes < 3_000, "time passes, and nothing ends"
        self.tells_a_straight_story()
        self.counts_every_attempt_once()

    def _stage(self, said: str) -> str:
        if said != "at work":
            return said
        stages = self.story.execution.stages
        return next((key for key, run in stages.items() if not run.status.is_final and run.status != "waiting"), "one")

    def _dispatched_by_the_last_step(self) -> list[DispatchPacket]:
        return [command for command in self.story.commands if isinstance(command, DispatchPacket)]

    def _run(self, stage_id: str) -> StageRun:
        return self.story.execution.stages.get(stage_id, StageRun())

    def _number(self, which: str, newest: int) -> int:
        return {"newest": newest, "before": newest - 1, "first": 1, "next": newest + 1, "far": 99, "none": 0}[which]

    def _attempt(self, stage_id: str, which: str) -> tuple[int, StageRun, bool]:
        """A number that the wire lets through, the stage before, and whether an attempt of that number is open."""
        run = self._run(stage_id)
        number = max(1, self._number(which, run.attempt))
        return number, run, self._is_open(stage_id, number)

    def _is_open(self, stage_id: str, attempt: int) -> bool:
        key = (stage_id, attempt)
        run = self._run(stage_id)
        return key in self.opened and key not in self.ended and attempt > run.ended and not run.status.is_final

    def _is_listened_to(self, stage_id: str, attempt: int) -> bool:
        """It is open; or was cut off, and its execution waits to hear whether something is to be undone."""
        undo = self.story.execution.stages.get(f"compensate_{stage_id}")
        awaits_word = undo is not None and undo.status is StageStatus.WAITING and self._run(stage_id).output is None
        return self._is_open(stage_id, attempt) or (awaits_word and attempt == self._run(stage_id).attempt)

    def _tell(self, report: AttemptCompleted | AttemptFailed) -> None:
        """Of an attempt's reports the first one is charged."""
        if (report.stage_id, report.attempt) in self.opened:
            self.reported.setdefault((report.stage_id, report.attempt), usd((report.metrics or Metrics()).cost_usd or "0"))
        self.told.append(report)
        self.story.happens(report)

    def _reports(self, stage_id: str, attempt: int, cost: str) -> Metrics:
        """What a report says was spent: the attempt's booked calls and `cost` beside them."""
        booked = sum((amount for *key, amount in self.calls.values() if key == [stage_id, attempt]), ZERO)
        amount = booked + usd(cost)
        return Metrics(cost_usd=usd_text(amount), cost_lines=CostLines(ai_generation_usd=usd_text(amount)))

    def _tell_as_it_is(self, report: AttemptCompleted | AttemptFailed, before: StageRun) -> None:
        """Of one that nobody waits for only its money counts."""
        is_listened_to = self._is_listened_to(report.stage_id, report.attempt)

        self._tell(report)

        if not is_listened_to:
            unchanged = {name: getattr(before, name) for name in MONEY_FIELDS}
            assert msgspec.structs.replace(self._run(report.stage_id), **unchanged) == before

    def _read_news(self) -> None:
        """What the last step said about attempts that it opened and ended."""
        is_paused = self.was_paused
        for command in self.story.history[self.read_commands :]:
            match command:
                case DispatchPacket(packet=packet) if is_paused:
                    raise AssertionError(f"{packet.packet_id} was offered during a pause")
                case EmitEvent(event=event) if isinstance(event.data, WorkflowResumed | CompensationStarted):
                    is_paused = False
                case DispatchPacket(packet=packet) if packet.grant is not None:
                    self.opened.add((packet.stage_id, packet.attempt))
                case RecordAttempt(record=record):
                    self.ended.append((record.stage_id, record.attempt))
                    self.harmless[record.stage_id] += record.failure_code in _HARMLESS
                case AnswerClaim(answer=Granted(attempt=attempt)):
                    assert any(number == attempt for _, number in self.opened)
                case EmitEvent(event=event):
                    self._must_be_of_an_open_attempt(event)
        self.read_commands = len(self.story.history)
        self.was_paused = self.story.execution.status is ExecutionStatus.PAUSED

    def _must_be_of_an_open_attempt(self, event: ExecutionEvent) -> None:
        match event.data:
            case StepStarted(step_name=stage_id, attempt=attempt):
                assert (stage_id, attempt) not in self.ended
            case StepCompleted(step_name=stage_id, attempt=attempt):
                assert self.ended[-1] == (stage_id, attempt)
                assert attempt == max(number for stage, number in self.opened if stage == stage_id)


CoreHistories.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None, derandomize=True)
TestCoreHistories = CoreHistories.TestCase
