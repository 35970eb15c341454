"""A stage's rules: what happens after a valid result, before others may use it."""

from typing import Any

import pytest

from aif_contracts.events import (
    ApprovalDecided,
    ApprovalRequested,
    StepAdded,
    StepFailed,
    StepRetrying,
    WorkflowCompleted,
    WorkflowFailed,
)
from aif_contracts.metering import Metrics
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_orchestrator.execution.commands import LoadOutputs
from aif_orchestrator.execution.draft import rfc3339
from aif_orchestrator.execution.happenings import ApprovalDecisionMade, InputUnavailable
from aif_pipelines.definition import AddStage, Approve, Fail, OutputValidation, RetryStage, Rule, SkipStage, Stage
from support.execution_story import Story, deliverable, pipeline, stage, stored

BETTER = RetryStage(condition="{{draft.quality_score}} < 0.7", max_retries=2)
POLISH = AddStage(condition="{{draft.element_count}} > 100", stage=stage("polish", input={"what": "{{draft.made}}"}))
ASK = Approve(condition="draft.element_count > 5", message="Look at the draft.")


def drafting(*rules: Rule, **changes: Any) -> Stage:
    return stage("draft", rules=rules, **changes)


def approval(*, approved: bool, stage_id: str | None = None, comment: str = "") -> ApprovalDecisionMade:
    return ApprovalDecisionMade(stage_id=stage_id, approved=approved, decided_by="ada", comment=comment)


def test_a_result_below_the_mark_is_tried_again_with_the_reason_and_the_result_in_the_packet() -> None:
    story = Story(pipeline(drafting(BETTER), stage("end", depends_on=("draft",))))

    story.made("draft", {"made": "so so"}, quality=0.5)

    packet = story.packets()[0]
    assert story.stage("draft").status is StageStatus.QUEUED
    assert story.stage("end").status is StageStatus.WAITING
    assert packet.previous is not None
    assert (packet.previous.attempt, packet.previous.code) == (1, "retry_rule")
    assert packet.previous.message == "try 1 of 2 to better it, because {{draft.quality_score}} < 0.7"
    assert packet.previous.output == story.stage("draft").output


def test_a_better_result_ends_the_tries() -> None:
    story = Story(pipeline(drafting(BETTER)))

    story.made("draft", quality=0.5)
    story.made("draft", {"made": "good"}, quality=0.9)

    assert story.execution.status is ExecutionStatus.COMPLETED
    assert story.stage("draft").quality_score == 0.9
    assert story.attempts() == [("draft", 1, "success"), ("draft", 2, "success")]


def test_after_its_tries_a_rule_lets_the_result_pass() -> None:
    story = Story(pipeline(drafting(BETTER)))

    for quality in (0.5, 0.4, 0.6):
        story.made("draft", quality=quality)

    assert story.execution.status is ExecutionStatus.COMPLETED
    assert story.stage("draft").quality_score == 0.6
    assert [data.code for data in story.events() if isinstance(data, StepRetrying)] == ["retry_rule", "retry_rule"]


def test_when_the_better_try_fails_the_earlier_result_stands() -> None:
    story = Story(pipeline(drafting(BETTER), outputs=(deliverable("draft"),)))
    story.made("draft", {"made": "so so"}, quality=0.5)

    story.fails("draft", story.granted("draft"), retryable=False)

    assert story.execution.status is ExecutionStatus.COMPLETED
    assert story.stage("draft").quality_score == 0.5
    ending = story.events()[-1]
    assert isinstance(ending, WorkflowCompleted)
    assert ending.deliverables[0].blob == story.stage("draft").output


def test_when_nothing_better_comes_the_rules_behind_judge_the_earlier_result() -> None:
    story = Story(pipeline(drafting(BETTER, POLISH, ASK), stage("end", depends_on=("draft",))))
    story.made("draft", quality=0.5, elements=200)

    story.fails("draft", story.granted("draft"), retryable=False)

    assert story.stage("draft").status is StageStatus.AWAITING_APPROVAL
    assert story.stage("polish").status is StageStatus.WAITING
    assert story.stage("end").status is StageStatus.WAITING
    story.happens(approval(approved=True))
    assert [packet.stage_id for packet in story.packets()] == ["polish"]


