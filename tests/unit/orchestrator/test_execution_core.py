"""The pure core: what follows from what happens."""

from typing import get_args

import msgspec
import pytest
from msgspec.structs import replace

from aif_contracts.events import CostIncurred, StepSkipped, WorkflowCancelled, WorkflowCompleted, WorkflowFailed
from aif_contracts.metering import CostLines, Metrics, ProviderCall, Tokens
from aif_contracts.orders import Breakdown, StageStatus, WorkerShare
from aif_contracts.packets import Cancelled, Later, Proceed, Superseded
from aif_orchestrator.execution.commands import EmitEvent, LoadOutputs, RecordAttempt, RecordCall, StoreInput, TellWorkers
from aif_orchestrator.execution.failures import NotItsWorker
from aif_orchestrator.execution.happenings import (
    AttemptFailed,
    CallBooked,
    CancelAsked,
    InputStored,
    InputUnavailable,
    PacketDeclined,
    TimePassed,
)
from aif_orchestrator.execution.machine import ACTS, LATE, StageHappening
from aif_orchestrator.execution.metering import execution_totals
from aif_orchestrator.execution.state import Execution, wake_at
from aif_orchestrator.execution.views import view
from aif_pipelines.definition import OutputValidation, Retry, RetryStage
from support.execution_story import START_MS, Story, call, deliverable, inline, pipeline, schema_of, stage, stored

SPENT = Metrics(cost_usd="0.25", tokens_used=Tokens(prompt_tokens=100, completion_tokens=50, total_tokens=150))


def test_every_pair_of_stage_state_and_happening_is_listed_exactly_once() -> None:
    for kind in get_args(StageHappening):
        assert ACTS[kind] | LATE[kind] == frozenset(StageStatus)
        assert not ACTS[kind] & LATE[kind]


def test_a_stage_that_a_step_does_not_change_stays_the_very_same() -> None:
    story = Story(pipeline(stage("first"), stage("beside"), stage("last", depends_on=("first", "beside"))))
    attempt = story.granted("first")
    before = story.execution.stages

    story.completes("first", attempt)

    after = story.execution.stages
    assert [name for name in after if after[name] is not before[name]] == ["first"]


def test_what_waits_for_a_stage_that_is_left_out_starts_at_once() -> None:
    story = Story(
        pipeline(
            stage("first"),
            stage("unneeded", depends_on=("first",), when="false"),
            stage("last", depends_on=("unneeded",)),
        )
    )

    story.completes("first", story.granted("first"))

    assert story.stage("unneeded").status == "skipped"
    assert [packet.stage_id for packet in story.packets()] == ["last"]


def test_stages_run_one_after_the_other_and_the_last_one_is_delivered() -> None:
    story = Story(
        pipeline(
            stage("first", input={"topic": "{{params.topic}}"}),
            stage("second", depends_on=("first",), input={"from": "{{first.made}}"}),
            outputs=(deliverable("second"),),
            parameters=schema_of("topic"),
        ),
        parameters={"topic": "bees"},
    )
    assert msgspec.json.decode(story.last_packet("first").data_ref.inline or b"") == {"topic": "bees"}

    story.completes("first", story.granted("first"))
    assert msgspec.json.decode(story.last_packet("second").data_ref.inline or b"") == {"from": "first"}
    story.completes("second", story.granted("second"))

    assert story.execution.status == "completed"
    assert wake_at(story.execution, START_MS) is None
    final = story.events()[-1]
    assert isinstance(final, WorkflowCompleted)
    assert [each.name for each in final.deliverables] == ["thing"]
    assert story.event_types() == [
        "WORKFLOW_STARTED",
        "STEP_STARTED",
        "STEP_COMPLETED",
        "STEP_STARTED",
        "STEP_COMPLETED",
        "WORKFLOW_COMPLETED",
    ]


def test_stages_without_dependencies_are_offered_together_and_joined() -> None:
    story = Story(pipeline(stage("left"), stage("right"), stage("join", depends_on=("left", "right"))))
    assert [packet.stage_id for packet in story.packets()] == ["left", "right"]

    story.completes("left", story.granted("left"))
    assert story.stage("join").status == "waiting"
    story.completes("right", story.granted("right"))

    assert story.stage("join").status == "queued"


def test_a_stage_that_costs_nothing_carries_its_grant_and_needs_no_claim() -> None:
    story = Story(pipeline(stage("only")), free=True)

    packet = story.last_packet("only")

    assert packet.attempt == 1
    assert packet.grant is not None
    assert packet.grant.models == ()
    story.completes("only", 1)
    assert story.execution.status == "completed"
    assert story.attempts() == [("only", 1, "success")]


def test_a_call_of_an_attempt_that_was_not_heard_of_before_tells_first_that_it_has_started() -> None:
    story = Story(pipeline(stage("only")), free=True)
    story.later(5_000)

    story.happens(CallBooked(call=call("only", 1, 1, "0", latency_ms=300)))
    story.later(100)
    story.completes("only", 1)

    assert story.event_types()[1:4] == ["STEP_STARTED", "AI_GENERATION_COMPLETED", "STEP_COMPLETED"]
    started = next(
        each.event for each in story.history if isinstance(each, EmitEvent) and each.event.type == "aif.step_started"
    )
    assert started.time == "2023-11-14T22:13:24.700Z"
    assert story.attempts() == [("only", 1, "success")]


