"""The saga: what had completed is undone in the reverse order before an execution ends as failed or cancelled."""

from aif_contracts.events import (
    CompensationCompleted,
    CompensationFailed,
    CompensationStarted,
    WorkflowCancelled,
    WorkflowFailed,
)
from aif_contracts.metering import Metrics
from aif_contracts.orders import ExecutionStatus, StageStatus
from aif_contracts.packets import ControlAction, Granted, Later
from aif_orchestrator.execution.commands import Refuse, TellAudit, TellWorkers
from aif_orchestrator.execution.ending import deliverables
from aif_orchestrator.execution.happenings import CancelAsked, CompensationSkipAsked, ResumeAsked, TimePassed
from aif_orchestrator.execution.views import view
from aif_pipelines.definition import AddStage, Compensation, Fail, Pipeline, RetryStage, Stage
from support.execution_story import Story, deliverable, pipeline, stage


def undoable(stage_id: str, **changes: object) -> Stage:
    undo = Compensation(worker="cleaner", action="remove", input={"what": "{{" + stage_id + ".made}}"})
    return stage(stage_id, compensate=undo, **changes)


def booking(*, last: str = "last") -> Pipeline:
    return pipeline(undoable("first"), undoable("second", depends_on=("first",)), stage(last, depends_on=("second",)))


def broken(story: Story) -> Story:
    """The first two stages have completed, the last one fails for good."""
    story.made("first", {"made": "room"})
    story.later(10)
    story.made("second", {"made": "seat"})
    story.fails("last", story.granted("last"), "sold_out", retryable=False)
    return story


def test_completed_stages_are_undone_one_after_the_other_the_newest_first() -> None:
    story = broken(Story(booking()))

    assert story.execution.ended_at is None
    packet = story.packets()[0]
    assert (packet.stage_id, packet.worker_name, packet.action) == ("compensate_second", "cleaner", "remove")
    assert packet.control.action is ControlAction.COMPENSATE
    assert packet.data_ref.inline == b'{"what":"seat"}'

    story.made("compensate_second")
    assert story.packets()[0].stage_id == "compensate_first"
    story.made("compensate_first")

    assert story.execution.status is ExecutionStatus.FAILED
    assert [data for data in story.events() if isinstance(data, CompensationStarted | CompensationCompleted)] == [
        CompensationStarted(step_name="second", worker_name="cleaner", action="remove"),
        CompensationCompleted(step_name="second", attempt=1),
        CompensationStarted(step_name="first", worker_name="cleaner", action="remove"),
        CompensationCompleted(step_name="first", attempt=1),
    ]
    assert story.event_types().count("STEP_STARTED") == 3
    ending = story.events()[-1]
    assert isinstance(ending, WorkflowFailed)
    assert (ending.code, ending.step_name, ending.not_undone) == ("sold_out", "last", ())


def test_stages_that_ran_beside_each_other_are_undone_by_when_they_ended() -> None:
    story = Story(pipeline(undoable("left"), undoable("right"), stage("end", depends_on=("left", "right"))))
    story.made("right")
    story.later(5)
    story.made("left")

    story.fails("end", story.granted("end"), retryable=False)

    assert story.packets()[0].stage_id == "compensate_left"


def test_a_stage_that_made_nothing_is_not_undone() -> None:
    story = Story(booking())
    story.made("first")

    story.fails("second", story.granted("second"), retryable=False)
    story.made("compensate_first")

    assert story.execution.status is ExecutionStatus.FAILED
    assert "compensate_second" not in story.execution.stages


def test_without_anything_to_undo_the_execution_ends_at_once() -> None:
    story = Story(booking())

    story.fails("first", story.granted("first"), retryable=False)

    assert story.execution.status is ExecutionStatus.FAILED


def test_what_a_rule_fails_has_been_made_and_is_undone() -> None:
    rule = Fail(condition="first.made == 'wrong'", message="Wrong.")
    story = Story(pipeline(undoable("first", rules=(rule,))))

    story.made("first", {"made": "wrong"})

    assert story.packets()[0].stage_id == "compensate_first"


def test_a_cancelled_execution_is_undone_too_and_ends_as_cancelled() -> None:
    story = Story(booking())
    story.made("first")
    story.granted("second")

    story.happens(CancelAsked(reason="changed my mind"))
    told = [command.message.action for command in story.commands if isinstance(command, TellWorkers)]
    story.fails("second", 1, "cancelled", retryable=False)
    story.made("compensate_first")

    assert told == [ControlAction.CANCEL]
    assert story.execution.status is ExecutionStatus.CANCELLED
    assert story.execution.failure_message == "changed my mind"
    assert isinstance(story.events()[-1], WorkflowCancelled)