def test_when_nothing_better_comes_a_rule_behind_may_fail_the_earlier_result() -> None:
    story = Story(pipeline(drafting(BETTER, Fail(condition="draft.quality_score < 0.3", message="Far too poor."))))
    story.made("draft", quality=0.1)

    story.fails("draft", story.granted("draft"), retryable=False)

    assert (story.execution.status, story.execution.failure_message) == (ExecutionStatus.FAILED, "Far too poor.")


def test_when_nothing_better_comes_no_rule_behind_has_the_stage_tried_again() -> None:
    story = Story(pipeline(drafting(BETTER, RetryStage(condition="draft.element_count < 3", max_retries=5))))
    story.made("draft", quality=0.5, elements=1)

    story.fails("draft", story.granted("draft"), retryable=False)

    assert story.execution.status is ExecutionStatus.COMPLETED
    assert story.attempts() == [("draft", 1, "success"), ("draft", 2, "provider_timeout")]


def test_when_the_better_try_takes_all_its_workers_down_a_person_is_asked_about_the_earlier_result() -> None:
    story = Story(pipeline(drafting(BETTER, ASK)))
    story.made("draft", quality=0.5, elements=6)

    for _ in range(story.circumstances.patience.max_losses):
        story.progress("draft", story.granted("draft"), 0)
        story.falls_silent("draft")

    assert story.packets() == []
    assert story.stage("draft").status is StageStatus.AWAITING_APPROVAL


def test_a_better_try_has_all_the_retries_of_its_stage() -> None:
    story = Story(pipeline(drafting(BETTER)))
    for _ in range(2):
        story.fails("draft", story.granted("draft"))
        story.wakes()
    story.made("draft", quality=0.5)

    for _ in range(2):
        story.fails("draft", story.granted("draft"))
        assert story.stage("draft").status is StageStatus.RETRYING
        story.wakes()
    story.fails("draft", story.granted("draft"))

    assert story.stage("draft").status is StageStatus.COMPLETED


def test_a_stage_is_added_and_what_comes_after_waits_for_it() -> None:
    story = Story(pipeline(drafting(POLISH), stage("end", depends_on=("draft",))))

    story.made("draft", elements=101)

    assert list(story.execution.stages) == ["draft", "polish", "end"]
    assert story.packets()[0].stage_id == "polish"
    assert story.stage("end").status is StageStatus.WAITING
    added = next(data for data in story.events() if isinstance(data, StepAdded))
    assert added == StepAdded(
        step_name="polish", added_by="draft", worker_name="maker", action="make", reason="{{draft.element_count}} > 100"
    )

    story.made("polish")
    assert story.stage("end").status is StageStatus.QUEUED


def test_a_stage_is_not_added_when_its_condition_is_not_met() -> None:
    story = Story(pipeline(drafting(POLISH)))

    story.made("draft", elements=100)

    assert list(story.execution.stages) == ["draft"]
    assert story.execution.status is ExecutionStatus.COMPLETED


def test_a_later_stage_and_a_deliverable_take_what_was_added_or_else_the_original() -> None:
    definition = pipeline(
        drafting(POLISH),
        stage("end", depends_on=("draft",), input={"text": "{{polish.made ?? draft.made}}"}),
        outputs=(deliverable("polish"),),
    )
    grown = Story(definition)
    grown.made("draft", {"made": "rough"}, elements=101)
    grown.made("polish", {"made": "smooth"})
    plain = Story(definition)
    plain.made("draft", {"made": "rough"}, elements=1)

    assert grown.last_packet("end").data_ref.inline == b'{"text":"smooth"}'
    assert plain.last_packet("end").data_ref.inline == b'{"text":"rough"}'
    grown.made("end")
    plain.made("end")
    ends = [story.events()[-1] for story in (grown, plain)]
    assert [len(end.deliverables) for end in ends if isinstance(end, WorkflowCompleted)] == [1, 0]


