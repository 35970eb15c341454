"""Start later, pause, go on, try again what has ended."""

import pytest

from aif_contracts.events import Kept, ProgressUpdate, WorkflowCompleted, WorkflowResumed, WorkflowScheduled
from aif_contracts.metering import Metrics, Tokens
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_contracts.packets import Later, PreviousAttempt, Superseded
from aif_orchestrator.execution.commands import AnswerResume
from aif_orchestrator.execution.draft import Draft
from aif_orchestrator.execution.happenings import (
    ApprovalDecisionMade,
    CancelAsked,
    InputUnavailable,
    LoadedOutput,
    OutputsLoaded,
    PauseAsked,
    ResumeAsked,
    TimePassed,
)
from aif_orchestrator.execution.machine import step
from aif_pipelines.definition import AddStage, Approve, Compensation, Fail, OutputValidation, Retry, RetryStage, SkipStage
from support.execution_story import START_MS, Story, deliverable, inline, pipeline, stage, stored

TWO = pipeline(stage("one"), stage("two", input={"from": "{{one.made}}"}), outputs=(deliverable("two"),))
IN_AN_HOUR = "2023-11-14T23:13:20+00:00"
"""An hour after the story begins."""


def paused(story: Story) -> Story:
    story.happens(PauseAsked(reason="lunch"))
    return story


def failed(story: Story) -> Story:
    """The first stage has completed for money, the second one has failed."""
    spent = Metrics(cost_usd="0.25", tokens_used=Tokens(prompt_tokens=10, completion_tokens=5, total_tokens=15))
    story.made("one", metrics=spent)
    story.fails("two", story.granted("two"), retryable=False)
    return story


def test_a_delayed_execution_offers_nothing_before_its_time() -> None:
    story = Story(TWO, start_at=IN_AN_HOUR)

    assert story.execution.status is ExecutionStatus.SCHEDULED
    assert story.events() == [WorkflowScheduled(template="line", version="1.0.0", start_at="2023-11-14T23:13:20.000Z")]
    story.later(3_599_999)
    assert story.happens(TimePassed()) == []


def test_a_delayed_execution_starts_when_it_wakes_and_has_all_its_time() -> None:
    story = Story(TWO, start_at=IN_AN_HOUR)

    story.wakes()

    assert story.packets()[0].stage_id == "one"
    assert story.execution.status is ExecutionStatus.RUNNING
    assert story.execution.deadline_at - story.circumstances.at_ms == 600_000


def test_a_time_that_has_passed_starts_at_once() -> None:
    story = Story(TWO, start_at="2023-11-14T00:00:00Z")

    assert story.execution.status is ExecutionStatus.RUNNING


def test_a_delayed_execution_can_be_cancelled() -> None:
    story = Story(TWO, start_at=IN_AN_HOUR)

    story.happens(CancelAsked(reason="no"))

    assert story.execution.status is ExecutionStatus.CANCELLED


def test_a_delayed_execution_that_was_cancelled_waits_for_its_time_again_when_it_is_resumed() -> None:
    story = Story(TWO, start_at=IN_AN_HOUR)
    story.happens(CancelAsked(reason="no"))
    story.later(60_000)

    story.happens(ResumeAsked())

    resumed_as = story.execution.status
    assert story.packets() == []
    assert story.event_types()[-2:] == ["WORKFLOW_RESUMED", "WORKFLOW_SCHEDULED"]
    story.wakes()
    assert story.circumstances.at_ms == START_MS + 3_600_000
    assert story.execution.deadline_at - story.circumstances.at_ms == 600_000
    story.made("one")
    story.made("two")
    assert (resumed_as, story.execution.status) == (ExecutionStatus.SCHEDULED, ExecutionStatus.COMPLETED)


def test_a_delayed_execution_that_is_resumed_after_its_time_starts_at_once() -> None:
    story = Story(TWO, start_at=IN_AN_HOUR)
    story.happens(CancelAsked(reason="no"))
    story.later(3_600_000)

    story.happens(ResumeAsked())

    assert story.execution.status is ExecutionStatus.RUNNING
    assert [packet.stage_id for packet in story.packets()] == ["one"]