def cut_off(story: Story) -> Story:
    """The first stage has completed, and an attempt at the second one is under way when the execution is cancelled."""
    story.made("first", {"made": "room"})
    story.granted("second")
    story.happens(CancelAsked(reason="changed my mind"))
    return story


def undoings(story: Story) -> list[CompensationStarted | CompensationCompleted | CompensationFailed]:
    return [
        data for data in story.events() if isinstance(data, CompensationStarted | CompensationCompleted | CompensationFailed)
    ]


def test_what_an_attempt_had_done_that_was_cut_off_is_undone_first() -> None:
    story = cut_off(Story(booking()))
    assert story.packets() == []

    story.completes("second", 1, {"made": "seat"})
    packet = story.packets()[0]
    story.made("compensate_second")
    story.made("compensate_first")

    assert (packet.stage_id, packet.data_ref.inline) == ("compensate_second", b'{"what":"seat"}')
    assert story.execution.status is ExecutionStatus.CANCELLED
    assert story.stage("second").is_undone
    assert deliverables(story.circumstances.plan, story.execution) == ()
    ending = story.events()[-1]
    assert isinstance(ending, WorkflowCancelled)
    assert ending.not_undone == ()


def test_an_attempt_that_was_cut_off_and_says_that_it_failed_leaves_nothing_to_undo() -> None:
    story = cut_off(Story(booking()))

    story.fails("second", 1, "cancelled", retryable=False)
    assert story.packets()[0].stage_id == "compensate_first"
    story.made("compensate_first")

    assert story.execution.status is ExecutionStatus.CANCELLED
    assert story.stage("compensate_second").status is StageStatus.SKIPPED
    assert [data.step_name for data in undoings(story)] == ["first", "first"]


def test_what_nobody_has_heard_of_an_attempt_that_was_cut_off_is_named_as_not_undone() -> None:
    story = cut_off(Story(booking()))

    story.wakes()
    story.made("compensate_first")

    ending = story.events()[-1]
    assert isinstance(ending, WorkflowCancelled)
    assert ending.not_undone == ("second",)
    message = "attempt 1 of second was cut off, and its worker has not said whether it had done its work by then"
    assert undoings(story)[0] == CompensationFailed(step_name="second", code="effect_unknown", message=message)
    assert "compensate_second" not in [packet.stage_id for packet in story.packets()]


def test_only_the_attempt_that_was_cut_off_has_the_last_word_on_it() -> None:
    story = Story(booking())
    story.made("first")
    story.fails("second", story.granted("second"))
    story.wakes()
    story.granted("second")
    story.happens(CancelAsked(reason="changed my mind"))

    story.completes("second", 1, {"made": "seat"})

    assert story.packets() == []
    assert story.stage("compensate_second").status is StageStatus.WAITING


def test_without_anything_else_to_undo_the_end_waits_for_the_last_word_too() -> None:
    story = Story(pipeline(undoable("only")))
    story.granted("only")

    story.happens(CancelAsked(reason="changed my mind"))
    waits = story.execution.status
    story.fails("only", 1, "cancelled", retryable=False)

    assert waits is ExecutionStatus.COMPENSATING
    assert story.execution.status is ExecutionStatus.CANCELLED


def test_a_stage_that_nobody_has_begun_has_done_nothing_that_is_to_be_undone() -> None:
    story = Story(pipeline(undoable("only")))

    story.happens(CancelAsked(reason="changed my mind"))

    assert story.execution.status is ExecutionStatus.CANCELLED


def test_what_has_failed_and_is_being_undone_cannot_be_cancelled_and_who_tries_hears_how_and_when_it_ends() -> None:
    story = broken(Story(booking()))
    before = story.execution

    story.happens(CancelAsked(reason="now"))

    assert story.execution is before
    assert story.commands == [
        Refuse(
            code="already_ended",
            message="exec_1: it has failed (sold_out: it did not work) and ends so when what it had done is undone, "
            "at 2023-11-14T23:13:20.010Z at the latest; what cannot be undone can be skipped (skip-compensation)",
        )
    ]


def test_cancelling_twice_is_harmless_also_while_the_first_is_undoing() -> None:
    story = Story(booking())
    story.made("first")
    story.happens(CancelAsked(reason="changed my mind"))

    again = story.happens(CancelAsked(reason="now"))
    story.made("compensate_first")
    after_its_end = story.happens(CancelAsked(reason="now"))

    assert (again, after_its_end) == ([], [])
    assert story.execution.status is ExecutionStatus.CANCELLED


