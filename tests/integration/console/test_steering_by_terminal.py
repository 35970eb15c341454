"""`aif show`, `list`, `pause`, `resume`, `approve`, `reject`, `watch` against a stand-in of the gateway."""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.events import (
    ApprovalDecided,
    ApprovalRequested,
    CompensationCompleted,
    CompensationFailed,
    CompensationStarted,
    EventData,
    ExecutionEvent,
    Kept,
    ProgressUpdate,
    StepAdded,
    StepCompleted,
    StepStarted,
    Totals,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowPaused,
    WorkflowResumed,
    WorkflowScheduled,
    WorkflowStarted,
)
from aif_contracts.history import AttemptOutcome, AttemptView
from aif_contracts.metering import CallOutcome, Metrics, ProviderCall, Purpose, ResourceUsage, TimeBreakdown, Tokens
from aif_contracts.orders import ExecutionStatus, ExecutionView, StageStatus, StageView
from aif_contracts.packets import Grant, Priority
from support.gateway_stand_in import Terminal, gateway_stand_in

PIPELINES = "/api/v1/ai/pipelines"
EXECUTION = "exec_01M7YE2MWNEN0Z8K1JWNGR7Q8W"
REQUEST = "req_01M7YE2MRGS60FKZZ59P6FH8CW"
TOTALS = Totals(
    tokens_used=Tokens(prompt_tokens=3000, completion_tokens=1210, total_tokens=4210),
    cost_usd="0.0123",
    cost_is_complete=True,
    wall_time_ms=20_000,
    busy_time_ms=15_000,
    breakdown=TimeBreakdown(),
    resource_usage=ResourceUsage(api_calls=3),
    attempts=3,
)
KEPT = Kept(stages=("research", "course"), tokens_used=Tokens(total_tokens=4210), cost_usd="0.0123", processing_time_ms=12_310)
NOTHING_KEPT = Kept(stages=(), tokens_used=Tokens(), cost_usd="0", processing_time_ms=0)


def stage(stage_id: str, status: StageStatus = StageStatus.COMPLETED, **changes: Any) -> StageView:
    given: dict[str, Any] = {
        "stage_id": stage_id,
        "worker_name": "content_granulator",
        "action": "structure_course",
        "status": status,
        "attempt": 1,
        "progress_percent": 100,
        "metrics": Metrics(cost_usd="0.004"),
    }
    return StageView(**{**given, **changes})


def execution(status: ExecutionStatus = ExecutionStatus.COMPLETED, **changes: Any) -> ExecutionView:
    given: dict[str, Any] = {
        "execution_id": EXECUTION,
        "client_id": "local",
        "request_id": REQUEST,
        "template": "educational_content_pipeline",
        "template_version": "1.0.0",
        "status": status,
        "priority": Priority.NORMAL,
        "progress_percent": 60,
        "created_at": "2026-05-01T09:00:00.000Z",
        "completed_at": None,
        "stages": (stage("course"),),
        "totals": TOTALS,
        "deliverables": (),
        "last_sequence": 9,
    }
    return ExecutionView(**{**given, **changes})


def event(sequence: int, data: EventData, *, percent: int = 50) -> ExecutionEvent:
    return ExecutionEvent(
        id=f"{EXECUTION}:{sequence}",
        type="aif.x",
        time=f"2026-05-01T09:00:{sequence:02d}.000Z",
        subject=EXECUTION,
        sequence=sequence,
        client_id="local",
        progress_percent=percent,
        data=data,
    )


def history(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"execution": execution(), "events": (), "attempts": (), "calls": (), "truncated": False}
    return {**given, **changes}


def streamed(*data: EventData) -> bytes:
    return b"".join(
        b"id: %d\ndata: " % number + msgspec.json.encode(event(number, each)) + b"\n\n" for number, each in enumerate(data, 1)
    )