def test_an_attempt_that_was_heard_of_by_a_call_has_its_holder_later_and_is_lost_when_it_falls_silent() -> None:
    story = Story(pipeline(stage("only")), free=True)

    story.happens(CallBooked(call=call("only", 1, 1, "0")))
    holder_by_the_call = story.stage("only").holder
    story.progress("only", 1, 10, by="worker_b")
    holder = story.stage("only").holder
    story.falls_silent("only")

    assert (holder_by_the_call, holder) == (None, "worker_b")
    assert story.attempts() == [("only", 1, "worker_lost")]


@pytest.mark.parametrize(
    "strangers", [call("only", 2, 1, "0"), call("only", 1, 1, "0", worker_name="other")], ids=["attempt", "worker"]
)
def test_a_call_of_another_attempt_or_worker_is_no_sign_of_life(strangers: ProviderCall) -> None:
    story = Story(pipeline(stage("only")), free=True)

    story.happens(CallBooked(call=strangers))

    assert "STEP_STARTED" not in story.event_types()
    assert story.stage("only").status == "queued"


def test_a_stage_that_may_cost_money_carries_no_grant() -> None:
    story = Story(pipeline(stage("only")))

    packet = story.last_packet("only")

    assert packet.attempt == 0
    assert packet.grant is None
    assert story.stage("only").status == "queued"


def test_a_second_worker_with_the_same_packet_is_told_to_come_later() -> None:
    story = Story(pipeline(stage("only")))
    story.granted("only", by="worker_a")

    answer = story.claim("only", by="worker_b")

    assert isinstance(answer, Later)
    assert story.stage("only").attempt == 1


def test_a_redelivered_packet_opens_a_new_attempt_once_the_first_worker_is_silent() -> None:
    story = Story(pipeline(stage("only")))
    story.granted("only", by="worker_a")
    story.later(30_000)

    assert story.granted("only", by="worker_b") == 2

    story.completes("only", 1, {"by": "the late one"})
    assert story.stage("only").status == "running"
    story.completes("only", 2, {"by": "the new one"})
    assert story.stage("only").output == inline({"by": "the new one"})
    assert story.attempts() == [("only", 1, "worker_lost"), ("only", 2, "success")]


def test_signs_of_life_keep_the_lease() -> None:
    story = Story(pipeline(stage("only")))
    attempt = story.granted("only")
    for _ in range(5):
        story.later(9_000)
        assert isinstance(story.progress("only", attempt, 10), Proceed)

    story.happens(TimePassed())

    assert story.stage("only").status == "running"
    assert story.stage("only").attempt == 1


def test_a_silent_attempt_is_lost_and_the_stage_is_offered_anew() -> None:
    story = Story(pipeline(stage("only")))
    old = story.last_packet("only").packet_id
    story.granted("only")

    story.wakes()

    assert story.stage("only").status == "queued"
    assert story.last_packet("only").packet_id != old
    assert isinstance(story.claim("only", packet_id=old), Superseded)
    assert story.granted("only", by="worker_b") == 2


def test_the_same_failure_told_again_while_the_next_attempt_is_offered_uses_up_no_retry() -> None:
    story = Story(pipeline(stage("only")))
    attempt = story.granted("only")
    story.fails("only", attempt)
    story.wakes()

    story.fails("only", attempt)

    assert story.stage("only").status == "queued"
    assert story.stage("only").failures == 1
    assert story.attempts() == [("only", 1, "provider_timeout")]


def test_a_result_of_a_lost_attempt_is_late_also_before_the_next_one_is_claimed() -> None:
    story = Story(pipeline(stage("only")))
    attempt = story.granted("only")
    story.wakes()

    story.completes("only", attempt, metrics=SPENT)

    assert story.stage("only").status == "queued"
    assert story.attempts() == [("only", 1, "worker_lost")]
    assert execution_totals(story.execution, story.circumstances.at_ms).cost_usd == "0.25"


def test_a_sign_of_life_of_a_lost_attempt_does_not_revive_it() -> None:
    story = Story(pipeline(stage("only")))
    attempt = story.granted("only")
    story.wakes()

    assert isinstance(story.progress("only", attempt, 50), Superseded)
    assert story.stage("only").status == "queued"
    assert story.granted("only", by="worker_b") == 2


def test_an_input_that_kills_every_worker_ends_the_stage() -> None:
    story = Story(pipeline(stage("only")))

    for _ in range(5):
        story.progress("only", story.granted("only"), 0)
        story.falls_silent("only")

    assert story.execution.status == "failed"
    assert story.execution.failure_code == "worker_lost"
    assert [code for _, _, code in story.attempts()] == ["worker_lost"] * 5