def test_a_stage_that_is_tried_again_adds_at_most_as_often_as_the_rule_says() -> None:
    rule = AddStage(condition="draft.element_count > 1", stage=stage("polish"), max_times=2)
    story = Story(pipeline(drafting(rule, RetryStage(condition="draft.quality_score < 0.7", max_retries=3))))

    for quality in (0.1, 0.2, 0.3, 0.9):
        story.made("draft", quality=quality, elements=2)

    assert list(story.execution.stages) == ["draft", "polish", "polish_2"]
    assert [packet.stage_id for packet in story.packets()] == ["polish", "polish_2"]


def test_an_added_stage_may_add_another_one_that_is_waited_for_as_well() -> None:
    inner = AddStage(condition="polish.element_count > 1", stage=stage("check"))
    rule = AddStage(condition="draft.element_count > 1", stage=stage("polish", rules=(inner,)))
    story = Story(pipeline(drafting(rule), stage("end", depends_on=("draft",))))

    story.made("draft", elements=2)
    story.made("polish", elements=2)

    assert story.stage("end").status is StageStatus.WAITING
    story.made("check")
    assert story.stage("end").status is StageStatus.QUEUED


def test_an_optional_added_stage_that_fails_makes_the_execution_partially_completed() -> None:
    rule = AddStage(condition="draft.element_count > 1", stage=stage("polish", optional=True))
    story = Story(pipeline(drafting(rule)))
    story.made("draft", elements=2)

    story.fails("polish", story.granted("polish"), retryable=False)

    assert story.execution.status is ExecutionStatus.PARTIALLY_COMPLETED


def test_a_rule_leaves_out_a_stage_that_comes_after() -> None:
    rule = SkipStage(condition="draft.quality_score > 0.8", stage="review")
    definition = pipeline(drafting(rule), stage("review", depends_on=("draft",)), stage("end", depends_on=("review",)))
    story = Story(definition)

    story.made("draft", quality=0.9)

    assert story.stage("review").status is StageStatus.SKIPPED
    assert story.stage("review").reason == "a rule of draft leaves it out: draft.quality_score > 0.8"
    assert story.packets()[0].stage_id == "end"


def test_who_waits_for_a_stage_that_is_left_out_waits_for_all_that_it_waits_for() -> None:
    rules = (SkipStage(condition="true", stage="review"), POLISH)
    review = stage("review", depends_on=("draft", "other"))
    story = Story(pipeline(drafting(*rules), stage("other"), review, stage("end", depends_on=("review",))))

    story.made("draft", elements=200)
    assert [packet.stage_id for packet in story.packets()] == ["polish"]
    story.made("polish")
    assert story.packets() == []
    assert story.stage("review").reason == "a rule of draft leaves it out: true"
    story.made("other")

    assert story.stage("review").status is StageStatus.SKIPPED
    assert [packet.stage_id for packet in story.packets()] == ["end"]


def test_a_rule_ends_the_execution_with_its_own_words() -> None:
    rule = Fail(condition="draft.element_count == 0", message="There is nothing in it.")
    story = Story(pipeline(drafting(rule, optional=True), stage("end", depends_on=("draft",))))

    story.made("draft", elements=0)

    assert story.execution.status is ExecutionStatus.FAILED
    ending = story.events()[-1]
    assert isinstance(ending, WorkflowFailed)
    assert (ending.code, ending.message, ending.step_name) == ("failed_by_rule", "There is nothing in it.", "draft")
    assert story.stage("draft").status is StageStatus.FAILED
    assert StepFailed(step_name="draft", attempt=1, code="failed_by_rule", message="There is nothing in it.") in story.events()


def test_rules_are_judged_in_order_and_several_may_act() -> None:
    rules = (SkipStage(condition="draft.element_count > 1", stage="review"), POLISH, ASK)
    story = Story(pipeline(drafting(*rules), stage("review", depends_on=("draft",))))

    story.made("draft", elements=200)

    assert story.stage("review").skipped_by == "draft"
    assert story.stage("polish").status is StageStatus.WAITING
    assert story.stage("draft").status is StageStatus.AWAITING_APPROVAL