def test_a_delayed_execution_that_has_begun_and_is_resumed_goes_on_at_once() -> None:
    story = Story(TWO, start_at=IN_AN_HOUR)
    story.wakes()
    story.happens(CancelAsked(reason="no"))

    story.happens(ResumeAsked())

    assert story.execution.status is ExecutionStatus.RUNNING


def test_a_paused_execution_lets_attempts_end_and_offers_nothing_new() -> None:
    story = Story(TWO)
    attempt = story.granted("one")
    paused(story)

    story.completes("one", attempt)

    assert story.stage("one").status is StageStatus.COMPLETED
    assert story.packets() == []
    assert story.execution.status is ExecutionStatus.PAUSED


def test_a_packet_that_was_out_is_dropped_during_a_pause_and_the_stage_offered_anew_after_it() -> None:
    story = paused(Story(TWO))

    assert story.claim("one") == Superseded()
    assert story.stage("one").status is StageStatus.WAITING
    story.happens(ResumeAsked())
    assert [packet.packet_id for packet in story.packets()] == ["packet_1.one.2"]


def test_an_attempt_that_is_alive_keeps_its_packet_during_a_pause() -> None:
    story = Story(TWO)
    story.granted("one")
    paused(story)

    assert isinstance(story.claim("one", by="worker_b"), Later)
    assert story.stage("one").status is StageStatus.RUNNING


def test_going_on_offers_what_was_held_back() -> None:
    story = Story(TWO)
    attempt = story.granted("one")
    paused(story)
    story.completes("one", attempt)

    story.happens(ResumeAsked())

    assert story.packets()[0].stage_id == "two"
    assert story.execution.status is ExecutionStatus.RUNNING


def test_a_pause_takes_nothing_from_the_deadline() -> None:
    story = paused(Story(TWO))
    story.later(10_000_000)
    story.happens(TimePassed())

    story.happens(ResumeAsked())

    assert story.execution.deadline_at - story.circumstances.at_ms == 600_000
    assert story.execution.status is ExecutionStatus.RUNNING


def test_an_attempt_that_falls_silent_during_a_pause_is_offered_after_it() -> None:
    story = Story(TWO)
    story.granted("one")
    paused(story)

    story.wakes()
    assert story.packets() == []
    story.happens(ResumeAsked())

    assert story.packets()[0].stage_id == "one"


def test_a_retry_that_falls_due_during_a_pause_waits_for_its_end() -> None:
    story = Story(TWO)
    story.fails("one", story.granted("one"))
    paused(story)
    story.later(60_000)
    assert story.happens(TimePassed()) == []

    story.happens(ResumeAsked())
    story.wakes()

    assert story.packets()[0].stage_id == "one"


def test_the_last_stage_may_end_during_a_pause_and_the_execution_with_it() -> None:
    story = Story(pipeline(stage("one")))
    attempt = story.granted("one")
    paused(story)

    story.completes("one", attempt)

    assert story.execution.status is ExecutionStatus.COMPLETED


def test_pausing_twice_is_one_pause() -> None:
    story = paused(Story(TWO))

    assert paused(story).commands == []


@pytest.mark.parametrize("ended", [True, False])
def test_what_does_not_run_cannot_be_paused(ended: bool) -> None:
    story = Story(TWO, start_at=None if ended else IN_AN_HOUR)
    if ended:
        story.happens(CancelAsked(reason="no"))

    paused(story)

    assert story.refusal() == "not_pausable"


@pytest.mark.parametrize("how", [ExecutionStatus.COMPLETED, ExecutionStatus.FAILED])
def test_what_has_ended_otherwise_cannot_be_cancelled(how: ExecutionStatus) -> None:
    story = failed(Story(TWO)) if how is ExecutionStatus.FAILED else Story(pipeline(stage("one")))
    if how is ExecutionStatus.COMPLETED:
        story.made("one")

    story.happens(CancelAsked(reason="too late"))

    assert (story.execution.status, story.refusal()) == (how, "already_ended")


def test_a_paused_execution_can_be_cancelled() -> None:
    story = paused(Story(TWO))

    story.happens(CancelAsked(reason="no"))

    assert story.execution.status is ExecutionStatus.CANCELLED


def test_a_stage_whose_packet_was_dropped_in_a_pause_wakes_nobody_until_the_pause_ends() -> None:
    story = paused(Story(TWO))

    story.claim("one")

    wakes_at = story.wakes_at()
    assert wakes_at is not None
    assert wakes_at > story.circumstances.at_ms + 29 * 86_400_000