FAILED_ATTEMPT = AttemptView(
    stage_id="course",
    attempt=1,
    worker_name="content_granulator",
    action="structure_course",
    outcome=AttemptOutcome.FAILED,
    queue_time_ms=12,
    execution_time_ms=2100,
    metrics=Metrics(tokens_used=Tokens(total_tokens=900), cost_usd="0.0021", provider="anthropic", model="claude-x"),
    packet_id="packet_1",
    instance_id="granulator_7f",
    started_at="2026-05-01T09:00:01.000Z",
    ended_at="2026-05-01T09:00:03.000Z",
    grant=Grant(models=("claude-x", "gpt-y"), max_cost_usd="0.05", max_tokens=4000, energy=3, cache=True),
    failure_code="output_invalid",
    message="the course has no modules",
)
GOOD_ATTEMPT = AttemptView(
    stage_id="course",
    attempt=2,
    worker_name="content_granulator",
    action="structure_course",
    outcome=AttemptOutcome.COMPLETED,
    queue_time_ms=3,
    execution_time_ms=2500,
    metrics=Metrics(cost_usd="0"),
    packet_id="packet_2",
    grant=Grant(models=()),
    quality_score=0.9,
    element_count=120,
    message="12 modules",
    output=BlobRef(storage_type=StorageType.KV, storage_key="out/1", size_bytes=20_480, sha256="0" * 64),
)
CALL = ProviderCall(
    call_key=f"{EXECUTION}.course.1.1",
    execution_id=EXECUTION,
    client_id="local",
    stage_id="course",
    attempt=1,
    worker_name="content_granulator",
    provider="anthropic",
    model="claude-x",
    purpose=Purpose.FIRST_TRY,
    outcome=CallOutcome.IN_DOUBT,
    upper_bound_usd="0.02",
    latency_ms=30_000,
    error="no answer within 30 s",
)


ASKED_FOR = {"request_id": REQUEST, "status": "running", "client_id": "local", "created_at": "2026-05-01T09:00:00Z"}


@pytest.fixture
def aif(capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with gateway_stand_in() as gateway:
        gateway.answers_with(f"GET /api/kam/requests/{REQUEST}", ASKED_FOR)
        yield Terminal(gateway, capsys)


def test_show_tells_stages_attempts_a_short_log_and_totals(aif: Terminal) -> None:
    shown = execution(
        ExecutionStatus.FAILED,
        leg=2,
        failure_code="stage_failed",
        failure_message="course failed",
        stages=(
            stage("course"),
            stage("optimise", StageStatus.FAILED, added_by="course"),
            stage("undo_course", compensates="course"),
        ),
    )
    chatter = tuple(event(number, ProgressUpdate(progress_percent=50, message="…")) for number in range(2, 8))
    aif.gateway.answers_with(
        f"GET {PIPELINES}/{EXECUTION}/history",
        history(
            execution=shown,
            attempts=(FAILED_ATTEMPT, GOOD_ATTEMPT),
            events=(event(1, WorkflowStarted(template="t", version="1.0.0", stages=("course",))), *chatter),
        ),
    )

    said = aif("show", EXECUTION)

    assert said.code == 0, said.err
    assert f"Execution  {EXECUTION}, leg 2\n" in said.out
    assert "Status     failed, 60 %: stage_failed: course failed\n" in said.out
    assert f"Next       aif resume {EXECUTION}\n" in said.out
    assert "optimise  added by course: failed, 100 %" in said.out
    assert "undo_course  undoes course: completed, 100 %" in said.out
    assert "course  1    failed     12 ms   2100 ms  900     $0.0021  output_invalid: the course has no modules\n" in said.out
    assert "course  2    completed  3 ms    2500 ms  0       $0.00    12 modules\n" in said.out
    assert "1      05-01 09:00:01   50 %  workflow started  t\n" in said.out
    assert "6 more: --events\n" in said.out
    assert "Cost       $0.0123\n" in said.out


def test_on_a_terminal_of_100_columns_no_line_is_longer(aif: Terminal) -> None:
    long_words = "the course has no modules and the reasons for that are many, as this sentence shows at length"
    aif.gateway.answers_with(
        f"GET {PIPELINES}/{EXECUTION}/history",
        history(
            attempts=(msgspec.structs.replace(FAILED_ATTEMPT, message=long_words), GOOD_ATTEMPT),
            events=(event(1, ApprovalRequested(step_name="course", message=long_words)),),
            calls=(msgspec.structs.replace(CALL, error=long_words),),
        ),
    )

    for options in ((), ("--attempts",), ("--events",), ("--calls",)):
        said = aif("show", EXECUTION, *options, TTY_COMPATIBLE="1", TERM="xterm")

        lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in said.out.splitlines()]
        assert "\x1b[1m" in said.out
        assert max(len(line) for line in lines) <= 100, said.out
        assert long_words.replace(" ", "") in re.sub(r"\s", "", "".join(lines)) or not options


