"""The secrets that a factory makes up for itself."""

from pathlib import Path

import pytest

from aif_console.factory.keys import NATS_USERS, ensure_keys, find_keys
from aif_console.failures import CredentialsUnreadable


async def test_keys_are_made_once_and_found_again(tmp_path: Path) -> None:
    made = await ensure_keys(tmp_path / "keys.json")

    again = await ensure_keys(tmp_path / "keys.json")

    assert again == made == find_keys(tmp_path / "keys.json")
    assert made.client_key.startswith("af_live_")
    assert made.client_key != made.admin_key
    assert len(made.key_pepper) == 64
    assert len({made.nats_passwords[user] for user in NATS_USERS}) == 5


async def test_only_the_owner_may_read_them(tmp_path: Path) -> None:
    await ensure_keys(tmp_path / "keys.json")

    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


async def test_a_damaged_file_is_refused_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"key_pepper": "half')

    with pytest.raises(CredentialsUnreadable, match=r"keys\.json"):
        await ensure_keys(path)

    assert path.read_text() == '{"key_pepper": "half'


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    assert find_keys(tmp_path / "keys.json") is None
