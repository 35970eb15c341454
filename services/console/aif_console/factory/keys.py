"""The factory's own secrets: made up once, kept in one file that only its owner may read."""

import asyncio
import secrets
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from aif_console.embedded.credentials import PASSWORD_BYTES, write_private
from aif_console.failures import CredentialsUnreadable, KeysNotMade

NATS_USERS = ("kam", "orchestrator", "granulator", "researcher", "analyst", "planner", "classifier", "operator")
OPERATOR = "operator"


class FactoryKeys(Struct, frozen=True, kw_only=True):
    key_pepper: str
    client_id: str
    """The first client, for whoever sits at this machine."""
    client_key: str
    admin_key: str
    nats_passwords: dict[str, str]
    """By user. Each service has its own, people use `operator`."""
    audit_key: str = ""
    """Seals the audit log. Empty in a file from before there was one."""


def find_keys(path: Path) -> FactoryKeys | None:
    """Raises CredentialsUnreadable for a damaged file, OSError for one that belongs to somebody else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=FactoryKeys)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as damage:
        raise CredentialsUnreadable(path, str(damage)) from damage


async def ensure_keys(path: Path) -> FactoryKeys:
    """The keys, made and written down if there are none yet, completed if a service is new since they were made.

    Raises CredentialsUnreadable, KeysNotMade.
    """
    found = find_keys(path)
    keys = await _mint() if found is None else _completed(found)
    if keys != found:
        write_private(path, msgspec.json.format(msgspec.json.encode(keys), indent=2))
    return keys


def _completed(keys: FactoryKeys) -> FactoryKeys:
    """With a password for every user of the broker, and a key for the audit log."""
    missing = {user: _password() for user in NATS_USERS if user not in keys.nats_passwords}
    return msgspec.structs.replace(
        keys, nats_passwords={**keys.nats_passwords, **missing}, audit_key=keys.audit_key or _password()
    )


def _password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)


async def _mint() -> FactoryKeys:
    """The shape of API keys is the gateway's business, so its own program makes them."""
    minting = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "aif_kam.mint_keys"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaint = await minting.communicate()
    made = dict(line.split("=", 1) for line in printed.decode().splitlines() if "=" in line)
    try:
        return FactoryKeys(
            key_pepper=made["AIF_KEY_PEPPER"],
            client_id=made["AIF_BOOTSTRAP_CLIENT_ID"],
            client_key=made["AIF_BOOTSTRAP_CLIENT_KEY"],
            admin_key=made["AIF_BOOTSTRAP_ADMIN_KEY"],
            nats_passwords={user: _password() for user in NATS_USERS},
            audit_key=_password(),
        )
    except KeyError as missing:
        raise KeysNotMade(f"{missing} is missing. {complaint.decode().strip()[-400:]}".strip()) from missing
