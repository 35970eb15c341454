"""How far an execution is, from its events; and how that looks."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from io import StringIO

from rich.console import Console

from aif_console.following.display import follow, stage_row
from aif_console.following.progress import Progress, advanced, elapsed_seconds
from aif_console.reading.event_words import event_line, is_chatter
from aif_contracts.events import (
    AiGenerationCompleted,
    ApprovalDecided,
    ApprovalRequested,
    CompensationFailed,
    CompensationStarted,
    CostIncurred,
    EventData,
    ExecutionEvent,
    Kept,
    ProgressUpdate,
    StepAdded,
    StepCompleted,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    Totals,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowPaused,
    WorkflowResumed,
    WorkflowScheduled,
    WorkflowStarted,
)
from aif_contracts.metering import CallOutcome, Purpose, ResourceUsage, TimeBreakdown, Tokens
from aif_contracts.orders import StageStatus
from support.manual_clock import ManualClock

TOTALS = Totals(
    tokens_used=Tokens(total_tokens=120),
    cost_usd="0.0003",
    cost_is_complete=True,
    wall_time_ms=1,
    busy_time_ms=1,
    breakdown=TimeBreakdown(),
    resource_usage=ResourceUsage(),
    attempts=1,
)
STARTED = WorkflowStarted(template="two_steps", version="1.0.0", stages=("first", "second"))
FIRST = StepStarted(step_name="first", attempt=1, worker_name="content_granulator", action="structure_course")


def event(data: EventData, *, second: int = 0, percent: int = 0) -> ExecutionEvent:
    return ExecutionEvent(
        id="exec_1:1",
        type="aif.x",
        time=f"2026-01-01T00:00:{second:02d}.000Z",
        subject="exec_1",
        sequence=1,
        client_id="local",
        progress_percent=percent,
        data=data,
    )


def after(*events: ExecutionEvent) -> Progress:
    progress = Progress()
    for happened in events:
        progress = advanced(progress, happened)
    return progress


def test_all_stages_are_known_from_the_first_event() -> None:
    progress = after(event(STARTED))

    assert [(stage.name, stage.status) for stage in progress.stages] == [
        ("first", StageStatus.WAITING),
        ("second", StageStatus.WAITING),
    ]


def test_a_stage_tells_its_own_percent_and_words() -> None:
    update = ProgressUpdate(progress_percent=20, message="half way", step_name="first", step_percent=50)

    stage = after(event(STARTED), event(FIRST), event(update, percent=20)).stages[0]

    assert (stage.status, stage.percent, stage.note) == (StageStatus.RUNNING, 50, "half way")


def test_the_whole_never_falls_back() -> None:
    assert after(event(STARTED, percent=40), event(FIRST, percent=10)).percent == 40


def test_a_completed_stage_shows_what_it_used() -> None:
    done = StepCompleted(
        step_name="first",
        attempt=1,
        tokens_used=Tokens(total_tokens=70),
        cost_usd="0.0002",
        processing_time_ms=5,
        summary="3 modules",
    )
    paid = CostIncurred(step_name="first", attempt=1, cost_usd="0.0002", total_cost_usd="0.0002")

    progress = after(event(STARTED), event(FIRST, second=1), event(paid, second=2), event(done, second=4))

    stage = progress.stages[0]
    assert (stage.percent, stage.tokens, stage.cost_usd, stage.note) == (100, 70, "0.0002", "3 modules")
    assert elapsed_seconds(stage.began, stage.ended, datetime(2030, 1, 1, tzinfo=UTC)) == 3.0
    assert (progress.tokens, progress.cost_usd) == (70, "0.0002")


def test_a_stage_that_is_tried_again_says_why_and_which_attempt() -> None:
    retrying = StepRetrying(step_name="first", attempt=1, code="rate_limited", message="slow down", retry_in_ms=500)
    again = StepStarted(step_name="first", attempt=2, worker_name="w", action="a")

    waiting = after(event(STARTED), event(FIRST), event(retrying)).stages[0]
    running = after(event(STARTED), event(FIRST), event(retrying), event(again)).stages[0]

    assert (waiting.status, waiting.note) == (StageStatus.RETRYING, "slow down")
    assert (running.status, running.attempt, running.note) == (StageStatus.RUNNING, 2, "")


def test_failures_and_skips_are_seen_at_the_stage() -> None:
    failed = StepFailed(step_name="first", attempt=3, code="bad_output", message="no modules")
    skipped = StepSkipped(step_name="second", reason="its condition is false")

    stages = after(event(STARTED), event(failed), event(skipped)).stages

    assert [(stage.status, stage.note) for stage in stages] == [
        (StageStatus.FAILED, "no modules"),
        (StageStatus.SKIPPED, "its condition is false"),
    ]


def test_the_end_brings_the_totals_and_the_reason() -> None:
    completed = after(event(STARTED), event(WorkflowCompleted(status="completed", totals=TOTALS, deliverables=()), percent=100))
    failed = after(event(STARTED), event(WorkflowFailed(code="c", message="the stage failed", totals=TOTALS)))
    cancelled = after(event(STARTED), event(WorkflowCancelled(reason="not needed", totals=TOTALS)))

    assert (completed.status, completed.percent, completed.tokens, completed.cost_usd) == ("completed", 100, 120, "0.0003")
    assert (failed.status, failed.why) == ("failed", "the stage failed")
    assert (cancelled.status, cancelled.why) == ("cancelled", "not needed")


def test_a_stage_that_was_added_on_the_way_is_shown_too() -> None:
    added = StepStarted(step_name="review", attempt=1, worker_name="w", action="a")

    assert [stage.name for stage in after(event(STARTED), event(added)).stages] == ["first", "second", "review"]


DONE = StepCompleted(step_name="first", attempt=1, tokens_used=Tokens(total_tokens=70), cost_usd="0.0002", processing_time_ms=5)
FAILED = WorkflowFailed(code="c", message="the second failed", totals=TOTALS)


def test_after_a_resume_what_was_kept_stays_and_the_rest_is_before_its_start() -> None:
    kept = Kept(stages=("first",), tokens_used=Tokens(), cost_usd="0.0002", processing_time_ms=5)
    broken = StepFailed(step_name="second", attempt=3, code="bad_output", message="no modules")

    progress = after(
        event(STARTED), event(FIRST), event(DONE), event(broken), event(FAILED), event(WorkflowResumed(leg=2, kept=kept))
    )

    assert (progress.status, progress.why, progress.ended) == ("running", "", None)
    assert [(stage.name, stage.status, stage.note) for stage in progress.stages] == [
        ("first", StageStatus.COMPLETED, ""),
        ("second", StageStatus.WAITING, ""),
    ]


def test_after_a_pause_everything_is_where_it_was() -> None:
    nothing = Kept(stages=(), tokens_used=Tokens(), cost_usd="0", processing_time_ms=0)

    paused = after(event(STARTED), event(FIRST), event(WorkflowPaused(reason="r")))
    resumed = advanced(paused, event(WorkflowResumed(leg=1, kept=nothing)))

    assert (paused.status, resumed.status) == ("paused", "running")
    assert resumed.stages[0].status is StageStatus.RUNNING


def test_a_delayed_execution_counts_its_time_from_its_start() -> None:
    scheduled = after(event(WorkflowScheduled(template="two_steps", version="1.0.0", start_at="2026-01-01T00:00:30Z")))
    started = advanced(scheduled, event(STARTED, second=30))

    assert (scheduled.status, started.status) == ("scheduled", "running")
    assert elapsed_seconds(started.began, None, datetime(2026, 1, 1, 0, 0, 31, tzinfo=UTC)) == 1.0


def test_a_stage_waits_for_a_person_and_goes_on_or_fails() -> None:
    asked = after(event(STARTED), event(FIRST), event(ApprovalRequested(step_name="first", message="Look.")))
    agreed = advanced(asked, event(ApprovalDecided(step_name="first", approved=True, decided_by="key_1")))
    refused = advanced(asked, event(ApprovalDecided(step_name="first", approved=False, decided_by="key_1", comment="no")))

    assert (asked.stages[0].status, asked.stages[0].note) == (StageStatus.AWAITING_APPROVAL, "Look.")
    assert agreed.stages[0].status is StageStatus.RUNNING
    assert (refused.stages[0].status, refused.stages[0].note) == (StageStatus.FAILED, "rejected: no")


def test_what_is_added_and_what_is_undone_are_lines_of_their_own() -> None:
    added = StepAdded(step_name="optimise", added_by="first", worker_name="w", action="a", reason="r")
    undoing = CompensationStarted(step_name="first", worker_name="w", action="discard")
    stuck = CompensationFailed(step_name="first", code="gone", message="no such thing")

    stages = after(event(STARTED), event(added), event(undoing), event(stuck)).stages

    assert [(stage.name, stage.status, stage.note) for stage in stages[2:]] == [
        ("optimise", StageStatus.WAITING, "added by first"),
        ("undo first", StageStatus.FAILED, "no such thing"),
    ]


def test_clocks_that_disagree_give_no_negative_times() -> None:
    assert elapsed_seconds(datetime(2026, 1, 2, tzinfo=UTC), None, datetime(2026, 1, 1, tzinfo=UTC)) == 0.0


def test_an_event_is_one_plain_line() -> None:
    update = ProgressUpdate(progress_percent=20, message="read\x1b[2J \nall", step_name="first")

    assert event_line(event(FIRST)) == "step started  first  by content_granulator"
    assert event_line(event(update)) == "progress update  first  read [2J  all"


def test_a_model_that_steps_in_stands_beside_its_stage_until_another_attempt_begins() -> None:
    fallback = event(
        AiGenerationCompleted(
            step_name="first",
            attempt=1,
            action="make",
            provider="anthropic",
            model="claude-x",
            purpose=Purpose.FALLBACK,
            outcome=CallOutcome.ANSWERED,
            tokens_used=15,
            cost_usd="0.1",
            latency_ms=900,
            fallback_from="gpt-4o-mini",
            reason="price_unknown",
        )
    )

    progress = advanced(advanced(Progress(), event(FIRST)), fallback)
    noted = advanced(progress, event(ProgressUpdate(progress_percent=9, message="writing", step_name="first")))
    [row] = [stage_row(each, 1.0) for each in noted.stages]
    again = advanced(noted, event(FIRST))

    assert str(row[-1]) == "claude-x in place of gpt-4o-mini (price_unknown); writing"
    assert [each.fallback for each in again.stages] == [""]
    assert event_line(fallback) == (
        "ai generation completed  first  claude-x in place of gpt-4o-mini (price_unknown): answered after 900 ms, 15 tokens"
    )
    assert not is_chatter(fallback)


async def test_without_a_terminal_each_event_is_a_line() -> None:
    async def events() -> AsyncIterator[ExecutionEvent]:
        yield event(STARTED)
        yield event(WorkflowCompleted(status="completed", totals=TOTALS, deliverables=()), second=2, percent=100)

    written = StringIO()
    await follow(events(), console=Console(file=written), clock=ManualClock(datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC)))

    assert written.getvalue() == "    0.0 s    0 %  workflow started  two_steps\n    2.0 s  100 %  workflow completed\n"


async def test_on_a_terminal_the_stages_are_drawn() -> None:
    async def events() -> AsyncIterator[ExecutionEvent]:
        yield event(STARTED)
        yield event(FIRST)
        yield event(WorkflowPaused(reason="for now"))

    written = StringIO()
    console = Console(file=written, force_terminal=True, width=120, color_system=None)
    await follow(events(), console=console, clock=ManualClock(datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC)))

    assert "two_steps" in written.getvalue()
    assert "paused  for now; to go on: aif resume exec_1" in written.getvalue()
    assert "running" in written.getvalue()
    assert "waiting" in written.getvalue()