def test_an_optional_stage_that_has_lost_all_its_workers_says_no_more_than_that_it_failed() -> None:
    story = Story(pipeline(stage("extra", optional=True), stage("other")))

    for _ in range(story.circumstances.patience.max_losses):
        story.progress("extra", story.granted("extra"), 0)
        story.falls_silent("extra")

    assert story.stage("extra").status == "failed"
    assert story.event_types()[-1] == "STEP_FAILED"


def test_a_packet_that_nobody_takes_is_sent_again_with_doubling_patience() -> None:
    story = Story(pipeline(stage("only")))
    first = story.last_packet("only").packet_id

    story.wakes()
    waited_first = story.circumstances.at_ms - START_MS
    second = story.last_packet("only").packet_id
    before = story.circumstances.at_ms
    story.wakes()
    waited_second = story.circumstances.at_ms - before

    assert first != second
    assert (waited_first, waited_second) == (60_000, 120_000)
    assert story.stage("only").attempt == 0


def waited_after_a_refusal(story: Story, *, is_action_unknown: bool = False) -> int:
    """Milliseconds from a worker's declining the newest packet until it is to be offered again, which then happens."""
    declined = PacketDeclined(
        stage_id="only",
        packet_id=story.last_packet("only").packet_id,
        worker_name="maker",
        message="not mine",
        is_action_unknown=is_action_unknown,
    )
    story.happens(declined)
    due_at = story.stage("only").due_at
    assert due_at is not None
    waits_ms = due_at - story.circumstances.at_ms
    story.wakes()
    assert story.last_packet("only").packet_id != declined.packet_id
    return waits_ms


def test_a_packet_that_a_worker_declines_is_offered_again_soon_and_later_each_time() -> None:
    story = Story(pipeline(stage("only")))

    waits = [waited_after_a_refusal(story) for _ in range(7)]

    longest = [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]
    assert all(most / 2 <= waited <= most for waited, most in zip(waits, longest, strict=True)), waits
    assert waits[-2] != waits[-1]
    assert story.stage("only").status == "queued"


def test_a_packet_that_came_to_the_one_of_two_processes_that_does_not_know_its_action_is_soon_offered_again_each_time() -> None:
    story = Story(pipeline(stage("only")))
    story.circumstances = replace(story.circumstances, known_actions=frozenset({("maker", "make")}))

    waits = [waited_after_a_refusal(story, is_action_unknown=True) for _ in range(6)]

    assert all(500 <= waited <= 1000 for waited in waits), waits
    assert len(set(waits)) > 3, "what keeps step with another one comes to the same process each time"


def test_a_packet_whose_only_able_process_is_busy_is_offered_again_within_seconds_and_not_each_second() -> None:
    story = Story(pipeline(stage("only")))
    story.circumstances = replace(story.circumstances, known_actions=frozenset({("maker", "make")}))

    waits = [waited_after_a_refusal(story, is_action_unknown=True) for _ in range(13)]

    longest = [1000] * 8 + [2000, 4000, 8000, 8000, 8000]
    assert all(most / 2 <= waited <= most for waited, most in zip(waits, longest, strict=True)), waits


def test_a_free_packet_that_a_worker_declines_goes_to_another_one_and_nobody_was_lost() -> None:
    story = Story(pipeline(stage("only")), free=True)
    declined = story.last_packet("only").packet_id

    story.happens(PacketDeclined(stage_id="only", packet_id=declined, worker_name="maker", message="not mine"))
    story.wakes()
    answer = story.claim("only", by="worker_b")
    story.completes("only", answer.attempt)

    assert story.execution.status == "completed"
    assert story.stage("only").losses == 0
    assert story.attempts() == [("only", 1, "declined"), ("only", 2, "success")]


def test_a_free_packet_that_is_declined_after_it_was_sent_again_leaves_no_attempt_that_passes_for_lost() -> None:
    story = Story(pipeline(stage("only")), free=True)
    first = story.last_packet("only").packet_id
    story.wakes()
    again = story.last_packet("only").packet_id

    for declined in (first, again, first):
        story.happens(PacketDeclined(stage_id="only", packet_id=declined, worker_name="maker", message="not mine"))
    story.wakes()
    story.completes("only", story.granted("only"))

    assert story.execution.status == "completed"
    assert story.stage("only").losses == 0
    assert story.attempts() == [("only", 1, "declined"), ("only", 2, "success")]


def test_a_granted_packet_sent_again_has_to_be_claimed_and_the_first_may_still_win() -> None:
    story = Story(pipeline(stage("only")), free=True)
    story.wakes()
    again = story.last_packet("only")

    assert again.grant is None
    story.completes("only", 1)

    assert story.execution.status == "completed"
    assert isinstance(story.claim("only", packet_id=again.packet_id), Superseded)


def test_a_failed_attempt_is_tried_again_after_its_backoff() -> None:
    story = Story(pipeline(stage("only")))

    story.fails("only", story.granted("only"))

    assert story.stage("only").status == "retrying"
    story.wakes()
    assert story.circumstances.at_ms == START_MS + 1_000
    story.fails("only", story.granted("only"))
    story.wakes()
    assert story.circumstances.at_ms == START_MS + 3_000
    story.completes("only", story.granted("only"))
    assert story.execution.status == "completed"
    assert story.attempts() == [("only", 1, "provider_timeout"), ("only", 2, "provider_timeout"), ("only", 3, "success")]


