"""API keys: made, rotated and revoked."""

from msgspec import Struct

from aif_console.gateway.gateway import Gateway, once, without_none

KEYS = "/api/kam/keys"


class KeyAnswer(Struct, frozen=True, kw_only=True):
    key_id: str
    prefix: str
    name: str
    scope: str
    status: str
    created_at: str
    client_id: str | None = None
    """None for the operator's."""
    created_by: str | None = None
    last_used_at: str | None = None
    expires_at: str | None = None
    revoked_at: str | None = None
    replaced_by: str | None = None


class MintedAnswer(KeyAnswer, frozen=True, kw_only=True):
    key: str | None
    """None where this is the answer to a call that had to be sent again: the key went astray with the first one."""
    replaces: KeyAnswer | None = None


class KeyPage(Struct, frozen=True, kw_only=True):
    keys: tuple[KeyAnswer, ...]
    next_cursor: str | None = None


async def list_keys(
    gateway: Gateway, *, client_id: str | None, scope: str | None, is_active: bool | None, cursor: str | None, limit: int
) -> KeyPage:
    """Newest first."""
    query = without_none(client_id=client_id, scope=scope, active=is_active, cursor=cursor, limit=limit)
    return await gateway.ask("GET", KEYS, KeyPage, params=query)


async def read_key(gateway: Gateway, key_id: str) -> KeyAnswer:
    return await gateway.ask("GET", f"{KEYS}/{key_id}", KeyAnswer)


async def add_key(gateway: Gateway, *, name: str, scope: str, client_id: str | None, expires_at: str | None) -> MintedAnswer:
    """One key, however often it has to be sent."""
    body = without_none(name=name, scope=scope, client_id=client_id, expires_at=expires_at)
    return await gateway.ask("POST", KEYS, MintedAnswer, headers=once(), json=body)


async def rotate_key(gateway: Gateway, key_id: str, *, grace_seconds: int, expires_at: str | None) -> MintedAnswer:
    """One key in its place, however often it has to be sent."""
    body = {"grace_seconds": grace_seconds} | ({} if expires_at is None else {"expires_at": expires_at})
    return await gateway.ask("POST", f"{KEYS}/{key_id}/rotate", MintedAnswer, headers=once(), json=body)


async def revoke_key(gateway: Gateway, key_id: str) -> KeyAnswer:
    return await gateway.ask("DELETE", f"{KEYS}/{key_id}", KeyAnswer)