def test_each_instance_of_an_added_stage_is_undone() -> None:
    rules = (
        AddStage(condition="draft.element_count > 1", stage=undoable("polish"), max_times=2),
        RetryStage(condition="draft.quality_score < 0.7"),
    )
    story = Story(pipeline(stage("draft", rules=rules), stage("last", depends_on=("draft",))))
    for quality in (0.1, 0.9):
        story.made("draft", quality=quality, elements=2)
    story.made("polish")
    story.made("polish_2")
    story.fails("last", story.granted("last"), retryable=False)

    story.made("compensate_polish_2")
    story.made("compensate_polish")

    assert [name for name, run in story.execution.stages.items() if run.is_undone] == ["polish", "polish_2"]
    assert story.execution.status is ExecutionStatus.FAILED


def test_a_compensation_is_retried_like_any_work() -> None:
    story = broken(Story(booking()))

    story.fails("compensate_second", story.granted("compensate_second"))
    story.wakes()
    story.made("compensate_second")

    assert story.stage("second").is_undone


def test_a_compensation_that_fails_does_not_stop_the_others_and_is_named_at_the_end() -> None:
    story = broken(Story(booking()))

    story.fails("compensate_second", story.granted("compensate_second"), "refused", retryable=False)
    story.made("compensate_first")

    ending = story.events()[-1]
    assert isinstance(ending, WorkflowFailed)
    assert ending.not_undone == ("second",)
    assert CompensationFailed(step_name="second", code="refused", message="it did not work") in story.events()


def test_who_looks_at_an_execution_sees_what_was_not_undone() -> None:
    story = broken(Story(booking()))
    before = view(story.circumstances.plan, story.execution, story.circumstances.at_ms).not_undone

    story.fails("compensate_second", story.granted("compensate_second"), "refused", retryable=False)
    story.made("compensate_first")

    assert before == ()
    assert view(story.circumstances.plan, story.execution, story.circumstances.at_ms).not_undone == ("second",)


def test_what_could_not_be_undone_is_named_when_somebody_has_cancelled() -> None:
    story = Story(booking())
    story.made("first")
    story.happens(CancelAsked(reason="changed my mind"))

    story.fails("compensate_first", story.granted("compensate_first"), "refused", retryable=False)

    ending = story.events()[-1]
    assert isinstance(ending, WorkflowCancelled)
    assert ending.not_undone == ("first",)


def test_compensations_that_nobody_does_end_after_an_hour() -> None:
    story = broken(Story(booking()))

    story.later(3_600_000)
    story.wakes()

    ending = story.events()[-1]
    assert isinstance(ending, WorkflowFailed)
    assert ending.not_undone == ("second", "first")
    assert story.execution.status is ExecutionStatus.FAILED


def test_what_is_undone_when_the_time_is_over_stays_undone() -> None:
    story = broken(Story(booking()))
    story.made("compensate_second")

    story.later(3_600_000)
    story.wakes()

    assert [data.step_name for data in story.events() if isinstance(data, CompensationFailed)] == ["first"]
    assert story.stage("compensate_second").status is StageStatus.COMPLETED


def test_a_compensation_under_way_when_the_time_is_over_is_stopped_and_its_money_is_free_after_its_last_word() -> None:
    story = broken(Story(booking()))
    story.later(3_590_000)
    story.progress("compensate_second", story.granted("compensate_second"), 0)
    story.later(10_000)

    story.happens(TimePassed())

    told = [command.message.stage_id for command in story.commands if isinstance(command, TellWorkers)]
    assert "compensate_second" in told
    assert story.wakes_at() == story.circumstances.at_ms + 20_000 + 5_000


def skips(story: Story, stage_id: str | None = None, *, comment: str = "") -> None:
    story.happens(CompensationSkipAsked(stage_id=stage_id, decided_by="ada", comment=comment))


def test_undoing_that_a_person_gives_up_has_failed_and_the_rest_is_undone() -> None:
    story = broken(Story(booking()))

    skips(story, "second", comment="the cleaner is gone")
    message = story.stage("compensate_second").reason
    next_packet = story.packets()[0]
    story.made("compensate_first")

    assert message == "ada gave it up: the cleaner is gone"
    assert next_packet.stage_id == "compensate_first"
    assert CompensationFailed(step_name="second", code="compensation_skipped", message=message) in story.events()
    ending = story.events()[-1]
    assert isinstance(ending, WorkflowFailed)
    assert (ending.code, ending.not_undone) == ("sold_out", ("second",))