def test_a_provider_that_names_its_time_is_obeyed() -> None:
    story = Story(pipeline(stage("only")))

    story.fails("only", story.granted("only"), "rate_limited", retry_after_ms=42_000)
    story.wakes()

    assert story.circumstances.at_ms == START_MS + 42_000


def test_an_attempt_that_could_only_be_repeated_after_the_end_is_the_last_one_and_keeps_its_reason() -> None:
    story = Story(pipeline(stage("only"), timeout_seconds=600))

    story.fails("only", story.granted("only"), "rate_limited", retry_after_ms=600_000, message="come back later")

    assert (story.execution.status, story.execution.failure_code) == ("failed", "rate_limited")
    assert story.stage("only").reason == (
        "come back later; the next attempt could begin in 600 s, when the execution's time is over"
    )


def test_the_last_failure_fails_the_execution_and_stops_the_others() -> None:
    story = Story(pipeline(stage("bad"), stage("good"), stage("after", depends_on=("bad",))))
    story.granted("good", by="worker_b")

    for _ in range(3):
        if story.stage("bad").status == "retrying":
            story.wakes()
        story.progress("good", 1, 50, by="worker_b")
        story.fails("bad", story.granted("bad"))

    assert story.execution.status == "failed"
    assert story.stage("good").status == "cancelled"
    assert story.stage("after").status == "cancelled"
    assert [command.worker_name for command in story.commands if isinstance(command, TellWorkers)] == ["maker"]
    final = story.events()[-1]
    assert isinstance(final, WorkflowFailed)
    assert (final.step_name, final.code) == ("bad", "provider_timeout")


def test_an_attempt_that_is_handed_back_is_offered_anew_at_once_and_uses_up_no_retry() -> None:
    story = Story(pipeline(stage("only")))

    for _ in range(7):
        story.fails("only", story.granted("only"), "handed_back", retryable=False, metrics=SPENT)
        assert story.stage("only").status == "queued"
    story.completes("only", story.granted("only"))

    assert story.execution.status == "completed"
    assert story.circumstances.at_ms == START_MS
    assert execution_totals(story.execution, START_MS).cost_usd == "1.75"
    assert story.attempts()[-1] == ("only", 8, "success")


def test_an_attempt_that_is_handed_back_waits_for_none_that_ended_otherwise() -> None:
    again = RetryStage(condition="only.quality_score < 0.5", max_retries=10)
    story = Story(pipeline(stage("only", rules=(again,))), free=True)
    for attempt in range(1, 11):
        story.completes("only", attempt, quality=0.1)

    story.fails("only", 11, "handed_back", retryable=False)

    assert story.stage("only").status == "queued"


def test_an_attempt_that_everybody_hands_back_waits_longer_each_time() -> None:
    story = Story(pipeline(stage("only")))
    for _ in range(10):
        story.fails("only", story.granted("only"), "handed_back", retryable=False)

    waits: list[int] = []
    for _ in range(6):
        story.fails("only", story.granted("only"), "handed_back", retryable=False)
        due_at = story.stage("only").due_at
        assert (story.stage("only").status, due_at is not None) == ("retrying", True)
        assert (
            story.stage("only").reason
            == f"attempt {11 + len(waits)} came back as the {10 + len(waits)} before it: it did not work"
        )
        waits.append((due_at or 0) - story.circumstances.at_ms)
        story.later(waits[-1])
        story.happens(TimePassed())

        assert story.stage("only").reason == ""

    assert waits == [2048, 4096, 8192, 16384, 30000, 30000]
    assert story.stage("only").status == "queued"


def test_an_attempt_whose_report_nobody_can_use_is_tried_again_and_its_calls_stay_on_the_bill() -> None:
    story = Story(pipeline(stage("only")))
    attempt = story.granted("only")
    story.happens(CallBooked(call=call("only", attempt, 1, "0.25")))

    story.happens(
        AttemptFailed(
            stage_id="only",
            attempt=attempt,
            worker_name="maker",
            code="report_unusable",
            message="nobody can read it",
            retryable=True,
            retry_after_ms=None,
            metrics=None,
        )
    )

    kept_until = START_MS + story.circumstances.patience.lease_ms + story.circumstances.patience.last_word_ms
    assert (story.stage("only").status, list(story.stage("only").silent)) == ("retrying", [attempt])
    assert story.stage("only").reserved[attempt].until == kept_until
    assert execution_totals(story.execution, START_MS).cost_usd == "0.25"
    assert story.attempts() == [("only", 1, "report_unusable")]
    [record] = [command.record for command in story.history if isinstance(command, RecordAttempt)]
    assert record.metrics.cost_usd == "0.25"


def test_a_failure_that_no_repetition_can_mend_is_not_repeated() -> None:
    story = Story(pipeline(stage("only")))

    story.fails("only", story.granted("only"), "model_required", retryable=False)

    assert story.execution.status == "failed"
    assert story.execution.failure_code == "model_required"


