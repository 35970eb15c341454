"""`aif clients` and `aif keys` against a stand-in of the gateway."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.gateway_stand_in import Terminal, gateway_stand_in

CLIENTS, KEYS = "/api/admin/clients", "/api/kam/keys"
OLD, NEW = "0123456789abcdef", "fedcba9876543210"
SECRET = f"af_live_{NEW}_{'5' * 64}_01234567"
ACME: dict[str, Any] = {
    "client_id": "acme",
    "display_name": "Acme Ltd",
    "tier": "free",
    "status": "active",
    "created_at": "2026-05-01T09:00:00.000Z",
    "disabled_at": None,
    "links": {},
}


def key(key_id: str, **changes: Any) -> dict[str, Any]:
    known = {
        "key_id": key_id,
        "prefix": f"af_live_{key_id}",
        "client_id": "acme",
        "name": "shop",
        "scope": "order",
        "status": "active",
        "created_at": "2026-05-01T09:00:00.000Z",
        "created_by": None,
        "last_used_at": None,
        "expires_at": None,
        "revoked_at": None,
        "replaced_by": None,
    }
    return {**known, **changes}


@pytest.fixture
def aif(capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with gateway_stand_in() as gateway:
        yield Terminal(gateway, capsys)


def test_clients_are_listed_with_those_that_are_disabled_marked(aif: Terminal) -> None:
    gone = {**ACME, "client_id": "gone", "status": "disabled", "disabled_at": "2026-05-02T09:00:00.000Z", "display_name": ""}
    aif.gateway.answers_with(f"GET {CLIENTS}", {"clients": [ACME, gone], "next_cursor": "gone"})

    said = aif("clients", "--disabled", "--limit", "2")

    assert [line.split() for line in said.out.splitlines()] == [
        ["CLIENT", "STATUS", "TIER", "SINCE", "NAME"],
        ["acme", "active", "free", "2026-05-01", "Acme", "Ltd"],
        ["gone", "disabled", "free", "2026-05-01"],
        ["there", "are", "more:", "--cursor", "gone"],
    ]
    asked = aif.gateway.last(f"GET {CLIENTS}")
    assert (asked.query, asked.headers["X-API-Key"]) == ({"disabled": "true", "limit": "2"}, "operator-key")


def test_a_client_is_shown_with_the_commands_that_tell_more(aif: Terminal) -> None:
    aif.gateway.answers_with(f"GET {CLIENTS}/acme", {**ACME, "status": "disabled", "disabled_at": "2026-05-02T09:00:00.000Z"})

    said = aif("clients", "show", "acme")

    assert "disabled since 2026-05-02 09:00:00" in said.out
    assert "aif keys --client acme" in said.out


@pytest.mark.parametrize(
    ("words", "call", "sent"),
    [
        (("add", "acme"), f"POST {CLIENTS}", {"client_id": "acme"}),
        (
            ("add", "acme", "--name", "Acme Ltd", "--tier", "free"),
            f"POST {CLIENTS}",
            {"client_id": "acme", "display_name": "Acme Ltd", "tier": "free"},
        ),
        (("rename", "acme", ""), f"PUT {CLIENTS}/acme", {"display_name": ""}),
        (("disable", "acme"), f"POST {CLIENTS}/acme/disable", None),
        (("enable", "acme"), f"POST {CLIENTS}/acme/enable", None),
    ],
)
def test_the_operator_changes_clients(aif: Terminal, words: tuple[str, ...], call: str, sent: Any) -> None:
    aif.gateway.answers_with(call, ACME)

    said = aif("clients", *words)

    asked = aif.gateway.last(call)
    assert (said.code, said.out.split()[0]) == (0, "acme")
    assert (asked.json if asked.body else None, asked.headers["X-API-Key"]) == (sent, "operator-key")


@pytest.mark.parametrize("words", [("add", "../x"), ("show", "a b"), ("rename", "", "x"), ("disable", "a.b"), ("enable", "*")])
def test_a_client_that_is_no_id_never_becomes_part_of_an_address(aif: Terminal, words: tuple[str, ...]) -> None:
    said = aif("clients", *words)

    assert (said.code, aif.gateway.asked) == (2, [])
    assert "is no client's id" in said.err


def test_keys_are_listed_with_whose_they_are_and_when_they_were_used(aif: Terminal) -> None:
    used = key(
        OLD, client_id=None, scope="admin", last_used_at="2026-05-02T10:30:00.000Z", expires_at="2026-06-01T00:00:00.000Z"
    )
    aif.gateway.answers_with(f"GET {KEYS}", {"keys": [used, key(NEW, status="revoked")], "next_cursor": None})

    said = aif("keys", "--operator")

    assert [line.split()[:5] for line in said.out.splitlines()[1:]] == [
        [OLD, "(operator)", "admin", "active", "2026-05-02"],
        [NEW, "acme", "order", "revoked", "never"],
    ]
    assert aif.gateway.last(f"GET {KEYS}").headers["X-API-Key"] == "operator-key"


@pytest.mark.parametrize(
    ("words", "query", "called_with"),
    [
        ((), {"limit": "20"}, "client-key"),
        (("--active",), {"limit": "20", "active": "true"}, "client-key"),
        (("--client", "acme", "--ended"), {"limit": "20", "active": "false", "client_id": "acme"}, "operator-key"),
    ],
)
def test_own_keys_are_listed_and_with_the_operators_key_another_clients(
    aif: Terminal, words: tuple[str, ...], query: dict[str, str], called_with: str
) -> None:
    aif.gateway.answers_with(f"GET {KEYS}", {"keys": []})

    said = aif("keys", *words)

    asked = aif.gateway.last(f"GET {KEYS}")
    assert said.out == "there is no such key\n"
    assert (asked.query, asked.headers["X-API-Key"]) == (query, called_with)


@pytest.mark.parametrize(
    ("words", "sent", "called_with"),
    [
        (("shop",), {"name": "shop", "scope": "order"}, "client-key"),
        (("shop", "--scope", "read"), {"name": "shop", "scope": "read"}, "client-key"),
        (("shop", "--client", "acme"), {"name": "shop", "scope": "order", "client_id": "acme"}, "operator-key"),
        (("ada", "--scope", "admin"), {"name": "ada", "scope": "admin"}, "operator-key"),
    ],
)
def test_a_key_that_is_made_is_shown_on_a_line_of_its_own(
    aif: Terminal, words: tuple[str, ...], sent: dict[str, str], called_with: str
) -> None:
    aif.gateway.answers_with(f"POST {KEYS}", {**key(NEW), "key": SECRET}, status=201)

    said = aif("keys", "add", *words, COLUMNS="60")

    asked = aif.gateway.last(f"POST {KEYS}")
    assert said.out.splitlines()[-1] == SECRET
    assert (asked.json, asked.headers["X-API-Key"]) == (sent, called_with)
    assert len(asked.headers["Idempotency-Key"]) == 32


def test_an_end_may_be_a_span_and_one_that_is_over_is_refused_before_anybody_is_asked(aif: Terminal) -> None:
    aif.gateway.answers_with(f"POST {KEYS}", {**key(NEW), "key": SECRET}, status=201)

    aif("keys", "add", "shop", "--expires", "90d")
    over = aif("keys", "add", "shop", "--expires", "2020-01-01")

    told = datetime.fromisoformat(aif.gateway.asked[0].json["expires_at"])
    assert abs(told - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=1)
    assert (over.code, len(aif.gateway.asked)) == (2, 1)
    assert "leave it out to have no end" in over.err


def test_a_key_that_went_astray_is_said_with_the_command_that_gives_another_one(aif: Terminal) -> None:
    aif.gateway.answers_with(f"POST {KEYS}", {**key(NEW), "key": None}, status=201)

    said = aif("keys", "add", "shop")

    assert f"aif keys rotate {NEW} --grace 0" in said.out


@pytest.mark.parametrize(("grace", "seconds"), [("0", 0), ("45s", 45), ("12h", 43200), ("7d", 604800)])
def test_a_rotated_key_goes_on_for_a_span(aif: Terminal, grace: str, seconds: int) -> None:
    old = key(OLD, status="replaced", replaced_by=NEW, expires_at="2026-05-02T09:00:00.000Z")
    aif.gateway.answers_with(f"POST {KEYS}/{OLD}/rotate", {**key(NEW), "key": SECRET, "replaces": old}, status=201)

    said = aif("keys", "rotate", OLD, "--grace", grace)

    assert aif.gateway.last(f"POST {KEYS}/{OLD}/rotate").json == {"grace_seconds": seconds}
    assert f"{OLD}, which it replaces, goes on until 2026-05-02 09:00:00" in said.out
    assert said.out.splitlines()[-1] == SECRET


def test_who_ends_the_key_that_the_terminal_calls_with_is_told_so(aif: Terminal) -> None:
    own = f"af_live_{OLD}_{'7' * 64}_89abcdef"
    revoked = key(OLD, status="revoked", revoked_at="2026-05-02T09:00:00.000Z")
    rotated = {**key(NEW), "key": SECRET, "replaces": {**revoked, "replaced_by": NEW}}
    aif.gateway.answers_with(f"POST {KEYS}/{OLD}/rotate", rotated, status=201)
    aif.gateway.answers_with(f"DELETE {KEYS}/{OLD}", revoked)

    said = [
        aif("keys", "rotate", OLD, "--grace", "0", AIF_API_KEY=own),
        aif("keys", "revoke", OLD, AIF_API_KEY=own),
        aif("keys", "revoke", OLD, "--operator"),
    ]

    assert [f"This terminal called with {OLD}" in each.out for each in said] == [True, True, False]
    assert "which it replaces, is revoked" in said[0].out
    assert not any(own in each.out for each in said)


@pytest.mark.parametrize("words", [("show", SECRET), ("rotate", SECRET, "--grace", "0"), ("revoke", "../x")])
def test_what_is_no_keys_id_is_refused_and_not_repeated_for_it_could_be_a_key(aif: Terminal, words: tuple[str, ...]) -> None:
    said = aif("keys", *words)

    assert (said.code, aif.gateway.asked) == (2, [])
    assert SECRET not in said.err + said.out
    assert "no key's id" in said.err


def test_a_key_is_shown_by_the_prefix_that_it_begins_with(aif: Terminal) -> None:
    aif.gateway.answers_with(f"GET {KEYS}/{OLD}", key(OLD, created_by="api_key:x", expires_at="2026-06-01T00:00:00.000Z"))

    said = aif("keys", "show", f"af_live_{OLD}", "--operator")

    assert (said.code, "2026-06-01 00:00:00" in said.out) == (0, True)
    assert aif.gateway.asked[0].headers["X-API-Key"] == "operator-key"


@pytest.mark.parametrize("grace", ["soon", "-1", "1.5h"])
def test_a_grace_that_is_no_span_is_refused(aif: Terminal, grace: str) -> None:
    said = aif("keys", "rotate", OLD, f"--grace={grace}")

    assert (said.code, aif.gateway.asked) == (2, [])
    assert "--grace" in said.err


def test_with_json_there_is_one_document_and_nothing_else(aif: Terminal) -> None:
    rotated = {**key(NEW), "key": SECRET, "replaces": key(OLD)}
    aif.gateway.answers_with(f"POST {KEYS}/{OLD}/rotate", rotated, status=201)

    said = aif("keys", "rotate", OLD, "--grace", "1h", "--json")

    assert said.out.lstrip().startswith("{")
    assert said.out.count(SECRET) == 1
    assert "went" not in said.out


@pytest.mark.parametrize(
    ("words", "call", "mend"),
    [
        (("add", "laptop"), f"POST {KEYS}", "name the client with --client"),
        (("rotate", OLD, "--grace", "0"), f"POST {KEYS}/{OLD}/rotate", "add --operator"),
        (("revoke", OLD), f"DELETE {KEYS}/{OLD}", "add --operator"),
    ],
)
def test_who_may_not_change_keys_is_told_how_the_operator_does_it(
    aif: Terminal, words: tuple[str, ...], call: str, mend: str
) -> None:
    aif.gateway.refuses(call, 403, "keys are changed with a key of the scope manage")

    said = aif("keys", *words)

    assert said.code == 2
    assert said.err.splitlines()[1:] == [f"  -> with the operator's key, which the factory's own machine has, {mend}"]


def test_another_refusal_of_a_change_of_keys_is_told_as_it_is(aif: Terminal) -> None:
    aif.gateway.refuses(f"DELETE {KEYS}/{OLD}", 409, "it is the last one")

    assert aif("keys", "revoke", OLD).err == "aif: Not possible: it is the last one\n"