def test_an_attempt_under_way_is_looked_after_during_a_pause() -> None:
    story = Story(TWO)
    story.progress("one", story.granted("one"), 0)

    paused(story)

    assert story.wakes_at() == story.circumstances.at_ms + 30_000


def test_a_pause_of_thirty_days_ends_the_execution() -> None:
    story = paused(Story(TWO))

    story.wakes()

    assert story.execution.failure_code == "held_too_long"


def test_a_failed_execution_goes_on_where_it_failed_and_says_what_it_keeps() -> None:
    story = failed(Story(TWO))

    story.happens(ResumeAsked())

    kept = Kept(
        stages=("one",),
        tokens_used=Tokens(prompt_tokens=10, completion_tokens=5, total_tokens=15),
        cost_usd="0.25",
        processing_time_ms=0,
    )
    assert story.packets()[0].stage_id == "two"
    assert WorkflowResumed(leg=2, kept=kept) in story.events()
    assert AnswerResume(kept=kept) in story.commands
    story.made("two")
    assert story.execution.status is ExecutionStatus.COMPLETED
    assert story.attempts() == [("one", 1, "success"), ("two", 1, "provider_timeout"), ("two", 2, "success")]


def test_a_kept_result_that_is_lost_is_made_again_and_the_leg_says_so() -> None:
    story = Story(TWO)
    story.made("one", output=stored("data/one"))
    story.loads("two", one={"made": "it"})
    story.fails("two", story.granted("two"), retryable=False)

    story.happens(ResumeAsked(lost=frozenset({"data/one"})))

    assert [packet.stage_id for packet in story.packets()] == ["one"]
    assert [command.kept.stages for command in story.commands if isinstance(command, AnswerResume)] == [()]
    [told] = [event for event in story.events() if isinstance(event, ProgressUpdate)]
    assert (told.step_name, told.message) == ("one", "the result of one is no longer in the blob store: it is made again")


def test_a_lost_result_that_nobody_needs_any_more_is_not_made_again() -> None:
    story = Story(pipeline(stage("one"), stage("two", input="{{one}}"), stage("three", input="{{two}}")))
    story.made("one", output=stored("data/one"))
    story.loads("two", one={"made": "it"})
    story.made("two")
    story.fails("three", story.granted("three"), retryable=False)

    story.happens(ResumeAsked(lost=frozenset({"data/one"})))

    assert [packet.stage_id for packet in story.packets()] == ["three"]
    assert [command.kept.stages for command in story.commands if isinstance(command, AnswerResume)] == [("one", "two")]


def test_what_a_lost_deliverable_was_made_from_is_made_again_only_where_that_is_lost_too() -> None:
    line = pipeline(stage("one"), stage("two", input="{{one}}"), stage("three"), outputs=(deliverable("two"),))
    story = Story(line)
    story.made("one", output=stored("data/one"))
    story.loads("two", one={"made": "it"})
    story.made("two", output=stored("data/two"))
    story.fails("three", story.granted("three"), retryable=False)
    kept: list[tuple[str, ...]] = []

    for lost in ({"data/two"}, {"data/one", "data/two"}):
        again = Draft(story.execution, story.circumstances)
        step(again, ResumeAsked(lost=frozenset(lost)))
        kept += [command.kept.stages for command in again.commands if isinstance(command, AnswerResume)]

    assert kept == [("one",), ()]


def test_a_lost_result_with_an_effect_that_nobody_has_undone_is_not_made_twice_and_the_leg_says_so() -> None:
    undo = Compensation(worker="maker", action="make", input={})
    story = Story(pipeline(stage("one", compensate=undo), stage("two", input="{{one}}")))
    story.made("one", output=stored("data/one"))
    story.loads("two", one={"made": "it"})
    story.fails("two", story.granted("two"), retryable=False)
    story.fails("compensate_one", story.granted("compensate_one"), retryable=False)

    story.happens(ResumeAsked(lost=frozenset({"data/one"})))

    assert story.packets() == []
    [told] = [event for event in story.events() if isinstance(event, ProgressUpdate)]
    assert told.message == (
        "the result of one is no longer in the blob store: it is not made again, because nobody has taken back what it did; "
        "order anew"
    )