def test_an_optional_stage_may_fail_and_what_needs_it_is_skipped() -> None:
    story = Story(
        pipeline(
            stage("extra", optional=True),
            stage("uses_extra", depends_on=("extra",), input={"x": "{{extra.made}}"}),
            stage("main"),
            outputs=(deliverable("main"),),
        )
    )
    story.fails("extra", story.granted("extra"), retryable=False)

    story.completes("main", story.granted("main"))

    assert story.execution.status == "partially_completed"
    assert story.stage("uses_extra").status == "skipped"
    assert any(isinstance(event, StepSkipped) and event.step_name == "uses_extra" for event in story.events())
    assert [event.status for event in story.events() if isinstance(event, WorkflowCompleted)] == ["partially_completed"]


def test_a_stage_that_reads_the_first_of_several_is_skipped_when_none_of_them_is_there() -> None:
    merge = stage("merge", input={"x": "{{extra.made ?? other.made}}"})
    story = Story(pipeline(stage("extra", optional=True), stage("other", optional=True), merge))

    story.fails("extra", story.granted("extra"), retryable=False)
    story.fails("other", story.granted("other"), retryable=False)

    assert story.execution.status == "partially_completed"
    assert story.stage("merge").status == "skipped"
    assert story.stage("merge").reason == "it needs the output of extra or other, and there is none"


def test_a_stage_that_reads_the_first_of_several_runs_with_the_one_that_is_there() -> None:
    merge = stage("merge", input={"x": "{{extra.made ?? other.made}}"})
    story = Story(pipeline(stage("extra", optional=True), stage("other"), merge))

    story.made("other")
    story.fails("extra", story.granted("extra"), retryable=False)

    assert msgspec.json.decode(story.last_packet("merge").data_ref.inline or b"") == {"x": "other"}


def test_a_stage_that_can_do_without_an_optional_output_runs_without_it() -> None:
    story = Story(
        pipeline(
            stage("extra", optional=True),
            stage("main", depends_on=("extra",), input={"x": "{{extra.made?}}", "y": 1}),
        )
    )

    story.fails("extra", story.granted("extra"), retryable=False)

    assert msgspec.json.decode(story.last_packet("main").data_ref.inline or b"") == {"y": 1}


def test_a_stage_whose_condition_is_not_met_is_skipped() -> None:
    story = Story(
        pipeline(
            stage("first"),
            stage("maybe", depends_on=("first",), when="{{first.quality_score}} < 0.7"),
        )
    )

    story.completes("first", story.granted("first"), quality=0.9)

    assert story.stage("maybe").status == "skipped"
    assert story.execution.status == "completed"


def test_a_result_with_countless_mistakes_is_told_in_bearable_length() -> None:
    schema = {"properties": {"parts": {"items": {"required": ["title"]}}}}
    story = Story(pipeline(stage("only", output_validation=OutputValidation(schema=schema), retry=Retry(max_attempts=1))))

    story.completes("only", story.granted("only"), {"parts": [{}] * 100_000})

    assert story.stage("only").reason.startswith("title is missing; title is missing; ")
    assert len(story.stage("only").reason) <= 2000
    assert len(msgspec.json.encode(story.events())) < 20_000


def test_a_workers_reason_without_end_is_cut() -> None:
    story = Story(pipeline(stage("only", retry=Retry(max_attempts=1))))

    story.fails("only", story.granted("only"), retryable=False, message="x" * 500_000)

    assert story.execution.failure_message == "x" * 1999 + "…"


def test_whatever_a_worker_says_at_length_is_told_short() -> None:
    endless = "x" * 500_000
    story = Story(pipeline(stage("one"), stage("two")))
    packet_id = story.last_packet("two").packet_id
    story.happens(PacketDeclined(stage_id="two", packet_id=packet_id, worker_name="maker", message=endless))
    attempt = story.granted("one")
    story.progress("one", attempt, 50, endless)

    story.completes("one", attempt, summary=endless)

    assert len(story.stage("two").reason) < 2100
    assert len(msgspec.json.encode(story.events())) < 10_000


def test_a_condition_without_a_value_fails_its_stage_and_says_that_it_is_the_condition() -> None:
    story = Story(pipeline(stage("first"), stage("maybe", when="{{first.score}} < 0.7")))

    story.completes("first", story.granted("first"))

    assert story.execution.failure_code == "condition_unresolvable"
    assert story.stage("maybe").reason == (
        "the condition (when) of maybe cannot be judged: first.score is missing (null), so it cannot be compared by <. "
        "Write coalesce(first.score, 0) to say what a missing value counts as."
    )


def test_an_output_that_breaks_its_validation_is_a_failed_attempt_with_the_reason() -> None:
    story = Story(
        pipeline(stage("only", output_validation=OutputValidation(required_fields=("title",), min_quality_score=0.8)))
    )

    story.completes("only", story.granted("only"), {"text": "no title"}, quality=0.5)

    assert story.stage("only").status == "retrying"
    assert "the required field title is missing or empty" in story.stage("only").reason
    assert "the quality score is 0.5, at least 0.8 is asked for" in story.stage("only").reason
    assert story.attempts() == [("only", 1, "output_invalid")]


