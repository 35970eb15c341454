"""Clients in Postgres, as the operator sees them."""

import enum
from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from aif_runtime.postgres import Connection, Record


class ClientStatus(enum.StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


class ClientRow(Struct, frozen=True, kw_only=True):
    client_id: str
    display_name: str
    tier: str
    created_at: datetime
    disabled_at: datetime | None

    @property
    def status(self) -> ClientStatus:
        return ClientStatus.ACTIVE if self.disabled_at is None else ClientStatus.DISABLED


class ClientStore:
    def __init__(self, queries: Mapping[str, str]) -> None:
        self._sql = queries

    async def lock_making(self, connection: Connection) -> None:
        """Until the transaction ends, nobody else makes a client."""
        await connection.execute(self._sql["lock_making_clients"])

    async def count(self, connection: Connection) -> int:
        number: int = await connection.fetchval(self._sql["count_clients"])
        return number

    async def insert(self, connection: Connection, client_id: str, tier: str) -> bool:
        """False where there is one of that name."""
        return await connection.fetchval(self._sql["insert_client"], client_id, tier) is not None

    async def find(self, connection: Connection, client_id: str) -> ClientRow | None:
        row = await connection.fetchrow(self._sql["list_clients"], client_id, None, None, 1)
        return None if row is None else _client(row)

    async def list_page(
        self, connection: Connection, *, after: str | None, is_disabled: bool | None, limit: int
    ) -> list[ClientRow]:
        """By their ids."""
        return [_client(row) for row in await connection.fetch(self._sql["list_clients"], None, after, is_disabled, limit)]

    async def disable(self, connection: Connection, client_id: str) -> bool:
        """Whether that changes anything."""
        return await connection.fetchval(self._sql["disable_client"], client_id) is not None

    async def enable(self, connection: Connection, client_id: str) -> bool:
        """Whether that changes anything."""
        return await connection.fetchval(self._sql["enable_client"], client_id) is not None


def _client(row: Record) -> ClientRow:
    return ClientRow(
        client_id=row["client_id"],
        display_name=row["display_name"],
        tier=row["tier"],
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
    )