def test_a_stage_that_failed_is_told_in_the_next_leg_what_was_wrong_with_its_last_attempt() -> None:
    checked = OutputValidation(min_quality_score=0.9)
    story = Story(pipeline(stage("one", output_validation=checked, retry=Retry(max_attempts=1))))
    story.made("one", {"made": "so so"}, quality=0.5)

    story.happens(ResumeAsked())

    previous = story.packets()[0].previous
    assert previous is not None
    assert (previous.attempt, previous.code) == (1, "output_invalid")
    assert previous.output == inline({"made": "so so"})


def test_a_stage_whose_result_a_rule_or_a_person_turned_down_is_told_why_in_the_next_leg() -> None:
    by_rule = Story(pipeline(stage("one", rules=(Fail(condition="one.quality_score < 0.9", message="too thin"),))))
    by_person = Story(pipeline(stage("one", rules=(Approve(condition="true", message="Look at it."),))))
    told = []

    for story in (by_rule, by_person):
        story.made("one", {"made": "so so"}, quality=0.5)
        if story is by_person:
            story.happens(ApprovalDecisionMade(stage_id=None, approved=False, decided_by="ada", comment="too short"))
        assert story.execution.status is ExecutionStatus.FAILED
        story.happens(ResumeAsked())
        told.append(story.packets()[0].previous)

    made = inline({"made": "so so"})
    assert told == [
        PreviousAttempt(attempt=1, code="failed_by_rule", message="too thin", output=made),
        PreviousAttempt(attempt=1, code="rejected", message="a person did not approve it: too short", output=made),
    ]


def test_an_execution_that_goes_on_has_neither_an_end_nor_a_failure() -> None:
    story = failed(Story(TWO))

    story.happens(ResumeAsked())

    execution = story.execution
    assert (execution.ended_at, execution.failure_code, execution.failure_message) == (None,) * 3


def test_what_a_stopped_attempt_may_still_spend_stays_reserved_when_its_execution_goes_on() -> None:
    story = Story(TWO)
    story.granted("one")
    story.happens(CancelAsked(reason="no"))

    story.happens(ResumeAsked())

    assert list(story.stage("one").reserved) == [1]


def test_a_stage_that_is_cancelled_has_ended() -> None:
    story = Story(TWO)
    story.later(10)

    story.happens(CancelAsked(reason="no"))

    assert [story.stage(name).finished_at for name in ("one", "two")] == [story.circumstances.at_ms] * 2


def test_what_the_failed_leg_has_cost_stays_on_the_bill() -> None:
    story = Story(pipeline(stage("one")))
    story.fails("one", story.granted("one"), retryable=False, metrics=Metrics(cost_usd="0.5"))

    story.happens(ResumeAsked())
    story.made("one", metrics=Metrics(cost_usd="0.25"))

    assert story.stage("one").spent.cost_usd == "0.75"


def test_a_new_leg_has_new_retries_a_new_deadline_and_its_own_final_event() -> None:
    story = failed(Story(TWO))
    story.later(5_000_000)

    story.happens(ResumeAsked())
    story.fails("two", story.granted("two"))

    assert story.stage("two").status is StageStatus.RETRYING
    story.wakes()
    story.made("two")
    types = story.event_types()
    assert [kind for kind in types if kind.startswith("WORKFLOW")] == [
        "WORKFLOW_STARTED",
        "WORKFLOW_FAILED",
        "WORKFLOW_RESUMED",
        "WORKFLOW_COMPLETED",
    ]


def test_a_late_report_of_an_earlier_leg_changes_nothing_but_the_bill() -> None:
    story = Story(TWO)
    attempt = story.granted("one")
    story.happens(CancelAsked(reason="no"))
    story.happens(ResumeAsked())

    story.completes("one", attempt, metrics=Metrics(cost_usd="0.5"))

    assert story.stage("one").status is StageStatus.QUEUED
    assert story.stage("one").spent.cost_usd == "0.5"


def test_a_packet_of_an_earlier_leg_is_no_longer_good() -> None:
    story = Story(TWO)
    old = story.last_packet("one").packet_id
    story.happens(CancelAsked(reason="no"))
    story.happens(ResumeAsked())

    assert story.claim("one", packet_id=old) == Superseded()


