"""Lists in columns; whose key is shown to which factory."""

from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from aif_console.factory.keys import FactoryKeys
from aif_console.factory.plan import DataFolder
from aif_console.failures import BadInput, NoApiKey
from aif_console.gateway.reach import find_reach
from aif_console.reading.columns import Columns

KEYS = FactoryKeys(key_pepper="p", client_id="local", client_key="own-client", admin_key="own-admin", nats_passwords={})
LONG = Columns(("ID", "WORDS"), (("exec_0123456789", "one two three four five six seven"), ("x", "")))


def printed(columns: Columns, *, is_terminal: bool, width: int = 50) -> list[str]:
    written = StringIO()
    Console(file=written, width=width, color_system=None, force_terminal=is_terminal).print(columns, soft_wrap=True)
    return written.getvalue().splitlines()


def test_on_a_terminal_the_last_column_goes_on_under_itself() -> None:
    assert printed(LONG, is_terminal=True) == [
        "ID               WORDS",
        "exec_0123456789  one two three four five six seven",
        "x",
    ]
    assert printed(LONG, is_terminal=True, width=47)[1:3] == [
        "exec_0123456789  one two three four five six",
        "                 seven",
    ]


def test_where_little_room_is_left_the_last_column_goes_below() -> None:
    assert printed(LONG, is_terminal=True, width=30) == [
        "ID",
        "exec_0123456789",
        "    one two three four five",
        "    six seven",
        "x",
    ]


def test_elsewhere_each_row_is_one_whole_line() -> None:
    assert printed(LONG, is_terminal=False)[1:] == ["exec_0123456789  one two three four five six seven", "x"]


def test_nothing_is_cut_where_a_terminal_is_too_narrow() -> None:
    wide = Columns(("ID", "WORDS"), (("i" * 50, "one"),))

    assert printed(wide, is_terminal=True, width=40)[1:] == ["i" * 50, "    one"]


def test_the_operator_has_a_key_and_a_variable_of_its_own(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.keys.write_bytes(msgspec.json.encode(KEYS))
    environ = {"AIF_URL": "http://factory/", "AIF_API_KEY": "some-client"}

    client = find_reach(url=None, key=None, folder=folder, environ=environ)
    operator = find_reach(url=None, key=None, folder=folder, environ=environ, as_operator=True)
    named = find_reach(url=None, key=None, folder=folder, environ=environ | {"AIF_ADMIN_KEY": "other"}, as_operator=True)

    assert (client.key, operator.key, named.key) == ("some-client", "own-admin", "other")
    assert client.url == "http://factory"


def test_a_missing_key_names_the_variable_that_would_bring_it(tmp_path: Path) -> None:
    with pytest.raises(NoApiKey, match="AIF_ADMIN_KEY"):
        find_reach(url="http://factory", key=None, folder=DataFolder(tmp_path), environ={}, as_operator=True)


@pytest.mark.parametrize(
    "address",
    [
        "notaurl",
        "http://",
        "ftp://factory",
        "http://factory:99999",
        "http://factory:0",
        "http://[::1",
        "http://a b",
        "http://a\n",
    ],
)
def test_what_is_no_address_of_a_factory_is_refused_by_the_name_it_was_given_under(tmp_path: Path, address: str) -> None:
    folder = DataFolder(tmp_path)

    with pytest.raises(BadInput, match=r"^AIF_URL: .* is no address"):
        find_reach(url=None, key="key", folder=folder, environ={"AIF_URL": address})
    with pytest.raises(BadInput, match=r"^--url: .* is no address"):
        find_reach(url=address, key="key", folder=folder, environ={})


@pytest.mark.parametrize("key", ["sécret", "secret\nsecret", "secret\x00", " secret", "secret "])
def test_a_key_that_no_header_may_hold_is_refused_and_not_repeated(tmp_path: Path, key: str) -> None:
    with pytest.raises(BadInput, match=r"^AIF_API_KEY: ") as refused:
        find_reach(url="https://factory", key=None, folder=DataFolder(tmp_path), environ={"AIF_API_KEY": key})

    assert "cret" not in str(refused.value)