def test_attempts_are_shown_with_grant_worker_process_and_failure(aif: Terminal) -> None:
    aif.gateway.answers_with(
        f"GET {PIPELINES}/{EXECUTION}/history", history(attempts=(FAILED_ATTEMPT, GOOD_ATTEMPT), calls=(CALL,))
    )

    said = aif("show", EXECUTION, "--attempts")

    words = " ".join(said.out.split())
    assert "Attempts: 2 course 1 failed by content_granulator structure_course worker granulator_7f" in words
    assert "grant claude-x, gpt-y, at most $0.05, at most 4000 output tokens, energy 3, cache on" in words
    assert "failure output_invalid said the course has no modules" in words
    assert "worker not known: its report was its only sign of life" in words
    assert "grant local providers only, at most $0.00, cache off" in words
    assert "made quality 0.90, 120 elements, 20 KiB in KV out/1" in words
    assert "Provider calls" not in words
    assert "Stages" not in words


def test_calls_show_what_one_in_doubt_may_have_cost(aif: Terminal) -> None:
    aif.gateway.answers_with(f"GET {PIPELINES}/{EXECUTION}/history", history(calls=(CALL,)))

    said = aif("show", EXECUTION, "--calls")

    assert (
        "course  1    anthropic claude-x  first_try  in_doubt  0       up to $0.02  30.0 s  no answer within 30 s\n" in said.out
    )


def test_a_history_too_long_for_one_answer_is_read_page_by_page(aif: Terminal) -> None:
    aif.gateway.answers_with(
        f"GET {PIPELINES}/{EXECUTION}/history", history(attempts=(FAILED_ATTEMPT,), calls=(CALL,), truncated=True)
    )
    aif.gateway.answers_with(
        f"GET {PIPELINES}/{EXECUTION}/attempts",
        {"attempts": [FAILED_ATTEMPT], "next_cursor": "more"},
        {"attempts": [GOOD_ATTEMPT], "next_cursor": None},
    )
    aif.gateway.answers_with(f"GET {PIPELINES}/{EXECUTION}/calls", {"calls": [CALL, CALL], "next_cursor": None})

    said = aif("show", EXECUTION, "--attempts", "--calls")

    assert "Attempts: 2\n" in said.out
    assert "Provider calls: 2\n" in said.out
    assert aif.gateway.last(f"GET {PIPELINES}/{EXECUTION}/attempts").query == {"cursor": "more", "limit": "500"}


def test_show_finds_the_execution_of_a_request_and_prints_json_on_request(aif: Terminal) -> None:
    aif.gateway.answers_with(f"GET /api/kam/requests/{REQUEST}", {**ASKED_FOR, "execution": {"execution_id": EXECUTION}})
    aif.gateway.answers_with(f"GET {PIPELINES}/{EXECUTION}/history", history(calls=(CALL,)))

    said = aif("show", REQUEST, "--json")

    shown = json.loads(said.out)
    assert shown["execution"]["execution_id"] == EXECUTION
    assert shown["calls"][0]["outcome"] == "in_doubt"


RUNNING_ATTEMPT = msgspec.structs.replace(
    GOOD_ATTEMPT,
    outcome=AttemptOutcome.RUNNING,
    ended_at=None,
    grant=Grant(max_cost_usd="0.1"),
    metrics=Metrics(cost_usd="0.04"),
)


@pytest.mark.parametrize(
    ("limit", "attempts", "totals", "words"),
    [
        ("0.5", (FAILED_ATTEMPT,), {}, "$0.50, $0.4877 left"),
        ("0.5", (FAILED_ATTEMPT, RUNNING_ATTEMPT), {}, "$0.50, $0.4877 left, up to $0.06 of it for attempts under way"),
        ("0.05", (RUNNING_ATTEMPT,), {}, "$0.05, $0.0377 left, up to $0.0377 of it for attempts under way"),
        ("0.5", (), {"cost_is_complete": False}, "$0.50, at most $0.4877 left"),
        ("0.01", (), {}, "$0.01, $0.00 left"),
    ],
)
def test_show_tells_what_is_left_of_the_limit_that_the_order_named(
    aif: Terminal, limit: str, attempts: tuple[AttemptView, ...], totals: dict[str, Any], words: str
) -> None:
    spent = execution(totals=msgspec.structs.replace(TOTALS, **totals), max_cost_usd=limit)
    aif.gateway.answers_with(f"GET /api/kam/requests/{REQUEST}", {**ASKED_FOR, "max_cost_usd": limit})
    aif.gateway.answers_with(f"GET {PIPELINES}/{EXECUTION}/history", history(execution=spent, attempts=attempts))

    assert f"Limit      {words}\n" in aif("show", EXECUTION).out