def test_an_attempt_that_outlasts_its_time_is_stopped_and_tried_again() -> None:
    story = Story(pipeline(stage("only")))
    attempt = story.granted("only")
    for _ in range(7):
        story.later(9_000)
        story.progress("only", attempt, 10)

    story.wakes()

    assert story.circumstances.at_ms == START_MS + 65_000
    assert story.stage("only").status == "retrying"
    assert story.attempts() == [("only", 1, "timeout")]
    told = [command.message for command in story.commands if isinstance(command, TellWorkers)]
    assert [(message.stage_id, message.attempt) for message in told] == [("only", 1)]
    story.wakes()
    previous = story.last_packet("only").previous
    assert previous is not None
    assert (previous.attempt, previous.code) == (1, "timeout")


def test_a_worker_that_dies_on_a_stage_with_a_short_timeout_uses_up_no_retry() -> None:
    story = Story(pipeline(stage("only", timeout_seconds=20.0, retry=Retry(max_attempts=1))))
    attempt = story.granted("only")
    story.later(10_000)
    story.progress("only", attempt, 40)

    story.wakes()

    assert story.attempts() == [("only", 1, "worker_lost")]
    story.completes("only", story.granted("only", by="worker_b"))
    assert story.execution.status == "completed"


def test_an_execution_that_outlasts_its_pipeline_fails() -> None:
    story = Story(pipeline(stage("only", timeout_seconds=5.0), timeout_seconds=5.0))

    story.wakes()

    assert story.execution.status == "failed"
    assert story.execution.failure_code == "deadline_exceeded"


def test_an_execution_that_outlasts_its_pipeline_says_which_worker_it_waited_for_in_vain() -> None:
    lonely = stage("lonely", worker="storage", action="keep", timeout_seconds=5.0)
    story = Story(pipeline(stage("busy", timeout_seconds=5.0), lonely, timeout_seconds=5.0))

    story.wakes()

    assert story.execution.failure_message == (
        "the execution did not end within its 5 s; lonely waited for storage, and no worker of that name is running"
    )


def test_cancelling_ends_everything_and_workers_are_told() -> None:
    story = Story(pipeline(stage("one"), stage("two")))
    attempt = story.granted("one")

    story.happens(CancelAsked(reason="no longer wanted"))

    assert story.execution.status == "cancelled"
    assert {run.status for run in story.execution.stages.values()} == {"cancelled"}
    assert isinstance(story.progress("one", attempt, 50), Cancelled)
    assert isinstance(story.claim("two"), Cancelled)
    assert story.event_types()[-1] == "WORKFLOW_CANCELLED"


def test_who_has_given_its_attempt_back_is_not_told_to_stop_it() -> None:
    story = Story(pipeline(stage("one")))
    story.fails("one", story.granted("one"), code="shutting_down", retryable=True)
    story.wakes()

    story.happens(CancelAsked(reason="no longer wanted"))

    assert story.stage("one").status == "cancelled"
    assert not [command for command in story.commands if isinstance(command, TellWorkers)]


def test_a_late_report_of_a_cancelled_stage_still_counts_its_cost_and_says_nothing_more() -> None:
    story = Story(pipeline(stage("only")))
    attempt = story.granted("only")
    story.happens(CancelAsked(reason="no longer wanted"))

    story.completes("only", attempt, metrics=SPENT)

    totals = execution_totals(story.execution, story.circumstances.at_ms)
    assert totals.cost_usd == "0.25"
    assert totals.tokens_used.total_tokens == 150
    assert story.execution.status == "cancelled"
    assert story.event_types()[-1] == "WORKFLOW_CANCELLED"


def test_the_cost_of_a_cancelled_execution_is_a_lower_bound_until_its_last_attempt_has_told_what_it_spent() -> None:
    story = Story(pipeline(stage("only")))
    attempt = story.granted("only")
    assert execution_totals(story.execution, story.circumstances.at_ms).cost_is_complete
    story.happens(CancelAsked(reason="no longer wanted"))

    told = next(event for event in story.events() if isinstance(event, WorkflowCancelled))
    assert (told.totals.cost_usd, told.totals.cost_is_complete) == ("0", False)
    story.completes("only", attempt, metrics=SPENT)

    totals = execution_totals(story.execution, story.circumstances.at_ms)
    assert (totals.cost_usd, totals.cost_is_complete) == ("0.25", True)


def test_the_cost_of_a_cancelled_execution_is_known_once_a_silent_worker_can_spend_nothing_more() -> None:
    story = Story(pipeline(stage("only")))
    story.granted("only")
    story.happens(CancelAsked(reason="no longer wanted"))
    assert not execution_totals(story.execution, story.circumstances.at_ms).cost_is_complete

    while story.execution.stages["only"].reserved:
        story.wakes()

    assert execution_totals(story.execution, story.circumstances.at_ms).cost_is_complete


def test_the_same_report_twice_is_charged_once() -> None:
    story = Story(pipeline(stage("one"), stage("two")))
    attempt = story.granted("one")

    story.completes("one", attempt, metrics=SPENT)
    story.completes("one", attempt, metrics=SPENT)

    assert execution_totals(story.execution, story.circumstances.at_ms).cost_usd == "0.25"
    assert story.attempts() == [("one", 1, "success")]


