"""`aif pipelines`, `aif workers`, `aif dead-letters` against a stand-in of the gateway."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aif_contracts.pipelines import PipelineDocument, PipelineView
from aif_pipelines.loading import dump_pipeline, load_pipeline, pipeline_digest
from support.gateway_stand_in import Terminal, gateway_stand_in

DOCUMENT = """\
name: bees
version: "1.2.0"
title: Bees
parameters: {type: object, properties: {topic: {type: string, description: What about.}}, required: [topic]}
stages:
  - id: course
    worker: content_granulator
    action: structure_course
    when: len(params.topic) > 2
    input: {topic: "{{params.topic}}", note: "1e5", other: "yes", empty: "", sign: "+", lines: "a\\nb: c"}
    compensate: {worker: content_granulator, action: discard}
    rules:
      - {condition: "course.element_count > 100", action: approve, message: Look at it.}
      - condition: "course.element_count > 50"
        action: add_stage
        stage: {id: optimise, worker: content_optimizer, action: optimize_large_structure, input: "{{course}}"}
output: [{name: course, stage: course, title: Course}]
"""
SAVED = {"name": "bees", "version": "1.2.0", "owner": "local", "digest": "0" * 64, "is_new": True, "notes": []}
LETTER = {
    "dead_letter_id": "dead_01M7YE2MWNEN0Z8K1JWNGR7Q8W",
    "origin": "reports",
    "subject": "aif.report.maker",
    "reason": "Invalid value 'nope' - at $.type",
    "found_by": "orchestrator",
    "found_at": "2026-05-01T09:00:00.000Z",
    "deliveries": 1,
    "size_bytes": 15,
    "status": "waiting",
}


@pytest.fixture
def aif(capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with gateway_stand_in() as gateway:
        yield Terminal(gateway, capsys)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    file = tmp_path / "bees.yaml"
    file.write_text(DOCUMENT)
    return file


def stored(**changes: Any) -> PipelineView:
    pipeline = load_pipeline(DOCUMENT)
    given: dict[str, Any] = {
        "name": "bees",
        "version": "1.2.0",
        "owner": "local",
        "title": "Bees",
        "description": "",
        "digest": pipeline_digest(pipeline),
        "created_at": "2026-05-01T09:00:00.000Z",
        "offered": True,
        "stages": ("course",),
    }
    return PipelineView(**{**given, **changes})


def test_mistakes_are_told_with_place_and_mend_and_nothing_is_asked(aif: Terminal, document: Path) -> None:
    document.write_text(DOCUMENT.replace("{{params.topic}}", "{{params.topik}}"))

    said = aif("pipelines", "check", str(document))

    assert said.code == 2
    assert said.out.startswith(f"{document}:10:20\n  stages[0].input.topic: ")
    assert said.out.endswith("\n  -> Did you mean topic?\n1 mistake\n")
    assert aif.gateway.asked == []


def test_a_sound_document_is_put_to_the_factory_without_being_stored(aif: Terminal, document: Path) -> None:
    aif.gateway.answers_with("POST /api/kam/pipelines", {**SAVED, "notes": ["no worker offers discard now"]})

    said = aif("pipelines", "check", str(document), "--without-workers")

    asked = aif.gateway.last("POST /api/kam/pipelines")
    assert said.out == f"{document}: bees 1.2.0 is sound\nnote: no worker offers discard now\n"
    assert asked.query == {"dry_run": "true", "require_workers": "false"}
    assert asked.headers["Content-Type"] == "application/yaml"
    assert asked.body == DOCUMENT.encode()


def test_what_the_factory_finds_wrong_is_told_with_its_place(aif: Terminal, document: Path) -> None:
    mistake = {"field": "stages[0].action", "message": "nobody offers it", "mend": "Start a worker that does."}
    aif.gateway.refuses("POST /api/kam/pipelines", 422, "the pipeline is not sound", mistake)

    said = aif("pipelines", "check", str(document))

    assert said.code == 2
    assert "stages[0].action: nobody offers it\n  -> Start a worker that does." in said.err


@pytest.mark.parametrize("options", [("--offline",), ()])
def test_check_works_without_a_factory(aif: Terminal, document: Path, options: tuple[str, ...]) -> None:
    said = aif("pipelines", "check", str(document), "--data", str(document.parent), *options, AIF_URL="")

    assert said.code == 0
    assert said.out.startswith(f"{document}: bees 1.2.0 is sound\nnote: no factory was asked")
    assert aif.gateway.asked == []


def test_a_factory_that_was_named_has_to_answer(aif: Terminal, document: Path) -> None:
    said = aif("pipelines", "check", str(document), "--url", "http://127.0.0.1:9")

    assert said.code == 3


def test_a_document_is_saved_for_the_client_once_it_is_known_whose_it_becomes(aif: Terminal, document: Path) -> None:
    aif.gateway.answers_with("POST /api/kam/pipelines", SAVED)

    said = aif("pipelines", "save", str(document))

    assert said.out == "bees 1.2.0 stored, for local\norder it: aif order --pipeline bees\n"
    assert [asked.query["dry_run"] for asked in aif.gateway.asked] == ["true", "false"]
    assert aif.gateway.asked[0].headers["X-API-Key"] == "client-key"


def test_for_everybody_takes_the_operators_key(aif: Terminal, document: Path) -> None:
    aif.gateway.answers_with("POST /api/kam/pipelines", {**SAVED, "owner": None, "is_new": False})

    said = aif("pipelines", "save", str(document), "--for-everybody")

    assert said.out.startswith("bees 1.2.0 was stored before, for everybody\n")
    assert aif.gateway.asked[0].headers["X-API-Key"] == "operator-key"


@pytest.mark.parametrize(
    ("options", "owner", "complaint"),
    [(("--for-everybody",), "local", "use the operator's key"), ((), None, "say --for-everybody")],
)
def test_a_key_that_would_store_it_for_somebody_else_stores_nothing(
    aif: Terminal, document: Path, options: tuple[str, ...], owner: str | None, complaint: str
) -> None:
    aif.gateway.answers_with("POST /api/kam/pipelines", {**SAVED, "owner": owner})

    said = aif("pipelines", "save", str(document), *options)

    assert said.code == 2
    assert complaint in said.err
    assert [asked.query["dry_run"] for asked in aif.gateway.asked] == ["true"]


def test_an_unsound_document_is_not_sent(aif: Terminal, document: Path) -> None:
    document.write_text("name: bees\n")

    said = aif("pipelines", "save", str(document))

    assert said.code == 2
    assert "stages" in said.out
    assert aif.gateway.asked == []


def test_pipelines_are_listed_when_no_command_is_named(aif: Terminal) -> None:
    page = {"pipelines": [stored(), stored(name="cats", owner=None, offered=False)], "next_cursor": None}
    aif.gateway.answers_with("GET /api/kam/pipelines", page)

    said = aif("pipelines", "--limit", "7")

    assert said.out.splitlines() == [
        "NAME  VERSION              OF         STORED      STAGES",
        "bees  1.2.0                local      2026-05-01  course",
        "cats  1.2.0 (not offered)  everybody  2026-05-01  course",
    ]
    assert aif.gateway.last("GET /api/kam/pipelines").query == {"limit": "7"}


def test_a_pipeline_is_shown_with_parameters_stages_and_rules(aif: Terminal) -> None:
    document = PipelineDocument(pipeline=stored(), document=json.loads(dump_pipeline(load_pipeline(DOCUMENT))))
    aif.gateway.answers_with("GET /api/kam/pipelines/bees", msgspec.to_builtins(document))

    said = aif("pipelines", "show", "bees", "--version", "1.2.0")

    words = " ".join(said.out.split())
    assert "topic string, required. What about." in words
    assert (
        "course content_granulator structure_course, up to 3 attempts of 120 s, undone by content_granulator discard" in words
    )
    assert "only when len(params.topic) > 2" in words
    assert "rule course.element_count > 100 -> ask a person: Look at it." in words
    assert "-> add optimise: content_optimizer optimize_large_structure" in words
    assert aif.gateway.last("GET /api/kam/pipelines/bees").query == {"version": "1.2.0"}


def test_the_yaml_of_a_pipeline_reads_back_as_the_same_pipeline(aif: Terminal) -> None:
    pipeline = load_pipeline(DOCUMENT)
    document = PipelineDocument(pipeline=stored(), document=json.loads(dump_pipeline(pipeline)))
    aif.gateway.answers_with("GET /api/kam/pipelines/bees", msgspec.to_builtins(document))

    said = aif("pipelines", "show", "bees", "--yaml")

    assert load_pipeline(said.out) == pipeline


def test_a_name_that_is_none_is_not_sent(aif: Terminal) -> None:
    said = aif("pipelines", "show", "../admin")

    assert said.code == 2
    assert aif.gateway.asked == []


def test_workers_are_shown_with_what_they_offer(aif: Terminal) -> None:
    worker = {
        "worker_name": "content_granulator",
        "instance_id": "granulator_7f",
        "version": "0.1.0",
        "actions": [{"name": "structure_course", "paid": True}, {"name": "discard", "paid": False}],
        "capabilities": ["structuring"],
        "slots": 4,
    }
    aif.gateway.answers_with("GET /api/kam/workers", {"workers": [worker]})

    said = aif("workers")

    assert said.out.splitlines()[1] == (
        "content_granulator  granulator_7f  0.1.0    4      structure_course (may cost), discard; can structuring"
    )


def test_without_workers_it_is_said_that_stages_wait(aif: Terminal) -> None:
    aif.gateway.answers_with("GET /api/kam/workers", {"workers": []})

    assert aif("workers").out == "no worker is alive: stages wait until one is\n"


def test_dead_letters_are_for_the_operator(aif: Terminal) -> None:
    aif.gateway.answers_with("GET /api/admin/dead-letters", {"dead_letters": [LETTER], "next_cursor": None})

    said = aif("dead-letters", "--status", "waiting", "--origin", "reports")

    asked = aif.gateway.last("GET /api/admin/dead-letters")
    assert asked.headers["X-API-Key"] == "operator-key"
    assert asked.query == {"status": "waiting", "origin": "reports", "limit": "20"}
    assert f"{LETTER['dead_letter_id']}  05-01 09:00  waiting  reports  Invalid value 'nope' - at $.type" in said.out


@pytest.mark.parametrize(
    ("payload", "shown"),
    [(b'{"type":"nope"}', '{\n  "type": "nope"\n}\n'), (b"not \x1b[2J json", "not  [2J json\n"), (b"\xff\xfe", "//4=\n")],
)
def test_a_dead_letter_is_shown_with_its_bytes(aif: Terminal, payload: bytes, shown: str) -> None:
    content = {"dead_letter": LETTER, "headers": {"Nats-Msg-Id": "m1"}, "payload": base64.b64encode(payload).decode()}
    aif.gateway.answers_with(f"GET /api/admin/dead-letters/{LETTER['dead_letter_id']}", content)

    said = aif("dead-letters", "show", str(LETTER["dead_letter_id"]))

    assert "Nats-Msg-Id  m1\n" in said.out
    assert said.out.endswith(f"\n\n{shown}")


@pytest.mark.parametrize(("verb", "status"), [("replay", "replayed"), ("dismiss", "dismissed")])
def test_a_dead_letter_is_decided_about(aif: Terminal, verb: str, status: str) -> None:
    letter_id = str(LETTER["dead_letter_id"])
    aif.gateway.answers_with(
        f"POST /api/admin/dead-letters/{letter_id}/{verb}", {**LETTER, "status": status, "decided_by": "key_1"}
    )

    assert aif("dead-letters", verb, letter_id).out == f"{letter_id} is {status} by key_1\n"


@pytest.mark.parametrize(
    ("options", "query", "said"),
    [
        (["--origin", "reports"], {"origin": "reports"}, "dead letters of reports dismissed: 2\n"),
        ([], {}, "dead letters dismissed: 2\n"),
        (["--json"], {}, '{"dismissed":2}\n'),
    ],
)
def test_all_dead_letters_that_wait_are_dismissed_page_by_page(
    aif: Terminal, options: list[str], query: dict[str, str], said: str
) -> None:
    first, second = f"dead_{'1' * 26}", f"dead_{'2' * 26}"
    aif.gateway.answers_with(
        "GET /api/admin/dead-letters",
        {"dead_letters": [{**LETTER, "dead_letter_id": first}], "next_cursor": "7"},
        {"dead_letters": [{**LETTER, "dead_letter_id": second}], "next_cursor": None},
    )
    for letter_id in (first, second):
        aif.gateway.answers_with(f"POST /api/admin/dead-letters/{letter_id}/dismiss", {**LETTER, "status": "dismissed"})

    assert aif("dead-letters", "dismiss", "--all", *options).out == said

    asked = aif.gateway.last("GET /api/admin/dead-letters")
    assert asked.query == {"status": "waiting", "limit": "100", "cursor": "7", **query}
    assert aif.gateway.last(f"POST /api/admin/dead-letters/{first}/dismiss").headers["X-API-Key"] == "operator-key"
    assert aif.gateway.last(f"POST /api/admin/dead-letters/{second}/dismiss").headers["X-API-Key"] == "operator-key"


@pytest.mark.parametrize("words", [[], ["dead_1", "--all"], ["dead_1", "--origin", "reports"], ["--origin", "reports"]])
def test_one_dead_letter_or_all_have_to_be_named_for_dismissal(aif: Terminal, words: list[str]) -> None:
    said = aif("dead-letters", "dismiss", *words)

    assert said.code == 2
    assert "Give the id of one, or --all, which --origin narrows." in said.err
