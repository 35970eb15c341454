"""`aif config` against a stand-in of the gateway."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.gateway_stand_in import Terminal, gateway_stand_in

PRIMARY = "orchestrator_primary_model"
PATH = f"/api/admin/config/{PRIMARY}"
SET = {
    "key": PRIMARY,
    "value": "gpt-4o-mini",
    "is_set": True,
    "description": "Model that is asked first",
    "version": 7,
    "updated_at": "2026-05-01T09:00:00.000Z",
    "updated_by": "api_key:k1",
}
UNSET = {**SET, "value": None, "is_set": False, "version": 0, "updated_at": None, "updated_by": None}


@pytest.fixture
def aif(capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with gateway_stand_in() as gateway:
        yield Terminal(gateway, capsys)


def test_the_keys_are_listed_with_the_operators_key(aif: Terminal) -> None:
    aif.gateway.answers_with("GET /api/admin/config", {"config": [SET, {**UNSET, "key": "prices"}]})

    said = aif("config")

    assert aif.gateway.last("GET /api/admin/config").headers["X-API-Key"] == "operator-key"
    assert said.out.splitlines()[1:] == [
        'orchestrator_primary_model  "gpt-4o-mini"  2026-05-01 09:00',
        "prices",
    ]


def test_a_key_is_shown_with_what_it_means(aif: Terminal) -> None:
    aif.gateway.answers_with(f"GET {PATH}", SET)

    said = aif("config", "get", PRIMARY)

    assert '"gpt-4o-mini"' in said.out
    assert "Model that is asked first" in said.out
    assert "by api_key:k1" in said.out


@pytest.mark.parametrize(
    ("typed", "value"),
    [("gpt-4o-mini", "gpt-4o-mini"), ("true", True), ("90", 90), ("null", None), ('"90"', "90"), ("{broken", "{broken")],
)
def test_what_is_typed_is_sent_as_json_where_it_is_json(aif: Terminal, typed: str, value: Any) -> None:
    aif.gateway.answers_with(f"PUT {PATH}", {**SET, "value": value})

    said = aif("config", "set", PRIMARY, typed)

    assert aif.gateway.last(f"PUT {PATH}").json == {"value": value}
    assert said.out == f"{PRIMARY} is {json.dumps(value)}\n"


def test_a_file_and_a_version_may_be_named(aif: Terminal, tmp_path: Path) -> None:
    prices = {"prices": [{"provider": "openai", "model": "m", "free": True}]}
    (tmp_path / "prices.json").write_text(json.dumps(prices))
    aif.gateway.answers_with("PUT /api/admin/config/prices", {**SET, "key": "prices", "value": prices})

    said = aif("config", "set", "prices", "--file", str(tmp_path / "prices.json"), "--if-version", "0")

    assert aif.gateway.last("PUT /api/admin/config/prices").json == {"value": prices, "version": 0}
    assert said.out == 'prices is {"prices":[{"provider":"openai","model":"m","free":true}]}\n'


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "give either a value or --file"),
        (("x", "--file", "y.json"), "give either a value or --file"),
        (("--file", "missing.json"), "cannot be read"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is(aif: Terminal, words: tuple[str, ...], reason: str) -> None:
    said = aif("config", "set", PRIMARY, *words)

    assert said.code == 2
    assert reason in said.err
    assert aif.gateway.asked == []


def test_a_key_is_unset(aif: Terminal) -> None:
    aif.gateway.answers_with(f"DELETE {PATH}", UNSET)

    said = aif("config", "unset", PRIMARY, "--if-version", "7")

    assert aif.gateway.last(f"DELETE {PATH}").query == {"version": "7"}
    assert said.out == f"{PRIMARY} is not set\n"


def test_a_conflict_is_told_with_the_mend(aif: Terminal) -> None:
    mistake = {"field": "version", "message": "is 3", "mend": "read it again, and send 7"}
    aif.gateway.refuses(f"PUT {PATH}", 409, "it has been changed meanwhile", mistake)

    said = aif("config", "set", PRIMARY, "x", "--if-version", "3")

    assert said.code == 2
    assert "read it again, and send 7" in said.err


def test_a_remark_of_the_gateway_is_shown_below_what_was_set(aif: Terminal) -> None:
    remark = "opnai is no provider that is known now: did you mean openai?"
    path = "/api/admin/config/provider_requests_per_minute.opnai"
    aif.gateway.answers_with(f"PUT {path}", {**SET, "key": "provider_requests_per_minute.opnai", "value": 9, "remark": remark})

    said = aif("config", "set", "provider_requests_per_minute.opnai", "9")

    assert said.code == 0
    assert said.out.splitlines() == ["provider_requests_per_minute.opnai is 9", f"note: {remark}"]
