"""What people see of a stage: its events, what its next attempt is told, and what is kept of its attempts."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from aif_contracts.events import ProgressUpdate, StepCompleted, StepRetrying, StepSkipped, StepStarted
from aif_contracts.metering import Metrics, Tokens
from aif_contracts.packets import PreviousAttempt
from aif_contracts.performance import PerformanceRecord
from aif_contracts.reports import LONGEST_TEXT, ProgressPoint
from aif_orchestrator.execution.commands import EmitEvent, RecordAttempt
from aif_orchestrator.execution.happenings import PacketDeclined, Patience, PauseAsked, TimePassed
from aif_pipelines.definition import RetryStage
from support.execution_story import Story, pipeline, stage


def kept(story: Story) -> PerformanceRecord:
    return next(command.record for command in story.commands if isinstance(command, RecordAttempt))


def test_a_stage_that_has_completed_tells_what_it_cost_by_whom_and_how_good_it_is() -> None:
    story = Story(pipeline(stage("one")))
    tokens = Tokens(prompt_tokens=10, completion_tokens=5, total_tokens=15)
    metrics = Metrics(cost_usd="0.25", tokens_used=tokens, processing_time_ms=1_200, provider="openai", model="gpt-4o-mini")

    story.made("one", metrics=metrics, quality=0.9, elements=7, summary="Seven bees.")

    assert story.events()[-2] == StepCompleted(
        step_name="one",
        attempt=1,
        tokens_used=tokens,
        cost_usd="0.25",
        processing_time_ms=1_200,
        provider="openai",
        model="gpt-4o-mini",
        quality_score=0.9,
        element_count=7,
        summary="Seven bees.",
    )


@pytest.mark.parametrize("ends", [Story.completes, Story.fails])
def test_work_that_tells_of_itself_only_by_its_report_has_begun_when_the_report_says(ends: object) -> None:
    story = Story(pipeline(stage("one")), free=True)
    story.later(5_000)

    ends(story, "one", 1, metrics=Metrics(processing_time_ms=2_000))  # type: ignore[operator]

    events = [command.event for command in story.history if isinstance(command, EmitEvent)]
    assert [event.time for event in events if isinstance(event.data, StepStarted)] == ["2023-11-14T22:13:23.000Z"]


def test_no_work_has_begun_before_it_was_offered_whatever_its_report_says() -> None:
    story = Story(pipeline(stage("one")), free=True)
    story.later(5_000)

    story.completes("one", 1, metrics=Metrics(processing_time_ms=60_000))

    assert story.stage("one").started_at == story.circumstances.at_ms - 5_000


def test_what_is_kept_of_an_attempt_says_how_long_it_waited_and_how_much_it_read_and_made() -> None:
    story = Story(pipeline(stage("one", input={"word": "bee"})))
    story.later(5_000)

    story.made("one", {"made": "it"}, elements=7)

    record = kept(story)
    assert (record.queue_time_ms, record.input_size_bytes, record.output_size_bytes) == (5_000, 14, 13)
    assert record.element_count == 7


def test_the_next_attempt_is_told_why_the_one_before_it_failed() -> None:
    story = Story(pipeline(stage("one")))
    story.fails("one", story.granted("one"), "too_thin", message="say more")

    story.wakes()

    assert story.last_packet("one").previous == PreviousAttempt(attempt=1, code="too_thin", message="say more")


def test_an_attempt_that_comes_back_is_told_of() -> None:
    story = Story(pipeline(stage("one")))

    story.fails("one", story.granted("one"), "handed_back", message="the worker ends")

    back = StepRetrying(step_name="one", attempt=1, code="handed_back", message="the worker ends", retry_in_ms=0)
    assert back in story.events()


def test_progress_is_told_when_it_has_grown_or_says_something() -> None:
    story = Story(pipeline(stage("one"), stage("two", depends_on=("one",))))
    attempt = story.granted("one")

    for percent, message in [(40, ""), (40, ""), (40, "nearly there"), (30, "")]:
        story.progress("one", attempt, percent, message)

    assert [data for data in story.events() if isinstance(data, ProgressUpdate)] == [
        ProgressUpdate(progress_percent=20, message="", step_name="one", step_percent=40),
        ProgressUpdate(progress_percent=20, message="nearly there", step_name="one", step_percent=40),
    ]


@pytest.mark.parametrize("ends", [Story.completes, Story.fails])
def test_what_an_attempt_passed_before_it_could_tell_is_told_with_its_end_and_at_its_time(ends: Callable[..., object]) -> None:
    story = Story(pipeline(stage("one"), stage("two")), free=True)
    story.later(5_000)
    points = (
        ProgressPoint(percent=20, message="half read", ago_ms=60_000),
        ProgressPoint(percent=60, message="read", ago_ms=500),
        ProgressPoint(percent=50, message="x" * 3_000, ago_ms=0),
    )

    ends(story, "one", 1, metrics=Metrics(processing_time_ms=2_000), points=points)

    events = [command.event for command in story.history if isinstance(command, EmitEvent)]
    told = [(event.time[17:], event.data) for event in events if isinstance(event.data, ProgressUpdate)]
    assert [(time, data.progress_percent, data.step_percent, data.message[:9]) for time, data in told] == [
        ("23.000Z", 10, 20, "half read"),
        ("24.500Z", 30, 60, "read"),
        ("25.000Z", 30, 60, "xxxxxxxxx"),
    ]
    assert len(told[-1][1].message) == LONGEST_TEXT


def test_the_first_sign_of_life_tells_of_what_came_before_it_and_when_that_was() -> None:
    story = Story(pipeline(stage("one")), free=True)

    story.later(5_000)
    points = (
        ProgressPoint(percent=20, message="begun", ago_ms=150),
        ProgressPoint(percent=30, message="going on", ago_ms=100),
    )

    story.progress("one", 1, 50, "reading", points=points)

    events = [command.event for command in story.history if isinstance(command, EmitEvent)]
    told = [(event.time[17:], event.data) for event in events if isinstance(event.data, StepStarted | ProgressUpdate)]
    assert [time for time, _ in told] == ["24.850Z", "24.850Z", "24.900Z", "25.000Z"]
    assert [(data.step_percent, data.message) for _, data in told if isinstance(data, ProgressUpdate)] == [
        (20, "begun"),
        (30, "going on"),
        (50, "reading"),
    ]


def test_an_attempt_that_is_not_the_current_one_tells_of_no_progress() -> None:
    story = Story(pipeline(stage("one")), free=True)
    story.fails("one", 1)
    before = len(story.events())

    story.completes("one", 1, points=(ProgressPoint(percent=20, message="half read", ago_ms=1),))

    assert len(story.events()) == before


def test_a_stage_that_is_tried_again_has_made_no_progress() -> None:
    story = Story(pipeline(stage("one")))
    attempt = story.granted("one")
    story.progress("one", attempt, 80)

    story.fails("one", attempt)

    assert story.stage("one").progress_percent == 0


def test_it_is_told_that_the_earlier_result_stands_when_nothing_better_came() -> None:
    rule = RetryStage(condition="one.quality_score < 0.7", max_retries=1)
    story = Story(pipeline(stage("one", rules=(rule,))))
    story.made("one", quality=0.2)

    story.fails("one", story.granted("one"), retryable=False, message="no way")

    stands = ProgressUpdate(progress_percent=99, message="no way; the earlier result stands", step_name="one")
    assert stands in story.events()


def test_a_stage_that_is_left_out_has_ended_and_says_why() -> None:
    story = Story(pipeline(stage("one"), stage("unneeded", depends_on=("one",), when="false")))

    story.made("one")

    left_out = story.stage("unneeded")
    assert left_out.finished_at == story.circumstances.at_ms
    assert StepSkipped(step_name="unneeded", reason=left_out.reason) in story.events()
    assert "false" in left_out.reason


def test_a_stage_that_a_worker_declined_says_why_it_waits() -> None:
    story = Story(pipeline(stage("one")))
    packet_id = story.last_packet("one").packet_id

    story.happens(PacketDeclined(stage_id="one", packet_id=packet_id, worker_name="maker", message="no room"))

    assert story.stage("one").reason == "a worker declined it: no room"


def test_a_packet_that_is_due_again_is_not_offered_during_a_pause() -> None:
    story = Story(pipeline(stage("one")))
    story.happens(PauseAsked(reason="lunch"))

    story.later(600_000)
    story.happens(TimePassed())

    assert story.packets() == []


def test_a_stage_that_runs_does_not_say_any_more_why_it_waited() -> None:
    story = Story(pipeline(stage("one")))
    story.circumstances = replace(story.circumstances, live_workers=frozenset())
    story.wakes()
    assert story.stage("one").reason == "no worker named maker is running; the stage waits until one is"

    story.circumstances = replace(story.circumstances, live_workers=frozenset({"maker"}))
    story.granted("one")

    assert story.stage("one").reason == ""


def without_workers() -> Story:
    """A story whose second stage is offered while nobody runs its worker."""
    story = Story(pipeline(stage("one"), stage("two", depends_on=("one",))))
    attempt = story.granted("one")
    story.circumstances = replace(story.circumstances, live_workers=frozenset())
    story.completes("one", attempt)
    return story


def told_of_waiting(story: Story) -> list[str]:
    return [data.message for data in story.events() if isinstance(data, ProgressUpdate)]


def test_that_a_stage_waits_for_a_worker_that_nobody_runs_is_told_once_after_five_seconds() -> None:
    story = without_workers()
    offered_at = story.circumstances.at_ms

    story.wakes()

    assert told_of_waiting(story) == ["no worker named maker is running; the stage waits until one is"]
    assert (story.circumstances.at_ms - offered_at, story.packets()) == (5_000, [])
    for _ in range(3):
        story.wakes()
    assert (len(told_of_waiting(story)), story.circumstances.at_ms - offered_at) == (1, 420_000)


@pytest.mark.parametrize(("unclaimed_seconds", "told_after_seconds"), [(1, 7), (2, 6), (3, 9), (4, 12), (5, 5), (6, 5)])
def test_that_nobody_runs_a_worker_is_told_once_however_soon_packets_are_sent_again(
    unclaimed_seconds: int, told_after_seconds: int
) -> None:
    story = Story(pipeline(stage("one"), stage("two", depends_on=("one",))))
    attempt = story.granted("one")
    patience = Patience(unclaimed_ms=unclaimed_seconds * 1_000)
    story.circumstances = replace(story.circumstances, live_workers=frozenset(), patience=patience)
    story.completes("one", attempt)
    offered_at = story.circumstances.at_ms

    while not told_of_waiting(story):
        story.wakes()
    told_at = story.circumstances.at_ms
    for _ in range(3):
        story.wakes()

    assert told_at - offered_at == told_after_seconds * 1_000
    assert told_of_waiting(story) == ["no worker named maker is running; the stage waits until one is"]


def test_a_worker_that_goes_soon_after_a_stage_is_offered_is_told_of_once_too() -> None:
    story = Story(pipeline(stage("one"), stage("two", depends_on=("one",))))
    story.circumstances = replace(story.circumstances, patience=Patience(unclaimed_ms=2_000))
    story.made("one")
    story.circumstances = replace(story.circumstances, live_workers=frozenset())

    for _ in range(4):
        story.wakes()

    assert told_of_waiting(story) == ["no worker named maker is running; the stage waits until one is"]


def test_nothing_is_told_of_a_worker_that_was_away_for_a_moment() -> None:
    story = without_workers()
    story.later(1_000)
    story.circumstances = replace(story.circumstances, live_workers=frozenset({"maker"}))

    story.wakes()

    assert (told_of_waiting(story), story.stage("two").reason, story.packets()) == ([], "", [])


def test_a_worker_that_goes_while_a_stage_waits_for_it_is_told_of_when_the_packet_is_due() -> None:
    story = Story(pipeline(stage("one")))
    story.circumstances = replace(story.circumstances, live_workers=frozenset())

    story.wakes()
    story.wakes()

    assert told_of_waiting(story) == ["no worker named maker is running; the stage waits until one is"]