def test_whoever_gives_up_undoing_a_stage_is_told_to_the_audit_log_with_why_it_hung() -> None:
    story = broken(Story(booking()))
    story.fails("compensate_second", story.granted("compensate_second"), "no_access")

    skips(story, "second", comment="by hand")

    [entry] = [command.entry for command in story.history if isinstance(command, TellAudit)]
    assert (entry.audit_id, entry.action, entry.actor) == ("skipped.exec_1.1.second", "COMPENSATION_SKIPPED", "ada")
    assert (entry.client_id, entry.execution_id) == ("acme", "exec_1")
    assert entry.details == {
        "stage_id": "second",
        "status": "retrying",
        "attempts": 1,
        "reason": "attempt 1 failed (no_access): it did not work",
        "comment": "by hand",
    }


def test_undoing_is_given_up_once() -> None:
    story = broken(Story(booking()))
    skips(story, "second")
    after = story.execution

    skips(story, "second")
    code = story.refusal()
    same = story.execution
    skips(story)
    ended = story.execution
    skips(story)

    assert (code, same) == ("nothing_to_skip", after)
    assert ended.status is ExecutionStatus.FAILED
    assert (story.refusal(), story.execution) == ("not_compensating", ended)
    assert [data.step_name for data in story.events() if isinstance(data, CompensationFailed)] == ["second", "first"]


def test_who_does_not_say_which_of_several_stages_is_not_to_be_undone_is_asked() -> None:
    story = broken(Story(booking()))

    skips(story)

    assert story.commands == [
        Refuse(
            code="ambiguous_compensation",
            message="exec_1: several stages are left to undo: second, first; name one as stage_id",
        )
    ]


def test_a_stage_is_left_as_it_is_before_its_turn_to_be_undone_too_and_under_the_name_of_its_compensation() -> None:
    story = broken(Story(booking()))

    skips(story, "compensate_first")
    story.made("compensate_second")

    assert story.execution.status is ExecutionStatus.FAILED
    assert [data.step_name for data in undoings(story) if isinstance(data, CompensationStarted)] == ["second"]
    assert story.stage("second").is_undone
    ending = story.events()[-1]
    assert isinstance(ending, WorkflowFailed)
    assert ending.not_undone == ("first",)


def test_a_worker_that_undoes_what_is_given_up_is_stopped_and_what_it_reports_changes_nothing_but_the_bill() -> None:
    story = broken(Story(booking()))
    attempt = story.granted("compensate_second")

    skips(story, "second")
    told = [command.message.stage_id for command in story.commands if isinstance(command, TellWorkers)]
    story.completes("compensate_second", attempt, {}, metrics=Metrics(cost_usd="0.25"))
    story.made("compensate_first")

    assert told == ["compensate_second"]
    assert story.stage("compensate_second").spent.cost_usd == "0.25"
    ending = story.events()[-1]
    assert isinstance(ending, WorkflowFailed)
    assert ending.not_undone == ("second",)


def test_nobody_has_to_wait_for_the_last_word_of_an_attempt_that_was_cut_off() -> None:
    story = cut_off(Story(booking()))

    skips(story, "second")
    story.completes("second", 1, {"made": "seat"})
    story.made("compensate_first")

    ending = story.events()[-1]
    assert isinstance(ending, WorkflowCancelled)
    assert ending.not_undone == ("second",)
    assert [data.step_name for data in undoings(story) if isinstance(data, CompensationStarted)] == ["first"]


def test_where_nothing_is_undone_there_is_nothing_to_give_up() -> None:
    story = Story(booking())

    skips(story, "first")

    assert story.refusal() == "not_compensating"


def test_what_is_undone_a_second_time_is_undone_one_after_the_other_too() -> None:
    definition = pipeline(undoable("first"), undoable("second", depends_on=("first",)), stage("last", input="{{second.gone}}"))
    story = Story(definition)
    for _ in ("as ordered", "resumed"):
        story.made("first")
        story.made("second")
        assert [packet.stage_id for packet in story.packets()] == ["compensate_second"]
        story.made("compensate_second")
        assert [packet.stage_id for packet in story.packets()] == ["compensate_first"]
        story.made("compensate_first")
        assert story.execution.status is ExecutionStatus.FAILED
        story.happens(ResumeAsked())

    undoing = [data.step_name for data in story.events() if isinstance(data, CompensationStarted)]
    assert undoing == ["second", "first"] * 2