def test_calls_count_at_once_and_the_report_that_holds_them_does_not_count_them_again() -> None:
    story = Story(pipeline(stage("one"), stage("two")))
    attempt = story.granted("one")

    story.happens(CallBooked(call=call("one", attempt, 1, "0.10")))
    story.happens(CallBooked(call=call("one", attempt, 1, "0.10")))
    story.happens(CallBooked(call=call("one", attempt, 2, "0.15")))
    assert execution_totals(story.execution, story.circumstances.at_ms).cost_usd == "0.25"
    story.completes("one", attempt, metrics=SPENT)

    assert execution_totals(story.execution, story.circumstances.at_ms).cost_usd == "0.25"
    costs = [event.cost_usd for event in story.events() if isinstance(event, CostIncurred)]
    assert costs == ["0.1", "0.15"] or costs == ["0.10", "0.15"]


def test_the_calls_of_a_worker_that_died_stay_on_the_bill() -> None:
    story = Story(pipeline(stage("only")))
    attempt = story.granted("only")
    story.happens(CallBooked(call=call("only", attempt, 1, "0.10")))

    story.wakes()
    story.completes("only", story.granted("only"), metrics=SPENT)

    assert story.execution.status == "completed"
    assert execution_totals(story.execution, story.circumstances.at_ms).cost_usd == "0.35"


def test_a_call_of_unknown_cost_makes_the_total_a_lower_bound() -> None:
    story = Story(pipeline(stage("only")))
    attempt = story.granted("only")

    story.happens(CallBooked(call=call("only", attempt, 1, None)))

    totals = execution_totals(story.execution, story.circumstances.at_ms)
    assert totals.cost_is_complete is False
    assert totals.cost_usd == "0"
    assert [(event.cost_usd, event.attempt) for event in story.events() if isinstance(event, CostIncurred)] == [(None, 1)]


def test_a_forged_attempt_number_is_neither_applied_nor_charged() -> None:
    story = Story(pipeline(stage("only")))
    story.granted("only")

    story.completes("only", 7, metrics=SPENT)

    assert story.stage("only").status == "running"
    assert execution_totals(story.execution, story.circumstances.at_ms).cost_usd == "0"


def test_what_another_worker_says_of_an_attempt_is_refused() -> None:
    story = Story(pipeline(stage("only")))
    attempt = story.granted("only")

    with pytest.raises(NotItsWorker):
        story.fails("only", attempt, worker="intruder")
    with pytest.raises(NotItsWorker):
        story.completes("only", attempt, worker="intruder")
    assert story.stage("only").status == "running"


@pytest.mark.parametrize("attempt", [-1, 0, 2])
def test_a_call_of_an_attempt_that_nobody_was_given_is_kept_and_not_counted(attempt: int) -> None:
    story = Story(pipeline(stage("only")))
    story.granted("only")

    story.happens(CallBooked(call=call("only", attempt, 1, "0.10")))

    assert [type(command) for command in story.commands] == [RecordCall]
    assert execution_totals(story.execution, story.circumstances.at_ms).cost_usd == "0"


def test_a_stored_output_is_read_before_the_stage_that_needs_it_starts() -> None:
    story = Story(pipeline(stage("first"), stage("second", input={"from": "{{first.text}}"})))
    attempt = story.granted("first")

    story.completes("first", attempt, {"text": "long"}, output=stored())

    assert story.stage("second").status == "preparing"
    assert [command.refs for command in story.commands if isinstance(command, LoadOutputs)] == [{"first": stored()}]
    story.loads("second", first={"text": "long"})
    assert msgspec.json.decode(story.last_packet("second").data_ref.inline or b"") == {"from": "long"}


def test_a_stage_skipped_after_a_stored_output_was_read_lets_the_others_go_on() -> None:
    story = Story(
        pipeline(
            stage("first"),
            stage("maybe", when="{{first.quality_score}} < 0.7"),
            stage("last", depends_on=("maybe",)),
        )
    )
    story.completes("first", story.granted("first"), {"text": "long"}, output=stored(), quality=0.9)

    story.loads("maybe", first={"text": "long"})

    assert story.stage("maybe").status == "skipped"
    assert story.stage("last").status == "queued"
    story.completes("last", story.granted("last"))
    assert story.execution.status == "completed"


def test_a_large_input_is_stored_before_it_is_offered() -> None:
    story = Story(
        pipeline(stage("only", input={"text": "{{params.text}}"}), parameters=schema_of("text")),
        parameters={"text": "x" * 9000},
    )
    command = next(command for command in story.commands if isinstance(command, StoreInput))
    assert story.packets() == []

    story.happens(InputStored(stage_id="only", input_ref=stored(command.storage_key)))

    assert story.packets()[0].data_ref.storage_key == "data/exec_1/only/input"


def test_preparation_that_is_lost_begins_anew() -> None:
    story = Story(pipeline(stage("first"), stage("second", input={"from": "{{first.text}}"})))
    story.completes("first", story.granted("first"), {"text": "long"}, output=stored())

    story.wakes()

    assert any(isinstance(command, LoadOutputs) for command in story.commands)