def test_show_tells_no_limit_when_the_order_named_none(aif: Terminal) -> None:
    aif.gateway.answers_with(f"GET {PIPELINES}/{EXECUTION}/history", history(execution=execution(max_cost_usd="25")))

    assert "Limit" not in aif("show", EXECUTION).out


def test_a_stage_that_waits_for_a_person_is_shown_with_the_command_that_answers(aif: Terminal) -> None:
    waiting = execution(
        ExecutionStatus.AWAITING_APPROVAL, stages=(stage("course", StageStatus.AWAITING_APPROVAL), stage("quiz"))
    )
    aif.gateway.answers_with(f"GET {PIPELINES}/{EXECUTION}/history", history(execution=waiting))

    assert f"Next       aif approve {EXECUTION} --stage course\n" in aif("show", EXECUTION).out


def test_list_asks_for_what_the_filters_say(aif: Terminal) -> None:
    aif.gateway.answers_with(f"GET {PIPELINES}", {"pipelines": [], "executions": [execution()], "next_cursor": "abc"})

    said = aif(
        *("list", "--status", "completed", "--template", "educational_content_pipeline", "--text", "bees"),
        *("--since", "2026-05-01", "--until", "2026-05-02T12:00+02:00", "--limit", "1", "--cursor", "xyz"),
    )

    assert aif.gateway.last(f"GET {PIPELINES}").query == {
        "status": "completed",
        "template": "educational_content_pipeline",
        "text": "bees",
        "created_after": "2026-05-01T00:00:00.000Z",
        "created_before": "2026-05-02T10:00:00.000Z",
        "limit": "1",
        "cursor": "xyz",
    }
    assert said.out.splitlines() == [
        "EXECUTION                        ORDERED      STATUS     DONE   COST     TEMPLATE",
        f"{EXECUTION}  05-01 09:00  completed   60 %  $0.0123  educational_content_pipeline",
        "there are more: --cursor abc",
    ]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("list", "--since", "yesterday"), "--since: 'yesterday' is no time"),
        (("list", "--status", "lost"), "'lost' is not one of"),
        (("pause", "req_"), "'req_' is no id"),
        (("approve", "sched_1"), "'sched_1' is no id"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    aif: Terminal, words: tuple[str, ...], complaint: str
) -> None:
    said = aif(*words)

    assert said.code == 2
    assert complaint in said.err
    assert aif.gateway.asked == []


def test_pause_says_how_to_go_on(aif: Terminal) -> None:
    aif.gateway.answers_with(f"POST {PIPELINES}/{EXECUTION}/pause", execution(ExecutionStatus.PAUSED))

    said = aif("pause", EXECUTION, "--reason", "prices first")

    asked = aif.gateway.last(f"POST {PIPELINES}/{EXECUTION}/pause")
    assert said.out == f"{EXECUTION} is paused, 60 %\nto go on: aif resume {EXECUTION}\n"
    assert asked.json == {"reason": "prices first"}
    assert asked.headers["X-API-Key"] == "client-key"
    assert asked.headers["Idempotency-Key"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (ExecutionStatus.AWAITING_APPROVAL, f"to agree: aif approve {EXECUTION} --stage course\n"),
        (ExecutionStatus.RUNNING, f"to agree: aif approve {EXECUTION} --stage course\n"),
        (ExecutionStatus.PAUSED, f"to go on: aif resume {EXECUTION}\n"),
        (ExecutionStatus.FAILED, f"to try again: aif resume {EXECUTION}\n"),
        (ExecutionStatus.COMPENSATING, f"watch it: aif watch {EXECUTION}\n"),
        (ExecutionStatus.COMPLETED, ""),
    ],
)
def test_what_an_execution_waits_for_is_told_after_every_change_of_its_course(
    aif: Terminal, status: ExecutionStatus, words: str
) -> None:
    found = execution(status, stages=(stage("course", StageStatus.AWAITING_APPROVAL),))
    aif.gateway.answers_with(f"POST {PIPELINES}/{EXECUTION}/resume", {"execution": found, "kept": NOTHING_KEPT})
    aif.gateway.answers_with(f"POST {PIPELINES}/{EXECUTION}/reject", found)

    assert aif("resume", EXECUTION).out == f"{EXECUTION} is {status.value}, 60 %\n{words}"
    assert aif("reject", EXECUTION, "--stage", "quiz").out.endswith(f"is {status.value}, 60 %\n{words}")