def test_an_optional_stage_that_failed_is_tried_again_with_what_was_made_from_its_absence() -> None:
    definition = pipeline(
        stage("base"),
        stage("extra", optional=True),
        stage("end", input={"extra": "{{extra.made?}}", "base": "{{base.made}}"}),
        outputs=(deliverable("end"),),
    )
    story = Story(definition)
    story.made("base")
    story.fails("extra", story.granted("extra"), retryable=False)
    story.made("end")
    assert story.event_types()[-1] == "WORKFLOW_COMPLETED"

    story.happens(ResumeAsked())
    assert [packet.stage_id for packet in story.packets()] == ["extra"]
    story.made("extra", {"made": "more"})
    assert story.last_packet("end").data_ref.inline == b'{"extra":"more","base":"base"}'
    story.made("end")

    assert story.execution.status is ExecutionStatus.COMPLETED


def test_what_has_an_effect_that_nobody_has_undone_is_not_done_twice_although_what_came_before_is_made_anew() -> None:
    book = Compensation(worker="cleaner", action="remove", input="{{book.made}}")
    definition = pipeline(
        stage("extra", optional=True),
        stage("book", input="{{extra.made?}}", compensate=book),
        stage("end", depends_on=("book",)),
    )
    story = Story(definition)
    story.fails("extra", story.granted("extra"), retryable=False)
    story.made("book")
    story.made("end")

    story.happens(ResumeAsked())
    story.made("extra")

    assert story.stage("book").status is StageStatus.COMPLETED
    assert story.execution.status is ExecutionStatus.COMPLETED


def test_what_a_later_leg_delivers_has_an_id_of_its_own() -> None:
    story = failed(Story(TWO))
    story.happens(ResumeAsked())

    story.made("two")

    assert [each.deliverable_id for each in story.events()[-1].deliverables] == ["dlv_1-2.thing"]  # type: ignore[union-attr]


def test_a_stage_that_was_added_by_one_that_runs_anew_is_there_only_if_it_is_added_again() -> None:
    rule = AddStage(condition="one.element_count > 1", stage=stage("polish"))
    definition = pipeline(
        stage("zero", optional=True),
        stage("one", input={"zero": "{{zero.made?}}"}, rules=(rule,)),
        stage("end", input={"text": "{{polish.made ?? one.made}}"}),
    )
    story = Story(definition)
    story.fails("zero", story.granted("zero"), retryable=False)
    story.made("one", elements=2)
    story.made("polish", metrics=Metrics(cost_usd="0.5"))
    story.made("end")

    story.happens(ResumeAsked())
    assert story.execution.progress_percent == 0
    story.made("zero")
    story.made("one", {"made": "plain"}, elements=1)
    assert story.last_packet("end").data_ref.inline == b'{"text":"plain"}'
    story.made("end")
    assert story.execution.status is ExecutionStatus.COMPLETED
    assert story.stage("polish").status is StageStatus.SKIPPED
    assert story.stage("polish").spent.cost_usd == "0.5"


def test_a_withdrawn_stage_that_is_added_again_runs_under_its_id() -> None:
    rule = AddStage(condition="one.element_count > 1", stage=stage("polish"))
    story = Story(pipeline(stage("zero", optional=True), stage("one", input={"zero": "{{zero.made?}}"}, rules=(rule,))))
    story.fails("zero", story.granted("zero"), retryable=False)
    story.made("one", elements=2)
    story.made("polish")
    story.happens(ResumeAsked())
    story.made("zero")

    story.made("one", elements=2)

    assert story.packets()[0].stage_id == "polish"
    assert list(story.execution.stages) == ["zero", "one", "polish"]


def test_what_a_rule_of_a_kept_stage_left_out_stays_out() -> None:
    rule = SkipStage(condition="true", stage="review")
    definition = pipeline(
        stage("one", rules=(rule,)), stage("review", depends_on=("one",)), stage("two", depends_on=("review",))
    )
    story = Story(definition)
    story.made("one")
    story.fails("two", story.granted("two"), retryable=False)

    story.happens(ResumeAsked())

    assert story.stage("review").status is StageStatus.SKIPPED
    assert story.packets()[0].stage_id == "two"