def test_the_execution_s_own_deadline_does_not_end_its_compensations() -> None:
    story = broken(Story(booking()))
    story.granted("compensate_second")

    story.later(700_000)
    story.wakes()
    woken_next = story.wakes_at()

    assert story.execution.status is ExecutionStatus.COMPENSATING
    assert woken_next is not None
    assert woken_next > story.circumstances.at_ms


def test_a_compensation_s_attempts_are_accounted_for() -> None:
    story = broken(Story(booking()))

    story.made("compensate_second")

    assert story.attempts()[-1] == ("compensate_second", 1, "success")


def test_what_was_undone_is_not_delivered() -> None:
    story = Story(pipeline(undoable("first"), stage("last", depends_on=("first",)), outputs=(deliverable("first"),)))
    story.made("first")
    story.fails("last", story.granted("last"), retryable=False)

    story.made("compensate_first")

    assert deliverables(story.circumstances.plan, story.execution) == ()


def test_a_resumed_execution_makes_again_what_was_undone() -> None:
    story = broken(Story(booking()))
    story.made("compensate_second")
    story.made("compensate_first")

    story.happens(ResumeAsked())

    assert story.execution.status is ExecutionStatus.RUNNING
    assert story.packets()[0].stage_id == "first"
    assert story.stage("second").status is StageStatus.WAITING


def test_a_second_failure_undoes_again() -> None:
    story = broken(Story(booking()))
    story.made("compensate_second")
    story.made("compensate_first")
    story.happens(ResumeAsked())
    story.made("first", {"made": "other room"})
    story.later(5)

    story.fails("second", story.granted("second"), retryable=False)
    packet = story.last_packet("compensate_first")
    story.made("compensate_first")

    assert packet.data_ref.inline == b'{"what":"other room"}'
    assert story.execution.status is ExecutionStatus.FAILED
    assert story.stage("compensate_first").attempt == 2


def test_what_was_wrong_before_a_stage_was_undone_is_not_said_when_it_is_undone_again() -> None:
    story = Story(pipeline(undoable("first"), stage("last", depends_on=("first",))))
    story.made("first")
    story.fails("last", story.granted("last"), retryable=False)
    story.fails("compensate_first", story.granted("compensate_first"))
    story.wakes()
    story.made("compensate_first")
    story.happens(ResumeAsked())
    story.made("first")

    story.fails("last", story.granted("last"), retryable=False)

    assert story.last_packet("compensate_first").previous is None


def test_who_is_told_to_stop_is_told_which_attempt_so_that_its_undoing_is_not_stopped() -> None:
    story = Story(booking())
    story.made("first")
    attempt = story.granted("second")

    story.happens(CancelAsked(reason="changed my mind"))

    told = [command.message for command in story.commands if isinstance(command, TellWorkers)]
    assert [(message.stage_id, message.attempt) for message in told] == [("second", attempt)]


def test_what_was_made_from_something_is_undone_before_it_although_a_clock_was_behind() -> None:
    story = Story(booking())
    story.made("first")
    story.later(-1_000)
    story.made("second")

    story.fails("last", story.granted("last"), retryable=False)

    assert story.packets()[0].stage_id == "compensate_second"


def test_a_compensation_waits_for_what_the_stopped_attempts_had_reserved() -> None:
    definition = pipeline(undoable("first"), stage("left", depends_on=("first",)), stage("right", depends_on=("first",)))
    story = Story(definition, max_cost_usd="2")
    story.made("first")
    attempt = story.granted("left")
    story.fails("right", story.granted("right"), retryable=False, metrics=Metrics(cost_usd="1"))

    assert isinstance(story.claim("compensate_first"), Later)
    story.fails("left", attempt, "cancelled", metrics=Metrics(cost_usd="0.5"))
    assert isinstance(story.claim("compensate_first"), Granted)


def test_a_compensation_does_not_wait_for_ever_for_a_worker_that_says_nothing() -> None:
    definition = pipeline(undoable("first"), stage("left", depends_on=("first",)), stage("right", depends_on=("first",)))
    story = Story(definition, max_cost_usd="2")
    story.made("first")
    story.granted("left")
    story.fails("right", story.granted("right"), retryable=False, metrics=Metrics(cost_usd="1"))
    story.later(35_000)
    story.happens(TimePassed())

    assert isinstance(story.claim("compensate_first"), Granted)