def test_a_person_is_asked_and_what_follows_waits_without_using_up_the_execution_s_time() -> None:
    story = Story(pipeline(drafting(ASK), stage("end", depends_on=("draft",))))

    story.made("draft", elements=6)

    assert story.execution.status is ExecutionStatus.AWAITING_APPROVAL
    assert ApprovalRequested(step_name="draft", message="Look at the draft.") in story.events()
    story.later(20 * 24 * 3_600_000)
    story.happens(approval(approved=True))
    (packet,) = story.packets()
    assert packet.stage_id == "end"
    assert packet.control.deadline == rfc3339(story.execution.deadline_at)
    story.made("end")
    assert story.event_types()[-1] == "WORKFLOW_COMPLETED"


def test_an_approved_stage_goes_on_with_the_rules_behind() -> None:
    story = Story(pipeline(drafting(ASK, POLISH)))
    story.made("draft", elements=200)

    story.happens(approval(approved=True))

    assert story.packets()[0].stage_id == "polish"
    assert story.event_types().count("APPROVAL_REQUESTED") == 1


@pytest.mark.parametrize("approved", [True, False])
def test_it_is_told_who_decided_what_and_why(approved: bool) -> None:
    story = Story(pipeline(drafting(ASK)))
    story.made("draft", elements=6)

    story.happens(approval(approved=approved, comment="Well."))

    assert ApprovalDecided(step_name="draft", approved=approved, decided_by="ada", comment="Well.") in story.events()


def test_what_a_person_rejects_ends_the_execution_with_the_comment() -> None:
    story = Story(pipeline(drafting(ASK)))
    story.made("draft", elements=6)

    story.happens(approval(approved=False, comment="Too long."))

    assert story.execution.status is ExecutionStatus.FAILED
    assert story.execution.failure_code == "rejected"
    assert story.execution.failure_message == "ada did not approve draft: Too long."


def test_when_a_person_rejects_an_optional_stage_the_execution_s_time_runs_again() -> None:
    story = Story(pipeline(drafting(ASK, optional=True), stage("end")))
    deadline = story.execution.deadline_at
    story.made("draft", elements=6)
    story.later(1_000)

    story.happens(approval(approved=False))

    execution = story.execution
    assert (execution.status, execution.held_since) == (ExecutionStatus.RUNNING, None)
    assert execution.deadline_at == deadline + 1_000


def test_a_wait_for_a_person_ends_after_thirty_days() -> None:
    story = Story(pipeline(drafting(ASK)))
    story.made("draft", elements=6)

    story.wakes()

    assert story.execution.failure_code == "held_too_long"


@pytest.mark.parametrize("named", [None, "draft", "nowhere"])
def test_an_approval_that_nobody_waits_for_is_refused(named: str | None) -> None:
    story = Story(pipeline(drafting(ASK)))

    story.happens(approval(approved=True, stage_id=named))

    assert story.refusal() == "nothing_to_approve"


def test_when_two_stages_wait_the_approval_has_to_name_one() -> None:
    other = stage("other", rules=(Approve(condition="true", message="And this?"),))
    story = Story(pipeline(drafting(ASK), other))
    story.made("draft", elements=6)
    story.made("other")

    story.happens(approval(approved=True))
    assert story.refusal() == "ambiguous_approval"

    story.happens(approval(approved=True, stage_id="other"))
    assert story.stage("other").status is StageStatus.COMPLETED
    story.happens(approval(approved=True))
    assert story.execution.status is ExecutionStatus.COMPLETED


def test_stored_outputs_that_rules_read_are_fetched_before_they_are_judged() -> None:
    rule = RetryStage(condition="len(draft.text) < len(base.text)")
    story = Story(pipeline(stage("base"), drafting(rule)))
    story.made("base", output=stored("data/base"))
    story.made("draft", output=stored("data/draft"))
    asked = [command for command in story.commands if isinstance(command, LoadOutputs)]
    assert story.stage("draft").status is StageStatus.JUDGING
    assert sorted(asked[0].refs) == ["base", "draft"]

    story.loads("draft", base={"text": "long"}, draft={"text": "no"})

    assert story.packets()[0].stage_id == "draft"


def test_a_person_who_agrees_at_the_last_rule_lets_the_stage_complete_without_another_reading() -> None:
    story = Story(pipeline(drafting(Approve(condition="draft.text == 'no'", message="Look."))))
    story.made("draft", output=stored("data/draft"))
    story.loads("draft", draft={"text": "no"})

    story.happens(approval(approved=True))

    assert story.stage("draft").status is StageStatus.COMPLETED
    assert not [command for command in story.commands if isinstance(command, LoadOutputs)]


