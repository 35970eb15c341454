"""`aif account` against a stand-in of the gateway."""

from collections.abc import Iterator

import pytest

from support.gateway_stand_in import Terminal, gateway_stand_in

PATH = "/api/admin/clients/acme/account"
ACME = {"client_id": "acme", "tier": "free", "coins": 1200}


@pytest.fixture
def aif(capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with gateway_stand_in() as gateway:
        yield Terminal(gateway, capsys)


def test_a_client_sees_its_own_tier_and_what_it_allows(aif: Terminal) -> None:
    profile = {"client_id": "local", "tier": "standard", "coins": 0, "display_name": "", "version": 3}
    aif.gateway.answers_with("GET /api/kam/profile", profile)

    said = aif("account")

    assert [line.split(maxsplit=1)[1] for line in said.out.splitlines()] == ["local", "standard: all models", "0"]
    assert aif.gateway.last("GET /api/kam/profile").headers["X-API-Key"] != "operator-key"


def test_the_operator_sees_another_clients(aif: Terminal) -> None:
    aif.gateway.answers_with(f"GET {PATH}", ACME)

    said = aif("account", "show", "--client", "acme")

    assert [line.split(maxsplit=1)[1] for line in said.out.splitlines()] == ["acme", "free: cheap models only", "1,200"]
    assert aif.gateway.last(f"GET {PATH}").headers["X-API-Key"] == "operator-key"


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (("--tier", "free"), {"tier": "free"}),
        (("--coins", "1200"), {"coins": 1200}),
        (("--tier", "free", "--coins", "0"), {"tier": "free", "coins": 0}),
    ],
)
def test_what_the_operator_names_is_changed_and_the_rest_stays(
    aif: Terminal, options: tuple[str, ...], sent: dict[str, object]
) -> None:
    aif.gateway.answers_with(f"PUT {PATH}", ACME)

    said = aif("account", "set", "acme", *options)

    assert said.code == 0
    assert aif.gateway.last(f"PUT {PATH}").json == sent
    assert aif.gateway.last(f"PUT {PATH}").headers["X-API-Key"] == "operator-key"


def test_nothing_to_change_is_said_before_anybody_is_asked(aif: Terminal) -> None:
    said = aif("account", "set", "acme")

    assert said.code == 2
    assert "--tier" in said.err
    assert aif.gateway.asked == []


def test_a_client_that_is_no_id_never_becomes_part_of_an_address(aif: Terminal) -> None:
    said = aif("account", "set", "../admin", "--tier", "free")

    assert said.code == 2
    assert "is no client's id" in said.err
    assert aif.gateway.asked == []