def test_resume_prints_what_it_saved(aif: Terminal) -> None:
    resumed = {"execution": execution(ExecutionStatus.RUNNING, leg=2), "kept": KEPT}
    aif.gateway.answers_with(f"POST {PIPELINES}/{EXECUTION}/resume", resumed)

    said = aif("resume", EXECUTION)

    assert said.out == (
        "kept 2 stages: $0.0123, 4,210 tokens, 12.3 s not paid for again\n"
        f"{EXECUTION} is running, 60 %\n"
        f"watch it: aif watch {EXECUTION}\n"
    )


def test_resume_after_a_pause_has_nothing_to_save(aif: Terminal) -> None:
    resumed = {"execution": execution(ExecutionStatus.RUNNING), "kept": NOTHING_KEPT}
    aif.gateway.answers_with(f"POST {PIPELINES}/{EXECUTION}/resume", resumed)

    assert aif("resume", EXECUTION).out.startswith(f"{EXECUTION} is running")


def test_a_leg_that_keeps_nothing_says_so(aif: Terminal) -> None:
    resumed = {"execution": execution(ExecutionStatus.RUNNING, leg=2), "kept": NOTHING_KEPT}
    aif.gateway.answers_with(f"POST {PIPELINES}/{EXECUTION}/resume", resumed)

    assert aif("resume", EXECUTION).out.startswith("nothing was kept: every stage runs anew\n")


def test_a_refusal_ends_with_code_2(aif: Terminal) -> None:
    aif.gateway.refuses(f"POST {PIPELINES}/{EXECUTION}/resume", 409, "it is running: there is nothing to resume")

    said = aif("resume", EXECUTION)

    assert said.code == 2
    assert "it is running: there is nothing to resume" in said.err


@pytest.mark.parametrize(
    ("words", "verb", "sent", "told"),
    [
        (("approve", EXECUTION), "approve", {}, "the stage that waited is approved"),
        (
            ("approve", EXECUTION, "--stage", "course", "--comment", "fine"),
            "approve",
            {"stage_id": "course", "comment": "fine"},
            "course is approved",
        ),
        (
            ("reject", EXECUTION, "--stage", "course", "--reason", "too long"),
            "reject",
            {"stage_id": "course", "comment": "too long"},
            "course is rejected",
        ),
    ],
)
def test_a_decision_is_sent_with_stage_and_comment(
    aif: Terminal, words: tuple[str, ...], verb: str, sent: dict[str, str], told: str
) -> None:
    aif.gateway.answers_with(f"POST {PIPELINES}/{EXECUTION}/{verb}", execution(ExecutionStatus.RUNNING))

    said = aif(*words)

    assert said.out == f"{told}; {EXECUTION} is running, 60 %\nwatch it: aif watch {EXECUTION}\n"
    assert aif.gateway.last(f"POST {PIPELINES}/{EXECUTION}/{verb}").json == sent


def test_undoing_that_hangs_is_shown_with_the_command_that_gives_it_up(aif: Terminal) -> None:
    hangs = stage("compensate_seat", StageStatus.QUEUED, compensates="seat", reason="no worker named cleaner is running")
    waits = stage("compensate_room", StageStatus.WAITING, compensates="room")
    found = execution(ExecutionStatus.COMPENSATING, stages=(hangs, waits), not_undone=("hotel",))
    aif.gateway.answers_with(f"GET {PIPELINES}/{EXECUTION}/history", history(execution=found))
    aif.gateway.answers_with(f"GET /api/kam/requests/{REQUEST}", ASKED_FOR)
    after = execution(ExecutionStatus.COMPENSATING, stages=(waits,))
    aif.gateway.answers_with(f"POST {PIPELINES}/{EXECUTION}/skip-compensation", after)

    shown = aif("show", EXECUTION)
    said = aif("skip-compensation", EXECUTION, "--stage", "seat", "--comment", "by hand")

    assert f"aif skip-compensation {EXECUTION} --stage seat\n" in shown.out
    assert "--stage room" not in shown.out
    assert "Not undone  hotel\n" in shown.out
    assert said.out == (
        f"seat is not undone, and somebody has to look; {EXECUTION} is compensating, 60 %\nwatch it: aif watch {EXECUTION}\n"
    )
    asked = aif.gateway.last(f"POST {PIPELINES}/{EXECUTION}/skip-compensation")
    assert asked.json == {"stage_id": "seat", "comment": "by hand"}
    assert asked.headers["Idempotency-Key"]


