"""`aif calls` and `aif audit` against a stand-in of the gateway."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.gateway_stand_in import Terminal, gateway_stand_in

CALLS = "GET /api/admin/calls"
VERIFY = "POST /api/admin/audit/verify"
HEAD = {"sequence": 7, "hash": "b" * 64}
DOUBTED: dict[str, Any] = {
    "call": {
        "call_key": "exec_1.outline.1.1",
        "execution_id": "exec_1",
        "client_id": "acme",
        "stage_id": "outline",
        "attempt": 1,
        "worker_name": "maker",
        "provider": "openai",
        "model": "gpt-5-mini",
        "purpose": "first_try",
        "outcome": "in_doubt",
        "upper_bound_usd": "0.5",
    },
    "booked_at": "2026-05-01T09:00:00.000Z",
}
ROW = {
    "sequence": 7,
    "entry": {
        "audit_id": "a7",
        "action": "BUDGET_CHANGED",
        "severity": "info",
        "actor": "key_1",
        "occurred_at": "2026-05-01T09:00:00Z",
        "details": {"limit_usd": "25"},
        "client_id": "acme",
    },
    "recorded_at": "2026-05-01T09:00:01.000Z",
    "sealed_with": "sha256",
    "previous_hash": "a" * 64,
    "hash": "b" * 64,
}


@pytest.fixture
def aif(capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with gateway_stand_in() as gateway:
        yield Terminal(gateway, capsys)


def test_calls_in_doubt_are_listed_with_what_they_can_have_cost(aif: Terminal) -> None:
    aif.gateway.answers_with(CALLS, {"calls": [DOUBTED], "next_cursor": None})

    said = aif("calls", "--in-doubt", "--provider", "openai", "--since", "2026-05-01T00:00Z")

    asked = aif.gateway.last(CALLS)
    assert asked.headers["X-API-Key"] == "operator-key"
    assert asked.query == {"limit": "50", "in_doubt": "true", "provider": "openai", "from": "2026-05-01T00:00:00.000Z"}
    assert "exec_1.outline.1.1  2026-05-01 09:00:00  gpt-5-mini  in_doubt  0       at most $0.50" in said.out


def test_no_call_in_doubt_is_said_so(aif: Terminal) -> None:
    aif.gateway.answers_with(CALLS, {"calls": [], "next_cursor": None})

    assert aif("calls", "--in-doubt").out == "no call is in doubt\n"


def test_what_is_rare_is_looked_for_behind_pages_without_a_call(aif: Terminal) -> None:
    empty, second = {"calls": [], "next_cursor": "7/"}, {"calls": [DOUBTED], "next_cursor": "8/"}
    aif.gateway.answers_with(CALLS, empty, second, {"calls": [DOUBTED], "next_cursor": "9/"})

    said = aif("calls", "--model", "gpt-5-mini", "--limit", "2")

    assert said.out.count("exec_1.outline.1.1") == 2
    assert "these are the first 2" in said.out
    assert [(asked.query["limit"], asked.query.get("cursor")) for asked in aif.gateway.asked] == [
        ("2", None),
        ("2", "7/"),
        ("1", "8/"),
    ]


def test_a_call_is_settled_by_what_the_operator_knows(aif: Terminal) -> None:
    settled = {**DOUBTED, "call": {**DOUBTED["call"], "cost_usd": "0.25", "basis": "statement"}}
    aif.gateway.answers_with("POST /api/admin/calls/exec_1.outline.1.1/settle", settled)

    said = aif("calls", "settle", "exec_1.outline.1.1", "--cost", "0.25", "--note", "invoice 7")

    body = aif.gateway.last("POST /api/admin/calls/exec_1.outline.1.1/settle").json
    assert body == {"billed": True, "note": "invoice 7", "cost_usd": "0.25"}
    assert said.out == "exec_1.outline.1.1 has cost $0.25 by statement\n"


@pytest.mark.parametrize("words", [(), ("--cost", "1", "--not-billed"), ("--cost", "much")])
def test_a_settlement_that_says_nothing_or_two_things_is_refused(aif: Terminal, words: tuple[str, ...]) -> None:
    said = aif("calls", "settle", "exec_1.outline.1.1", "--note", "n", *words)

    assert said.code == 2
    assert "--cost" in said.err
    assert aif.gateway.asked == []


def test_the_log_is_listed(aif: Terminal) -> None:
    aif.gateway.answers_with("GET /api/admin/audit", {"rows": [ROW], "next_cursor": None})

    said = aif("audit", "--action", "BUDGET_CHANGED", "--client", "acme")

    assert aif.gateway.last("GET /api/admin/audit").query == {"limit": "20", "action": "BUDGET_CHANGED", "client_id": "acme"}
    assert '7    2026-05-01 09:00:01  BUDGET_CHANGED  key_1  acme    {"limit_usd":"25"}' in said.out


def test_a_whole_log_is_verified_part_for_part_and_its_head_printed(aif: Terminal) -> None:
    first = {"checked": 5, "head": {"sequence": 5, "hash": "a" * 64}, "is_complete": False}
    aif.gateway.answers_with(VERIFY, first, {"checked": 2, "head": HEAD, "is_complete": True})

    said = aif("audit", "verify")

    assert said.code == 0
    assert said.out == f"the audit log is as it was written: 7 rows\nkeep its head elsewhere: --head 7:{'b' * 64}\n"
    assert [asked.json for asked in aif.gateway.asked] == [{}, {"after": first["head"]}]


def test_a_forged_log_is_told_by_its_row_and_an_exit_code(aif: Terminal) -> None:
    fault = {"sequence": 8, "kind": "cut", "message": "the log ends with row 7; there were 9 rows once"}
    aif.gateway.answers_with(VERIFY, {"checked": 7, "head": HEAD, "is_complete": True, "fault": fault})

    said = aif("audit", "verify", "--head", f"9:{'c' * 64}")

    assert said.code == 1
    assert said.out == "row 8 is cut off: the log ends with row 7; there were 9 rows once\n7 rows before it are as written\n"
    assert aif.gateway.last(VERIFY).json == {"head": {"sequence": 9, "hash": "c" * 64}}
    assert json.loads(aif("audit", "verify", "--json").out)["fault"] == fault


def test_what_is_no_head_is_refused(aif: Terminal) -> None:
    said = aif("audit", "verify", "--head", "7")

    assert (said.code, aif.gateway.asked) == (2, [])
    assert "--head" in said.err