def test_an_output_that_is_gone_fails_the_stage_that_needs_it() -> None:
    story = Story(pipeline(stage("first"), stage("second", input={"from": "{{first.text}}"})))
    story.completes("first", story.granted("first"), {"text": "long"}, output=stored())

    story.happens(InputUnavailable(stage_id="second", code="blob_missing", message="no bytes"))

    assert story.execution.status == "failed"
    assert story.execution.failure_code == "blob_missing"


def test_a_deliverable_is_always_stored() -> None:
    story = Story(pipeline(stage("only"), outputs=(deliverable("only"),)))

    assert story.last_packet("only").inline_limit_bytes == 0


def test_events_are_numbered_without_gaps_and_progress_never_falls() -> None:
    story = Story(pipeline(stage("one"), stage("two", depends_on=("one",))))
    attempt = story.granted("one")
    story.progress("one", attempt, 60, "far")
    story.fails("one", attempt)
    story.wakes()
    story.completes("one", story.granted("one"))
    story.completes("two", story.granted("two"))

    from aif_orchestrator.execution.commands import EmitEvent

    events = [command.event for command in story.history if isinstance(command, EmitEvent)]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert (events[0].type, events[-1].type) == ("aif.workflow_started", "aif.workflow_completed")
    progress = [event.progress_percent for event in events]
    assert progress == sorted(progress)
    assert progress[-1] == 100


@pytest.mark.parametrize("free", [True, False])
def test_the_state_survives_its_stored_form(free: bool) -> None:
    story = Story(pipeline(stage("one"), stage("two", depends_on=("one",))), free=free, parameters={"n": 1.5, "t": "ü"})
    if not free:
        story.happens(CallBooked(call=call("one", story.granted("one"), 1, "0.1")))

    again = msgspec.json.decode(msgspec.json.encode(story.execution), type=Execution)

    assert again == story.execution


def test_a_stage_that_has_completed_counts_in_the_progress_that_is_told_with_it() -> None:
    story = Story(pipeline(stage("one"), stage("two")))

    story.made("one")

    told = [command.event for command in story.commands if isinstance(command, EmitEvent)]
    assert [(event.data.__struct_config__.tag, event.progress_percent) for event in told] == [("STEP_COMPLETED", 50)]


def test_the_totals_are_told_by_worker_and_by_what_was_paid_for() -> None:
    definition = pipeline(
        stage("one"),
        stage("two", worker="other", depends_on=("one",)),
        stage("three", depends_on=("two",)),
        stage("four", worker="idle", depends_on=("three",)),
    )
    story = Story(definition)
    lines = CostLines(ai_generation_usd="0.2", storage_usd="0.05")
    spent = Metrics(tokens_used=Tokens(total_tokens=10), cost_usd="0.25", cost_lines=lines, processing_time_ms=100)
    story.fails("one", story.granted("one"), metrics=spent)
    story.wakes()
    story.made("one", metrics=spent)
    story.made("two", metrics=spent)

    told = view(story.circumstances.plan, story.execution, story.circumstances.at_ms).breakdown

    assert told == Breakdown(
        by_worker={
            "maker": WorkerShare(attempts=2, tokens_used=Tokens(total_tokens=20), cost_usd="0.5", busy_time_ms=200),
            "other": WorkerShare(attempts=1, tokens_used=Tokens(total_tokens=10), cost_usd="0.25", busy_time_ms=100),
        },
        by_resource=CostLines(ai_generation_usd="0.6", storage_usd="0.15"),
    )


def test_an_attempt_is_recorded_from_when_it_began_and_not_from_when_it_was_first_heard_of() -> None:
    story = Story(pipeline(stage("one")), free=True)
    story.later(230)
    story.progress("one", 1, 5)
    story.later(2_800)

    story.completes("one", 1, metrics=Metrics(processing_time_ms=3_000))

    [recorded] = [command for command in story.commands if isinstance(command, RecordAttempt)]
    assert recorded.account.started_at == START_MS + 30
    assert recorded.record.queue_time_ms == 30


def test_a_report_that_was_long_on_its_way_does_not_make_its_attempt_begin_later() -> None:
    story = Story(pipeline(stage("one")), free=True)
    story.later(50)
    story.progress("one", 1, 5)
    story.later(9_000)

    story.completes("one", 1, metrics=Metrics(processing_time_ms=3_000))

    [recorded] = [command for command in story.commands if isinstance(command, RecordAttempt)]
    assert recorded.account.started_at == START_MS + 50
    assert recorded.record.queue_time_ms == 50


def test_an_attempt_that_fell_silent_has_worked_until_it_was_last_heard_of() -> None:
    story = Story(pipeline(stage("one")))
    attempt = story.granted("one")
    story.later(2_000)
    story.progress("one", attempt, 5)

    story.falls_silent("one")

    [lost] = [command.record for command in story.history if isinstance(command, RecordAttempt)]
    assert (lost.failure_code, lost.execution_time_ms) == ("worker_lost", 2_000)