def test_outputs_that_were_never_read_are_asked_for_again() -> None:
    story = Story(pipeline(drafting(RetryStage(condition="draft.text == ''"))))
    story.made("draft", output=stored())

    story.wakes()

    assert [type(command) for command in story.commands] == [LoadOutputs]


def test_a_result_that_cannot_be_read_for_its_rules_ends_the_stage() -> None:
    story = Story(pipeline(drafting(RetryStage(condition="draft.text == ''"))))
    story.made("draft", output=stored())

    story.happens(InputUnavailable(stage_id="draft", code="blob_missing", message="it is gone"))

    assert story.execution.failure_code == "blob_missing"


def test_a_rule_without_a_value_fails_its_stage_and_says_which() -> None:
    story = Story(pipeline(drafting(RetryStage(condition="draft.text > 3"))))

    story.made("draft", {"text": "words"})

    assert story.execution.failure_code == "rule_unresolvable"
    assert story.execution.failure_message is not None
    assert "a rule of draft cannot be judged" in story.execution.failure_message


def test_rules_see_what_the_execution_has_cost() -> None:
    rule = Fail(condition="execution.cost_usd > 0.4 and draft.cost_usd < 0.4", message="Too dear.")
    story = Story(pipeline(stage("base"), drafting(rule, depends_on=("base",))))
    story.made("base", metrics=Metrics(cost_usd="0.3"))

    story.made("draft", metrics=Metrics(cost_usd="0.2"))

    assert story.execution.failure_message == "Too dear."


def test_rules_see_what_the_execution_may_spend() -> None:
    rule = Fail(condition="budget.limit_usd == 2 and budget.spent_usd == 0.5 and budget.remaining_usd == 1.5", message="Seen.")
    story = Story(pipeline(drafting(rule)), max_cost_usd="2")

    story.made("draft", metrics=Metrics(cost_usd="0.5"))

    assert story.execution.failure_message == "Seen."


def test_a_result_that_breaks_its_validation_is_told_to_the_next_attempt() -> None:
    story = Story(pipeline(drafting(output_validation=OutputValidation(required_fields=("title",)))))
    story.made("draft", {"made": "no title"})

    story.wakes()

    packet = story.packets()[0]
    assert packet.previous is not None
    assert packet.previous.code == "output_invalid"
    assert "title" in packet.previous.message
    assert packet.previous.output is not None


def test_rules_of_an_added_stage_judge_the_very_one_that_they_stand_on() -> None:
    better = RetryStage(condition="polish.quality_score < 0.7")
    rule = AddStage(condition="draft.element_count > 1", stage=stage("polish", rules=(better,)), max_times=2)
    story = Story(pipeline(drafting(rule, RetryStage(condition="draft.quality_score < 0.7"))))
    story.made("draft", quality=0.1, elements=2)
    story.made("draft", quality=0.9, elements=2)
    story.made("polish_2", quality=0.9)

    story.made("polish", quality=0.1)

    assert story.packets()[0].stage_id == "polish"


def test_a_stage_is_left_out_once_however_many_rules_say_so() -> None:
    rules = (SkipStage(condition="true", stage="review"), SkipStage(condition="true", stage="review"))
    story = Story(pipeline(drafting(*rules), stage("review", depends_on=("draft",))))

    story.made("draft")

    assert story.event_types().count("STEP_SKIPPED") == 1


def test_what_an_added_stage_adds_reads_the_very_one_that_added_it() -> None:
    inner = AddStage(condition="polish.element_count > 1", stage=stage("check", input={"what": "{{polish.made}}"}))
    rule = AddStage(condition="draft.element_count > 1", stage=stage("polish", rules=(inner,)), max_times=2)
    story = Story(pipeline(drafting(rule, RetryStage(condition="draft.quality_score < 0.7"))))
    story.made("draft", quality=0.1, elements=2)
    story.made("draft", quality=0.9, elements=2)

    story.made("polish", {"made": "the first"}, elements=2)

    assert story.execution.status is ExecutionStatus.RUNNING
    assert story.last_packet("check").data_ref.inline == b'{"what":"the first"}'