def test_what_was_made_after_a_stage_that_a_rule_left_out_is_not_made_again() -> None:
    definition = pipeline(
        stage("one", rules=(SkipStage(condition="true", stage="review"),)),
        stage("review", depends_on=("one",)),
        stage("two", depends_on=("review",)),
        stage("three", depends_on=("two",)),
    )
    story = Story(definition)
    story.made("one")
    story.made("two")
    story.fails("three", story.granted("three"), retryable=False)

    story.happens(ResumeAsked())

    assert [packet.stage_id for packet in story.packets()] == ["three"]


def test_what_was_made_after_a_stage_whose_condition_was_not_met_is_not_made_again() -> None:
    definition = pipeline(
        stage("one"),
        stage("review", depends_on=("one",), when="one.made == 'wrong'"),
        stage("two", depends_on=("review",)),
        stage("three", depends_on=("two",)),
    )
    story = Story(definition)
    story.made("one")
    story.made("two")
    story.fails("three", story.granted("three"), retryable=False)

    story.happens(ResumeAsked())

    assert story.stage("review").status is StageStatus.SKIPPED
    assert [packet.stage_id for packet in story.packets()] == ["three"]


def test_a_stage_that_was_skipped_is_judged_anew_with_what_it_waits_for() -> None:
    definition = pipeline(
        stage("extra", optional=True),
        stage("review", input="{{extra.made}}"),
        stage("end", depends_on=("review",)),
    )
    story = Story(definition)
    story.fails("extra", story.granted("extra"), retryable=False)
    story.made("end")
    assert story.stage("review").status is StageStatus.SKIPPED

    story.happens(ResumeAsked())
    story.made("extra")

    assert [packet.stage_id for packet in story.packets()] == ["review"]


def test_what_was_made_while_a_withdrawn_stage_was_not_there_is_not_made_again() -> None:
    definition = pipeline(
        stage("zero", optional=True),
        stage(
            "one", input={"zero": "{{zero.made?}}"}, rules=(AddStage(condition="one.element_count > 1", stage=stage("polish")),)
        ),
        stage("two", input={"text": "{{polish.made ?? one.made}}"}),
        stage("three", depends_on=("two",), optional=True),
    )
    story = Story(definition)
    story.fails("zero", story.granted("zero"), retryable=False)
    story.made("one", elements=2)
    story.made("polish")
    story.made("two")
    story.made("three")
    story.happens(ResumeAsked())
    story.made("zero")
    story.made("one", elements=1)
    story.made("two")
    story.fails("three", story.granted("three"), retryable=False)

    story.happens(ResumeAsked())

    assert story.stage("polish").status is StageStatus.SKIPPED
    assert [packet.stage_id for packet in story.packets()] == ["three"]


@pytest.mark.parametrize("its_turn_came", [True, False])
def test_what_a_rule_of_a_kept_stage_left_out_is_skipped_after_what_it_waits_for(its_turn_came: bool) -> None:
    definition = pipeline(
        stage("one", rules=(SkipStage(condition="true", stage="review"),)),
        stage("other", optional=its_turn_came),
        stage("review", depends_on=("one", "other")),
        stage("two", depends_on=("review",)),
    )
    story = Story(definition)
    story.made("one")
    story.fails("other", story.granted("other"), retryable=False)
    if its_turn_came:
        story.fails("two", story.granted("two"), retryable=False)

    story.happens(ResumeAsked())
    assert [packet.stage_id for packet in story.packets()] == ["other"]
    story.made("other")

    assert story.stage("review").status is StageStatus.SKIPPED
    assert [packet.stage_id for packet in story.packets()] == ["two"]


@pytest.mark.parametrize("ended", [True, False])
def test_what_runs_or_has_completed_cannot_be_resumed(ended: bool) -> None:
    story = Story(pipeline(stage("one")))
    if ended:
        story.made("one")

    story.happens(ResumeAsked())

    assert story.refusal() == "not_resumable"


def test_an_output_that_has_been_made_anew_since_it_was_read_is_read_again() -> None:
    story = Story(TWO)
    story.made("one", output=stored())
    assert story.stage("two").status is StageStatus.PREPARING

    old = LoadedOutput(sha256="1" * 64, value={"made": "old"})
    story.happens(OutputsLoaded(stage_id="two", outputs={"one": old}))

    assert story.stage("two").status is StageStatus.PREPARING
    story.loads("two", one={"made": "new"})
    assert story.last_packet("two").data_ref.inline == b'{"from":"new"}'