def test_watch_tells_in_words_what_happens_and_who_is_wanted(aif: Terminal) -> None:
    request = {
        "request_id": REQUEST,
        "status": "failed",
        "client_id": "local",
        "created_at": "2026-05-01T09:00:00Z",
        "execution": {"execution_id": EXECUTION},
    }
    done = StepCompleted(step_name="course", attempt=1, tokens_used=Tokens(), cost_usd="0", processing_time_ms=1)
    aif.gateway.streams(
        f"GET {PIPELINES}/{EXECUTION}/events",
        streamed(
            WorkflowScheduled(template="t", version="1.0.0", start_at="2026-05-01T10:00:00.000Z"),
            WorkflowStarted(template="t", version="1.0.0", stages=("course",)),
            StepStarted(step_name="course", attempt=2, worker_name="w", action="a"),
            WorkflowPaused(reason="prices first"),
            WorkflowResumed(leg=1, kept=NOTHING_KEPT),
            done,
            StepAdded(step_name="optimise", added_by="course", worker_name="w", action="o", reason="120 > 100"),
            ApprovalRequested(step_name="course", message="Look at the price."),
            ApprovalDecided(step_name="course", approved=True, decided_by="key_1", comment="fine"),
            WorkflowFailed(code="c", message="it broke", totals=TOTALS),
            WorkflowResumed(leg=2, kept=KEPT),
            CompensationStarted(step_name="course", worker_name="w", action="discard"),
            CompensationFailed(step_name="course", code="gone", message="no such course"),
            CompensationCompleted(step_name="research", attempt=1, summary="removed"),
            WorkflowFailed(code="c", message="it broke again", totals=TOTALS, not_undone=("course",)),
        ),
    )
    aif.gateway.answers_with(f"GET {PIPELINES}/{EXECUTION}", execution(ExecutionStatus.FAILED))
    aif.gateway.answers_with(f"GET /api/kam/requests/{REQUEST}", request)

    said = aif("watch", EXECUTION)

    told = [line.split(" %  ", 1)[1] for line in said.out.splitlines() if " %  " in line]
    assert told == [
        f"workflow scheduled  t, starts at 2026-05-01 10:00:00; to call it off: aif cancel {EXECUTION}",
        "workflow started  t",
        "step started  course  by w, attempt 2",
        f"workflow paused  prices first; to go on: aif resume {EXECUTION}",
        "workflow resumed  goes on",
        "step completed  course",
        "step added  optimise  by a rule of course: w o, because 120 > 100",
        "approval requested  course  Look at the price.; "
        f"to agree: aif approve {EXECUTION} --stage course; not to: aif reject {EXECUTION} --stage course",
        "approval decided  course  approved by key_1: fine",
        "workflow failed  it broke",
        "workflow resumed  leg 2, kept 2 stages: $0.0123, 4,210 tokens, 12.3 s not paid for again",
        "compensation started  course  being undone by w discard",
        "compensation failed  course  what it did remains: gone: no such course",
        "compensation completed  research  undone: removed",
        "workflow failed  it broke again; not undone, somebody has to look: course",
    ]
    assert said.code == 1


def test_a_stream_that_ends_after_the_final_event_is_not_asked_for_again(aif: Terminal) -> None:
    request = {"request_id": REQUEST, "status": "completed", "client_id": "local", "created_at": "2026-05-01T09:00:00Z"}
    aif.gateway.streams(
        f"GET /api/kam/requests/{REQUEST}/events",
        streamed(WorkflowCompleted(status="completed", totals=TOTALS, deliverables=())),
    )
    aif.gateway.answers_with(f"GET /api/kam/requests/{REQUEST}", request)

    said = aif("watch", REQUEST)

    assert said.code == 0, said.err
    assert sum(asked.path.endswith("/events") for asked in aif.gateway.asked) == 1
