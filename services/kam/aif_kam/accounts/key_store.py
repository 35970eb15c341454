"""API keys in Postgres: what people may know of them. A key's digest is written here and read by `identity` alone."""

import enum
from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from aif_kam.identity import Scope
from aif_runtime.postgres import Connection, Record


class KeyStatus(enum.StrEnum):
    ACTIVE = "active"
    REPLACED = "replaced"
    """Still good, for the grace of its rotation."""
    EXPIRED = "expired"
    REVOKED = "revoked"

    @property
    def is_good(self) -> bool:
        return self in (KeyStatus.ACTIVE, KeyStatus.REPLACED)


class ApiKey(Struct, frozen=True, kw_only=True):
    key_id: str
    client_id: str | None
    """None for the operator's."""
    scope: Scope
    name: str
    status: KeyStatus
    created_at: datetime
    created_by: str | None
    """None where the gateway's settings have brought it."""
    expires_at: datetime | None
    last_used_at: datetime | None
    """An hour before its last use at most."""
    revoked_at: datetime | None
    replaced_by: str | None


class NewApiKey(Struct, frozen=True, kw_only=True):
    key_id: str
    client_id: str | None
    scope: Scope
    digest: bytes
    name: str
    expires_at: datetime | None
    created_by: str


class ApiKeyStore:
    def __init__(self, queries: Mapping[str, str]) -> None:
        self._sql = queries

    async def lock_of(self, connection: Connection, client_id: str | None) -> None:
        """Until the transaction ends, nobody else changes the keys of this client, or the operator's."""
        await connection.execute(self._sql["lock_keys_of"], client_id)

    async def count_active(self, connection: Connection, client_id: str | None) -> int:
        number: int = await connection.fetchval(self._sql["count_active_keys"], client_id)
        return number

    async def insert(self, connection: Connection, key: NewApiKey) -> None:
        await connection.execute(
            self._sql["insert_key"],
            key.key_id,
            key.client_id,
            key.scope,
            key.digest,
            key.name,
            key.expires_at,
            key.created_by,
        )

    async def find(self, connection: Connection, key_id: str, owner: str | None) -> ApiKey | None:
        """`owner` None is the operator, who sees all."""
        row = await connection.fetchrow(self._sql["find_api_key"], key_id, owner)
        return None if row is None else _key(row)

    async def list_page(
        self,
        connection: Connection,
        owner: str | None,
        *,
        scope: Scope | None,
        is_active: bool | None,
        after: str | None,
        limit: int,
    ) -> list[ApiKey]:
        """Newest first. `owner` None is the operator, who sees all."""
        return [_key(row) for row in await connection.fetch(self._sql["list_api_keys"], owner, scope, is_active, after, limit)]

    async def count_lasting_operator_keys(self, connection: Connection, besides: str) -> int:
        """Good ones that no other one takes the place of."""
        number: int = await connection.fetchval(self._sql["count_lasting_operator_keys"], besides)
        return number

    async def revoke(self, connection: Connection, key_id: str) -> None:
        await connection.execute(self._sql["revoke_key"], key_id)

    async def replace(self, connection: Connection, key_id: str, *, by: str, grace_seconds: int) -> None:
        """It goes on for so long; with 0 it is revoked."""
        await connection.execute(self._sql["replace_key"], key_id, by, float(grace_seconds))


def _key(row: Record) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        client_id=row["client_id"],
        scope=Scope(row["scope"]),
        name=row["name"],
        status=_status(row),
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
        replaced_by=row["replaced_by"],
    )


def _status(row: Record) -> KeyStatus:
    if row["revoked_at"] is not None:
        return KeyStatus.REVOKED
    if row["is_expired"]:
        return KeyStatus.EXPIRED
    return KeyStatus.ACTIVE if row["replaced_by"] is None else KeyStatus.REPLACED