def test_what_was_made_from_the_absence_of_an_added_stage_is_made_anew_with_it() -> None:
    rule = AddStage(condition="true", stage=stage("polish", optional=True))
    definition = pipeline(
        stage("one", rules=(rule,)), stage("end", input={"text": "{{polish.made ?? one.made}}"}), outputs=(deliverable("end"),)
    )
    story = Story(definition)
    story.made("one", {"made": "rough"})
    story.fails("polish", story.granted("polish"), retryable=False)
    story.made("end")
    assert story.event_types()[-1] == "WORKFLOW_COMPLETED"

    story.happens(ResumeAsked())
    assert [packet.stage_id for packet in story.packets()] == ["polish"]
    story.made("polish", {"made": "smooth"})

    assert story.last_packet("end").data_ref.inline == b'{"text":"smooth"}'


def test_a_stage_added_by_a_kept_one_waits_for_what_is_added_anew_before_it() -> None:
    book = Compensation(worker="cleaner", action="remove", input="{{book.made}}")
    ticket = stage("ticket", input={"text": "{{polish.made ?? text.made}}"})
    definition = pipeline(
        stage("zero", optional=True),
        stage("text", input={"zero": "{{zero.made?}}"}, rules=(AddStage(condition="true", stage=stage("polish")),)),
        stage("book", input="{{text.made}}", compensate=book, rules=(AddStage(condition="true", stage=ticket),)),
    )
    story = Story(definition)
    story.fails("zero", story.granted("zero"), retryable=False)
    story.made("text")
    story.made("polish")
    story.made("book")
    story.made("ticket")
    story.happens(ResumeAsked())
    story.made("zero")

    story.made("text")
    assert [packet.stage_id for packet in story.packets()] == ["polish"]
    story.made("polish", {"made": "smooth"})

    assert story.last_packet("ticket").data_ref.inline == b'{"text":"smooth"}'


def test_a_stage_that_was_to_be_bettered_keeps_its_result_when_its_input_is_gone_after_a_pause() -> None:
    better = RetryStage(condition="two.quality_score < 0.7", max_retries=2)
    story = Story(pipeline(stage("one"), stage("two", input={"from": "{{one.made}}"}, rules=(better,))))
    story.made("one", output=stored())
    story.loads("two", one={"made": "it"})
    story.made("two", quality=0.5)
    paused(story)
    story.claim("two")
    story.happens(ResumeAsked())

    story.happens(InputUnavailable(stage_id="two", code="blob_missing", message="it is gone"))

    assert story.execution.status is ExecutionStatus.COMPLETED
    assert story.stage("two").quality_score == 0.5


def test_a_stage_that_has_begun_is_not_left_out_after_a_pause_because_of_what_it_has_spent_itself() -> None:
    story = Story(pipeline(stage("one", when="execution.tokens < 100")))
    story.fails("one", story.granted("one"), metrics=Metrics(tokens_used=Tokens(total_tokens=500)))
    story.wakes()
    paused(story)
    story.claim("one")

    story.happens(ResumeAsked())
    story.made("one")

    assert story.execution.status is ExecutionStatus.COMPLETED
    assert story.stage("one").status is StageStatus.COMPLETED


def test_the_condition_of_a_stage_that_begins_anew_on_another_leg_is_judged_again() -> None:
    story = Story(pipeline(stage("one", optional=True, when="execution.tokens < 100")))
    story.fails("one", story.granted("one"), retryable=False, metrics=Metrics(tokens_used=Tokens(total_tokens=500)))

    story.happens(ResumeAsked())

    assert story.stage("one").status is StageStatus.SKIPPED


def test_a_stage_that_was_to_be_bettered_keeps_its_result_when_its_condition_no_longer_holds_after_a_pause() -> None:
    better = RetryStage(condition="one.quality_score < 0.7")
    story = Story(pipeline(stage("one", when="execution.tokens < 100", rules=(better,)), outputs=(deliverable("one"),)))
    story.made("one", quality=0.5, metrics=Metrics(tokens_used=Tokens(total_tokens=500)))
    paused(story)
    story.claim("one")

    story.happens(ResumeAsked())
    story.fails("one", story.granted("one"), retryable=False)

    ending = story.events()[-1]
    assert isinstance(ending, WorkflowCompleted)
    assert [each.name for each in ending.deliverables] == ["thing"]
