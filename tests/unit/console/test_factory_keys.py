"""The secrets that a factory makes up for itself."""

from pathlib import Path

import msgspec
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
    assert len({made.nats_passwords[user] for user in NATS_USERS}) == 8


async def test_a_factory_older_than_one_of_its_services_keeps_its_keys_and_gets_a_password_for_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = await ensure_keys(path)
    older = {user: word for user, word in made.nats_passwords.items() if user != "researcher"}
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(made, nats_passwords=older)))

    completed = await ensure_keys(path)

    assert completed == find_keys(path)
    assert len(completed.nats_passwords["researcher"]) > 20
    assert msgspec.structs.replace(completed, nats_passwords=older) == msgspec.structs.replace(made, nats_passwords=older)
    assert older.items() <= completed.nats_passwords.items()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_factory_from_before_the_audit_log_gets_a_key_for_it_and_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    made = await ensure_keys(path)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(made, audit_key="")))

    completed = await ensure_keys(path)

    assert len(completed.audit_key) > 20
    assert completed.audit_key != made.audit_key
    assert await ensure_keys(path) == completed


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
