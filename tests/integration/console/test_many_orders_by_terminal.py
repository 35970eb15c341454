"""`aif order` of any pipeline and later, `aif batch`, `aif batches`, `aif schedules` against a stand-in of the gateway."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.gateway_stand_in import Terminal, gateway_stand_in, stored_pipeline

TEMPLATE: dict[str, Any] = {
    "name": "bees",
    "version": "1.0.0",
    "title": "Bees",
    "description": "",
    "structure_type": None,
    "parameters": {
        "type": "object",
        "properties": {
            "topic": {"type": "string"},
            "year": {"type": "string"},
            "questionCount": {"type": "integer"},
            "options": {"type": "object"},
        },
    },
    "stages": ["course"],
}
TOTALS = {
    "tokens_used": {},
    "cost_usd": "0",
    "cost_is_complete": True,
    "wall_time_ms": 1,
    "busy_time_ms": 1,
    "breakdown": {},
    "resource_usage": {},
    "attempts": 1,
}
FINISHED = (
    b"id: 1\ndata: "
    + json.dumps(
        {
            "id": "exec_1:1",
            "type": "aif.workflow_completed",
            "time": "2026-05-01T09:00:00.000Z",
            "subject": "exec_1",
            "sequence": 1,
            "clientid": "local",
            "progresspercent": 100,
            "data": {"event_type": "WORKFLOW_COMPLETED", "status": "completed", "totals": TOTALS, "deliverables": []},
        }
    ).encode()
    + b"\n\n"
)
ORDERED = {"request_id": "req_1", "execution_id": "exec_1", "status": "running"}
UPLOADED = {"source_id": "src_1", "title": "Bees", "words": 10, "headings": 2}


def batch(**counts: int) -> dict[str, Any]:
    ended = sum(count for status, count in counts.items() if status not in ("submitting", "running"))
    return {
        "batch_id": "batch_1",
        "selected_template": "bees",
        "created_at": "2026-05-01T09:00:00.000Z",
        "status": "ended" if ended == 3 else "running",
        "total": 3,
        "ended": ended,
        "counts": counts,
        "progress_percent": 40,
        "total_cost_usd": "0.012",
    }


@pytest.fixture
def aif(capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with gateway_stand_in() as gateway:
        gateway.answers_with("GET /api/kam/templates", {"templates": [TEMPLATE]})
        gateway.answers_with("GET /api/kam/pipelines/bees", stored_pipeline("bees", "1.0.0", TEMPLATE["parameters"]))
        gateway.answers_with("POST /api/kam/orders", ORDERED, status=202)
        gateway.answers_with("POST /api/kam/sources", UPLOADED, status=201)
        yield Terminal(gateway, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bees.md").write_text("# Bees")
    return tmp_path


@pytest.mark.parametrize("named", [("--pipeline", "bees"), ("bees",)])
def test_any_pipeline_is_ordered_with_parameters_of_the_types_that_it_wants(aif: Terminal, named: tuple[str, ...]) -> None:
    said = aif(
        *("order", *named, "--param", "topic=Bees = honey", "--param", "year=2026"),
        *("--param", "questionCount=5", "--param", 'options={"deep": true}', "--param", "unknown=true", "--no-watch"),
    )

    assert said.code == 0, said.err
    assert aif.gateway.last("POST /api/kam/orders").json == {
        "selected_template": "bees",
        "parameters": {
            "topic": "Bees = honey",
            "year": "2026",
            "questionCount": 5,
            "options": {"deep": True},
            "unknown": True,
        },
        "message": "bees",
        "urgency_level": "normal",
    }


@pytest.mark.parametrize(
    ("named", "told"),
    [
        (("course", "--pipeline", "bees"), "--pipeline: say either course or quiz"),
        ((), "--pipeline: say either course or quiz"),
        (("Bees!",), "NAME: 'Bees!' is no pipeline's name"),
        (("--pipeline", "Bees!"), "--pipeline: 'Bees!' is no pipeline's name"),
    ],
)
def test_what_is_ordered_is_named_once_and_by_a_name(aif: Terminal, named: tuple[str, ...], told: str) -> None:
    said = aif("order", *named, "--no-watch")

    assert (said.code, told in said.err) == (2, True)


def test_a_source_goes_to_any_pipeline(aif: Terminal, folder: Path) -> None:
    aif("order", "--pipeline", "bees", "--source", str(folder / "bees.md"), "--urgency", "high", "--no-watch")

    sent = aif.gateway.last("POST /api/kam/orders").json
    assert sent["parameters"] == {"source": "src_1"}
    assert sent["message"] == "bees from bees.md"
    assert sent["urgency_level"] == "high"


def test_a_delayed_order_is_not_watched_and_says_when_it_starts(aif: Terminal) -> None:
    said = aif("order", "quiz", "--topic", "Bees", "--at", "2126-05-01T11:00+02:00")

    assert said.code == 0, said.err
    assert "it starts at 2126-05-01 09:00:00; to call it off: aif cancel req_1\n" in said.out
    assert said.out.endswith("watch it: aif watch req_1\n")
    assert aif.gateway.last("POST /api/kam/orders").json["start_at"] == "2126-05-01T09:00:00.000Z"


def test_an_order_says_in_which_version_of_its_template(aif: Terminal) -> None:
    aif("order", "--pipeline", "bees", "--version", "1.0.0", "--no-watch")
    assert aif.gateway.last("POST /api/kam/orders").json["template_version"] == "1.0.0"

    aif("order", "--pipeline", "bees", "--no-watch")
    assert "template_version" not in aif.gateway.last("POST /api/kam/orders").json


def test_an_order_a_batch_and_a_schedule_say_what_an_execution_may_spend(aif: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text("{}")
    aif.gateway.answers_with("POST /api/kam/batches", batch(submitting=3), status=202)
    aif.gateway.answers_with("POST /api/kam/schedules", SCHEDULE, status=201)

    aif("order", "quiz", "--topic", "Bees", "--max-cost", "0.50", "--no-watch")
    aif("batch", "bees", str(folder / "in.jsonl"), "--max-cost", "$1", "--no-wait")
    aif("schedules", "add", "weekly quiz", "bees", "--cron", "0 6 * * 1", "--max-cost", "2.25")

    assert aif.gateway.last("POST /api/kam/orders").json["max_cost_usd"] == "0.5"
    assert aif.gateway.last("POST /api/kam/batches").json["max_cost_usd"] == "1"
    assert aif.gateway.last("POST /api/kam/schedules").json["max_cost_usd"] == "2.25"


def test_a_limit_above_the_operators_is_told_with_its_mend(aif: Terminal) -> None:
    mistake = {"field": "max_cost_usd", "message": "at most 25 USD, not 26", "mend": "Leave it out."}
    aif.gateway.refuses("POST /api/kam/orders", 422, "wrong", mistake)

    said = aif("order", "quiz", "--topic", "Bees", "--max-cost", "26")

    assert said.code == 2
    assert "max_cost_usd: at most 25 USD, not 26\n  -> Leave it out." in said.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("order",), "--pipeline"),
        (("order", "quiz", "--pipeline", "bees"), "only one of them"),
        (("order", "--pipeline", "../admin"), "no pipeline's name"),
        (("order", "--pipeline", "bees", "--param", "topic"), "--param name=value"),
        (("order", "--pipeline", "bees", "--param", "a=1", "--param", "a=2"), "a is given twice"),
        (("order", "quiz", "--topic", "Bees", "--at", "soon"), "--at: 'soon' is no time"),
        (("order", "quiz", "--topic", "Bees", "--max-cost", "cheap"), "--max-cost: 'cheap' is no amount"),
        (
            ("schedules", "add", "x", "bees", "--cron", "0 6 * * 1", "--max-cost", "0"),
            "--max-cost: an execution that may spend",
        ),
        (("schedules", "change", "sched_1"), "nothing is to be changed"),
        (("schedules", "change", "sched_1", "--param", "a=1", "--without", "a"), "--without: a is given, too"),
        (("schedules", "change", "sched_1", "--source", "bees.md", "--without", "source"), "--without: source is given, too"),
        (("schedules", "change", "sched_1", "--max-cost", "1", "--no-max-cost"), "--no-max-cost: --max-cost is given, too"),
        (("schedules", "change", "sched_1", "--template", "../x"), "no pipeline's name"),
        (("schedules", "change", "req_1", "--name", "x"), "sched_…"),
        (("batches", "show", "req_1"), "batch_…"),
        (("schedules", "pause", "x"), "sched_…"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_ordered(
    aif: Terminal, words: tuple[str, ...], complaint: str
) -> None:
    said = aif(*words)

    assert said.code == 2
    assert complaint in said.err
    assert aif.gateway.asked == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.csv", '\ufefftopic,year,questionCount\r\n"Bees, all",2026,5\r\nCats,,\r\n\r\n'),
        ("in.jsonl", '{"topic": "Bees, all", "year": "2026", "questionCount": 5}\n\n{"topic": "Cats"}\n'),
        ("in.json", '[{"topic": "Bees, all", "year": "2026", "questionCount": 5}, {"topic": "Cats"}]'),
    ],
)
def test_inputs_are_read_from_csv_json_lines_and_json(aif: Terminal, folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    aif.gateway.answers_with("POST /api/kam/batches", batch(submitting=2), status=202)

    said = aif("batch", "bees", str(folder / name), "--param", "questionCount=7", "--urgency", "low", "--no-wait")

    assert said.code == 0, said.err
    assert aif.gateway.last("POST /api/kam/batches").json == {
        "selected_template": "bees",
        "inputs": [{"topic": "Bees, all", "year": "2026", "questionCount": 5}, {"topic": "Cats"}],
        "parameters": {"questionCount": 7},
        "message": f"bees from {name}",
        "urgency_level": "low",
    }
    assert said.out == "batch_1: 3 orders placed\nwatch it: aif batches watch batch_1\n"


def test_sources_of_a_batch_are_files_beside_it_and_each_is_uploaded_once(aif: Terminal, folder: Path) -> None:
    (folder / "in.csv").write_text("source,topic\nbees.md,a\nbees.md,b\nsrc_9,c\n")
    aif.gateway.answers_with("POST /api/kam/batches", batch(submitting=3), status=202)

    aif("batch", "bees", str(folder / "in.csv"), "--no-wait")

    sent = aif.gateway.last("POST /api/kam/batches").json["inputs"]
    assert [each["source"] for each in sent] == ["src_1", "src_1", "src_9"]
    assert sum(asked.path == "/api/kam/sources" for asked in aif.gateway.asked) == 1


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("in.jsonl", '{"a": 1}\n{"a": }\n', "line 2, column 7"),
        ("in.jsonl", "{}\n[1]\n", "line 2 is no JSON object"),
        ("in.json", "[1]", "input 1 is no JSON object"),
        ("in.csv", "a,a\n1,2\n", "line 1: a column has no name"),
        ("in.csv", "a,b\n1,2,3\n", "line 2: more cells than columns"),
        ("in.csv", 'a\n"open\n', "line 2"),
        ("in.jsonl", "\n", "holds no input"),
        ("in.jsonl", "{}\n" * 1001, "1000 at most"),
        ("in.jsonl", '{"source": "gone.md"}', "inputs[0].source"),
    ],
)
def test_bad_input_files_are_told_with_their_place(
    aif: Terminal, folder: Path, name: str, content: str, complaint: str
) -> None:
    (folder / name).write_text(content)

    said = aif("batch", "bees", str(folder / name))

    assert said.code == 2
    assert complaint in said.err
    assert not [asked for asked in aif.gateway.asked if asked.method == "POST"]


def test_a_batch_is_followed_until_all_have_ended_and_tells_what_went_wrong(aif: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text("{}\n{}\n{}\n")
    request = {"request_id": "req_2", "status": "failed", "client_id": "local", "created_at": "2026-05-01T09:00:00Z"}
    item = {"index": 1, "request": {**request, "problem": {"code": "c", "message": "no modules"}}}
    aif.gateway.answers_with("POST /api/kam/batches", batch(submitting=3), status=202)
    aif.gateway.answers_with("GET /api/kam/batches/batch_1", batch(running=2, completed=1), batch(completed=2, failed=1))
    aif.gateway.answers_with("GET /api/kam/batches/batch_1/items", {"items": [item], "next_cursor": None})

    said = aif("batch", "bees", str(folder / "in.jsonl"))

    assert said.code == 1
    assert said.out.splitlines() == [
        "batch_1: 3 orders placed",
        "1 of 3 ended, 40 %, $0.012: 2 running, 1 completed",
        "3 of 3 ended, 40 %, $0.012: 2 completed, 1 failed",
        "INPUT  REQUEST  STATUS  WHY",
        "1      req_2    failed  no modules",
        "all of it: aif batches show batch_1",
    ]
    assert aif.gateway.last("GET /api/kam/batches/batch_1/items").query == {"status": "failed", "limit": "20"}


def test_a_batch_without_trouble_ends_with_code_0(aif: Terminal) -> None:
    aif.gateway.answers_with("GET /api/kam/batches/batch_1", batch(completed=2, partially_completed=1))

    said = aif("batches", "watch", "batch_1", "--json")

    assert said.code == 0
    assert json.loads(said.out)["counts"] == {"completed": 2, "partially_completed": 1}


def test_batches_are_listed_shown_and_cancelled(aif: Terminal) -> None:
    request = {"request_id": "req_1", "status": "running", "client_id": "local", "created_at": "2026-05-01T09:00:00Z"}
    item = {"index": 0, "request": {**request, "execution_status": "scheduled"}}
    aif.gateway.answers_with("GET /api/kam/batches", {"batches": [batch(running=3)], "next_cursor": None})
    aif.gateway.answers_with("GET /api/kam/batches/batch_1", batch(running=3))
    aif.gateway.answers_with("GET /api/kam/batches/batch_1/items", {"items": [item], "next_cursor": None})
    aif.gateway.answers_with("DELETE /api/kam/batches/batch_1", batch(cancelled=3))

    assert "batch_1  05-01 09:00  0 of 3  $0.012  bees\n" in aif("batches").out
    assert aif("batches", "show", "batch_1").out.endswith("0      req_1    scheduled\n")
    aif.gateway.answers_with("GET /api/kam/batches/batch_1", {**batch(running=3), "max_cost_usd": "0.5"})
    assert "Limit     $0.50 for each order\n" in aif("batches", "show", "batch_1").out
    assert aif("batches", "cancel", "batch_1").out == "batch_1: 3 of 3 ended, 40 %, $0.012: 3 cancelled\n"


SCHEDULE = {
    "schedule_id": "sched_1",
    "name": "weekly quiz",
    "status": "active",
    "selected_template": "bees",
    "parameters": {"topic": "Bees"},
    "cron": "0 6 * * 1",
    "timezone": "Europe/Vienna",
    "overlap": "skip",
    "next_at": "2026-05-04T04:00:00.000Z",
    "last_outcome": "refused",
    "last_fired_at": "2026-04-27T04:00:00.000Z",
    "last_request_id": "req_9",
    "last_problem": {"code": "order_refused", "message": "the template is gone"},
    "fired_count": 4,
    "skipped_count": 1,
}


def test_a_schedule_is_added_with_everything_that_an_order_has(aif: Terminal, folder: Path) -> None:
    aif.gateway.answers_with("POST /api/kam/schedules", SCHEDULE, status=201)

    said = aif(
        *("schedules", "add", "weekly quiz", "bees", "--cron", "0 6 * * 1", "--timezone", "Europe/Vienna"),
        *("--param", "questionCount=5", "--source", str(folder / "bees.md"), "--overlap", "allow"),
    )

    assert said.out == "sched_1 (weekly quiz) is active, next at 2026-05-04 04:00:00\n"
    assert aif.gateway.last("POST /api/kam/schedules").json == {
        "name": "weekly quiz",
        "selected_template": "bees",
        "parameters": {"questionCount": 5, "source": "src_1"},
        "cron": "0 6 * * 1",
        "timezone": "Europe/Vienna",
        "urgency_level": "normal",
        "message": "weekly quiz",
        "overlap": "allow",
    }


def test_a_cron_that_is_none_is_told_with_its_mend(aif: Terminal) -> None:
    mistake = {"field": "cron", "message": "has four fields", "mend": "Write five."}
    aif.gateway.refuses("POST /api/kam/schedules", 422, "wrong", mistake)

    said = aif("schedules", "add", "weekly", "bees", "--cron", "* * * *")

    assert said.code == 2
    assert "cron: has four fields\n  -> Write five." in said.err


def test_schedules_are_listed_and_shown(aif: Terminal) -> None:
    aif.gateway.answers_with("GET /api/kam/schedules", {"schedules": [SCHEDULE], "next_cursor": None})
    aif.gateway.answers_with("GET /api/kam/schedules/sched_1", SCHEDULE)

    listed, shown = aif("schedules"), aif("schedules", "show", "sched_1")

    assert "sched_1   0 6 * * 1 Europe/Vienna  2026-05-04 04:00  refused  weekly quiz: bees\n" in listed.out
    assert "Problem     order_refused: the template is gone\nSo far      4 orders, 1 skipped\n" in shown.out


KEPT = {
    "name": "weekly quiz",
    "selected_template": "bees",
    "parameters": {"topic": "Bees"},
    "cron": "0 6 * * 1",
    "timezone": "Europe/Vienna",
    "urgency_level": "high",
    "message": "for class 4b",
    "overlap": "skip",
    "max_cost_usd": "0.5",
    "workspace_id": "school",
}


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (("--cron", "0 7 * * 2"), {"cron": "0 7 * * 2"}),
        (
            ("--timezone", "UTC", "--overlap", "allow", "--urgency", "low"),
            {"timezone": "UTC", "overlap": "allow", "urgency_level": "low"},
        ),
        (("--name", "daily quiz"), {"name": "daily quiz"}),
        (("--template", "wasps"), {"selected_template": "wasps"}),
        (("--param", "questionCount=5"), {"parameters": {"topic": "Bees", "questionCount": 5}}),
        (("--param", "year=2026", "--without", "topic"), {"parameters": {"year": "2026"}}),
        (("--max-cost", "0.75"), {"max_cost_usd": "0.75"}),
        (("--cron", ""), {"cron": ""}),
    ],
)
def test_a_schedule_is_changed_in_what_is_named_alone(aif: Terminal, words: tuple[str, ...], changed: dict[str, Any]) -> None:
    aif.gateway.answers_with("GET /api/kam/schedules/sched_1", {**SCHEDULE, **KEPT})
    aif.gateway.answers_with("PUT /api/kam/schedules/sched_1", SCHEDULE)

    said = aif("schedules", "change", "sched_1", *words)

    assert said.code == 0, said.err
    assert said.out == "sched_1 (weekly quiz) is active, next at 2026-05-04 04:00:00\n"
    assert aif.gateway.last("PUT /api/kam/schedules/sched_1").json == {**KEPT, **changed}


def test_a_schedule_can_have_another_document_and_the_operators_limit_again(aif: Terminal, folder: Path) -> None:
    aif.gateway.answers_with("GET /api/kam/schedules/sched_1", {**SCHEDULE, **KEPT})
    aif.gateway.answers_with("PUT /api/kam/schedules/sched_1", SCHEDULE)

    aif("schedules", "change", "sched_1", "--source", str(folder / "bees.md"), "--no-max-cost")

    sent = aif.gateway.last("PUT /api/kam/schedules/sched_1").json
    assert sent["parameters"] == {"topic": "Bees", "source": "src_1"}
    assert "max_cost_usd" not in sent


def test_what_a_schedule_says_about_itself_follows_its_name(aif: Terminal) -> None:
    aif.gateway.answers_with("GET /api/kam/schedules/sched_1", {**SCHEDULE, **KEPT, "message": "weekly quiz"})
    aif.gateway.answers_with("PUT /api/kam/schedules/sched_1", SCHEDULE)

    aif("schedules", "change", "sched_1", "--name", "daily quiz")

    assert aif.gateway.last("PUT /api/kam/schedules/sched_1").json["message"] == "daily quiz"


def test_the_limit_of_a_schedule_is_shown(aif: Terminal) -> None:
    aif.gateway.answers_with("GET /api/kam/schedules/sched_1", {**SCHEDULE, "max_cost_usd": "0.5"})

    assert "Limit       $0.50 for each order\n" in aif("schedules", "show", "sched_1").out


def test_schedules_are_paused_resumed_and_removed(aif: Terminal) -> None:
    aif.gateway.answers_with("POST /api/kam/schedules/sched_1/pause", {**SCHEDULE, "status": "paused", "next_at": None})
    aif.gateway.answers_with("POST /api/kam/schedules/sched_1/resume", SCHEDULE)
    aif.gateway.answers_with("DELETE /api/kam/schedules/sched_1", SCHEDULE)

    assert aif("schedules", "pause", "sched_1").out == "sched_1 (weekly quiz) is paused\n"
    assert aif("schedules", "resume", "sched_1").out == "sched_1 (weekly quiz) is active, next at 2026-05-04 04:00:00\n"
    assert aif("schedules", "remove", "sched_1").out == "sched_1 (weekly quiz) is removed; what it ordered stays\n"


def test_every_deliverable_of_a_pipeline_is_printed_and_saved(aif: Terminal, folder: Path) -> None:
    made = [
        {"deliverable_id": f"dlv_{name}", "name": name, "title": name, "media_type": "application/json", "size_bytes": 9}
        for name in ("course", "quiz")
    ]
    request = {"request_id": "req_1", "status": "completed", "client_id": "local", "created_at": "2026-05-01T09:00:00Z"}
    aif.gateway.streams("GET /api/kam/requests/req_1/events", FINISHED)
    aif.gateway.answers_with("GET /api/kam/requests/req_1", {**request, "deliverables": made})
    aif.gateway.answers_with("GET /api/kam/deliverables/dlv_course", {"is": "a course"})
    aif.gateway.answers_with("GET /api/kam/deliverables/dlv_quiz", {"is": "a quiz"})

    said = aif("order", "--pipeline", "bees", "--out", str(folder / "course.json"), "--data", str(folder))

    quiz = folder / "deliverables" / "quiz-req_1.json"
    assert said.code == 0, said.err
    assert json.loads((folder / "course.json").read_text()) == {"is": "a course"}
    assert json.loads(quiz.read_text()) == {"is": "a quiz"}
    assert said.out.index('"a course"') < said.out.index('"a quiz"') < said.out.index(f"Saved      {folder / 'course.json'}")
    assert said.out.endswith(f"Saved      {quiz}\n")


def test_a_request_of_unknown_cost_does_not_look_free(aif: Terminal) -> None:
    known = {"request_id": "req_1", "status": "completed", "client_id": "local", "created_at": "2026-05-01T09:00:00.000Z"}
    unknown = {**known, "request_id": "req_2", "totals": {**TOTALS, "cost_is_complete": False}, "total_cost_usd": "0"}
    free = {**known, "totals": TOTALS, "total_cost_usd": "0"}
    aif.gateway.answers_with("GET /api/kam/requests", {"requests": [unknown, free], "next_cursor": None})

    said = aif("requests")

    first, second = said.out.splitlines()
    assert "unknown" in first
    assert "$0.00" in second
