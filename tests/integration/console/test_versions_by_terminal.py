"""`aif order`, `aif batch`, `aif schedules`, `aif simulate` of an older version of a template than the newest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.gateway_stand_in import Terminal, gateway_stand_in, stored_pipeline

ORDERED = {"request_id": "req_1", "execution_id": "exec_1", "status": "running"}
BATCH = {
    "batch_id": "batch_1",
    "selected_template": "bees",
    "template_version": "1.0.0",
    "created_at": "2026-05-01T09:00:00.000Z",
    "status": "running",
    "total": 1,
    "ended": 0,
    "counts": {"running": 1},
    "progress_percent": 0,
    "total_cost_usd": "0",
}
SCHEDULE = {
    "schedule_id": "sched_1",
    "name": "weekly quiz",
    "status": "active",
    "selected_template": "bees",
    "template_version": "1.0.0",
    "parameters": {},
    "cron": "0 6 * * 1",
    "timezone": "UTC",
    "overlap": "skip",
    "urgency_level": "normal",
}
TYPED_BY_THE_OLDER = ("--param", "code=007", "--param", "hives=3", "--param", "source_text=2026")
AS_IN_THE_OLDER = {"code": "007", "hives": 3, "source_text": "2026"}


def schema(**kinds: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": kind} for name, kind in kinds.items()}}


def template() -> dict[str, Any]:
    parameters = schema(code="integer", hives="string", source="string", source_text="string")
    return {
        "name": "bees",
        "version": "2.0.0",
        "title": "Bees",
        "description": "",
        "structure_type": None,
        "parameters": parameters,
        "stages": ["course"],
    }


@pytest.fixture
def aif(capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with gateway_stand_in() as gateway:
        gateway.answers_with("GET /api/kam/templates", {"templates": [template()]})
        older = schema(code="string", hives="integer", source="object")
        gateway.answers_with("GET /api/kam/pipelines/bees", stored_pipeline("bees", "1.0.0", older))
        gateway.answers_with("POST /api/kam/orders", ORDERED, status=202)
        gateway.answers_with("POST /api/kam/batches", BATCH, status=202)
        gateway.answers_with("POST /api/kam/schedules", SCHEDULE, status=201)
        gateway.answers_with("GET /api/kam/schedules/sched_1", SCHEDULE)
        gateway.answers_with("PUT /api/kam/schedules/sched_1", SCHEDULE)
        yield Terminal(gateway, capsys)


def test_parameters_of_an_order_are_of_the_types_that_its_version_wants(aif: Terminal) -> None:
    said = aif("order", "bees", "--version", "1.0.0", *TYPED_BY_THE_OLDER, "--no-watch")

    assert said.code == 0, said.err
    assert aif.gateway.last("GET /api/kam/pipelines/bees").query == {"version": "1.0.0"}
    assert aif.gateway.last("POST /api/kam/orders").json["parameters"] == AS_IN_THE_OLDER


def test_a_simulation_reads_parameters_as_its_version_wants_them(aif: Terminal) -> None:
    mistake = {"field": "code", "message": "is unknown", "mend": "Leave it out."}
    aif.gateway.refuses("POST /api/kam/templates/bees/simulate", 422, "wrong", mistake)

    aif("simulate", "bees", "--version", "1.0.0", *TYPED_BY_THE_OLDER)

    assert aif.gateway.last("POST /api/kam/templates/bees/simulate").json["parameters"] == AS_IN_THE_OLDER


def test_a_batch_is_of_the_version_that_is_named(aif: Terminal, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("code,hives\n007,3\n")

    said = aif("batch", "bees", str(tmp_path / "in.csv"), "--version", "1.0.0", "--param", "source_text=2026", "--no-wait")

    assert said.code == 0, said.err
    sent = aif.gateway.last("POST /api/kam/batches").json
    assert sent["template_version"] == "1.0.0"
    assert (sent["inputs"], sent["parameters"]) == ([{"code": "007", "hives": 3}], {"source_text": "2026"})


def test_a_batch_tells_its_version(aif: Terminal) -> None:
    aif.gateway.answers_with("GET /api/kam/batches/batch_1", BATCH)
    aif.gateway.answers_with("GET /api/kam/batches/batch_1/items", {"items": [], "next_cursor": None})

    assert "Template  bees 1.0.0\n" in aif("batches", "show", "batch_1").out


def test_a_schedule_stays_with_the_version_that_is_named(aif: Terminal) -> None:
    said = aif("schedules", "add", "weekly", "bees", "--cron", "0 6 * * 1", "--version", "1.0.0", *TYPED_BY_THE_OLDER)

    assert said.code == 0, said.err
    sent = aif.gateway.last("POST /api/kam/schedules").json
    assert (sent["template_version"], sent["parameters"]) == ("1.0.0", AS_IN_THE_OLDER)


def test_a_schedule_tells_its_version(aif: Terminal) -> None:
    assert "Template    bees 1.0.0\n" in aif("schedules", "show", "sched_1").out


@pytest.mark.parametrize(
    ("words", "version"),
    [
        (("--cron", "0 7 * * 1"), "1.0.0"),
        (("--template", "bees"), "1.0.0"),
        (("--version", "2.0.0"), "2.0.0"),
        (("--newest-version",), None),
        (("--template", "wasps"), None),
        (("--template", "wasps", "--version", "4.0.0"), "4.0.0"),
    ],
)
def test_a_changed_schedule_keeps_its_version_until_another_version_or_template_is_named(
    aif: Terminal, words: tuple[str, ...], version: str | None
) -> None:
    said = aif("schedules", "change", "sched_1", *words)

    assert said.code == 0, said.err
    assert aif.gateway.last("PUT /api/kam/schedules/sched_1").json.get("template_version") == version


def test_parameters_of_a_changed_schedule_are_read_as_the_version_that_it_keeps_wants_them(aif: Terminal) -> None:
    aif("schedules", "change", "sched_1", *TYPED_BY_THE_OLDER)

    assert aif.gateway.last("PUT /api/kam/schedules/sched_1").json["parameters"] == AS_IN_THE_OLDER


def test_a_version_and_the_newest_are_not_asked_for_together(aif: Terminal) -> None:
    said = aif("schedules", "change", "sched_1", "--version", "1.0.0", "--newest-version")

    assert (said.code, "--newest-version: --version is given, too" in said.err) == (2, True)


def test_an_unknown_version_is_the_factorys_to_tell(aif: Terminal) -> None:
    mistake = {"field": "template_version", "message": "there is no version '9' of bees", "mend": "Leave it out."}
    aif.gateway.refuses("GET /api/kam/pipelines/bees", 404, "there is no version 9")
    aif.gateway.refuses("POST /api/kam/orders", 422, "wrong", mistake)

    said = aif("order", "bees", "--version", "9", "--param", "code=7", "--no-watch")

    assert (said.code, "template_version: there is no version '9' of bees" in said.err) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        ("order", "bees", "--source", "bees.md", "--no-watch"),
        ("simulate", "bees", "--source", "bees.md"),
        ("batch", "bees", "in.csv", "--no-wait"),
        ("schedules", "add", "weekly", "bees", "--cron", "0 6 * * 1", "--source", "bees.md"),
        ("schedules", "change", "sched_1", "--source", "bees.md"),
    ],
)
def test_no_document_is_sent_for_a_version_that_there_is_not(
    aif: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bees.md").write_text("# Bees")
    (tmp_path / "in.csv").write_text("source\nbees.md\n")
    aif.gateway.refuses("GET /api/kam/pipelines/bees", 404, "there is no pipeline bees 9; its newest versions are 2.0.0")

    said = aif(*words, "--version", "9")

    assert (said.code, "there is no pipeline bees 9; its newest versions are 2.0.0" in said.err) == (2, True)
    assert [asked.path for asked in aif.gateway.asked if asked.method != "GET"] == []
