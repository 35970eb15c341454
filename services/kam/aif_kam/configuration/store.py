"""Configured values in Postgres, which of them the bucket does not show yet, and what was changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from aif_runtime.postgres import Connection, Record

_VALUE = msgspec.json.Decoder(Any)


class Place(Struct, frozen=True, kw_only=True):
    """Where a value lies: an entry of the bucket, and an item in it where it tells several."""

    entry: str
    item: str = ""
    client_id: str | None = None
    """None for the factory's own."""


class StoredValue(Struct, frozen=True, kw_only=True):
    place: Place
    value: Any
    version: int
    created_at: datetime
    updated_at: datetime
    updated_by: str


class Account(Struct, frozen=True, kw_only=True):
    client_id: str
    tier: str
    coins: int


class EntryValue(Struct, frozen=True, kw_only=True):
    item: str
    value: Any


class Pending(Struct, frozen=True, kw_only=True):
    entry: str
    revision: int


class Change(Struct, frozen=True, kw_only=True):
    change_id: str
    place: Place
    old_value: Any
    """None: it was not set before."""
    new_value: Any
    """None: it is not set any more."""
    version: int
    changed_by: str
    changed_at: datetime


class ConfigurationStore:
    def __init__(self, queries: Mapping[str, str]) -> None:
        self._sql = queries

    async def begin_change(self, connection: Connection, entry: str) -> int:
        """Lock the entry for the transaction; the number of its next change."""
        revision: int = await connection.fetchval(self._sql["begin_configuration_change"], entry)
        return revision

    async def find(self, connection: Connection, place: Place) -> StoredValue | None:
        row = await connection.fetchrow(self._sql["find_configuration_value"], place.entry, place.item)
        return None if row is None else _stored(row)

    async def list_of_entry(self, connection: Connection, entry: str) -> list[StoredValue]:
        """Oldest first."""
        return [_stored(row) for row in await connection.fetch(self._sql["list_configuration_values"], entry)]

    async def list_below(self, connection: Connection, client_id: str, prefix: str) -> list[StoredValue]:
        """A client's values whose entries begin so, oldest first."""
        return [_stored(row) for row in await connection.fetch(self._sql["list_entries_like"], client_id, prefix)]

    async def put(self, connection: Connection, place: Place, value: Any, version: int, by: str) -> StoredValue:
        row = await connection.fetchrow(
            self._sql["upsert_configuration_value"],
            place.entry,
            place.item,
            place.client_id,
            msgspec.json.encode(value),
            version,
            by,
        )
        assert row is not None, "an upsert returns its row"
        return _stored(row)

    async def delete(self, connection: Connection, place: Place) -> None:
        await connection.execute(self._sql["delete_configuration_value"], place.entry, place.item)

    async def record_change(self, connection: Connection, change: Change) -> None:
        """Its time is the database's."""
        await connection.execute(
            self._sql["insert_configuration_change"],
            change.change_id,
            change.place.entry,
            change.place.item,
            change.place.client_id,
            _optional(change.old_value),
            _optional(change.new_value),
            change.version,
            change.changed_by,
        )

    async def find_account(self, connection: Connection, client_id: str) -> Account | None:
        row = await connection.fetchrow(self._sql["find_account"], client_id)
        return None if row is None else _account(row)

    async def lock_account(self, connection: Connection, client_id: str) -> Account | None:
        row = await connection.fetchrow(self._sql["lock_account"], client_id)
        return None if row is None else _account(row)

    async def update_account(self, connection: Connection, account: Account) -> None:
        await connection.execute(self._sql["update_account"], account.client_id, account.tier, account.coins)

    async def lock_pushing(self, connection: Connection) -> None:
        """Wait until no other gateway pushes; until the end of the transaction none does."""
        await connection.execute(self._sql["lock_configuration_pushing"])

    async def list_pending(self, connection: Connection, limit: int) -> list[Pending]:
        rows = await connection.fetch(self._sql["list_pending_pushes"], limit)
        return [Pending(entry=row["entry"], revision=row["revision"]) for row in rows]

    async def mark_pushed(self, connection: Connection, pushed: Sequence[Pending]) -> None:
        await connection.execute(self._sql["mark_pushed"], [each.entry for each in pushed], [each.revision for each in pushed])

    async def push_everything_again(self, connection: Connection) -> None:
        await connection.execute(self._sql["push_everything_again"])

    async def list_pushed(self, connection: Connection) -> dict[str, int]:
        """Revisions by entry, without those that are pending."""
        return {row["entry"]: row["revision"] for row in await connection.fetch(self._sql["list_pushes"])}

    async def push_again(self, connection: Connection, entries: Sequence[str]) -> None:
        await connection.execute(self._sql["push_again"], entries)

    async def values_of(self, connection: Connection, entries: Sequence[str]) -> dict[str, list[EntryValue]]:
        found: dict[str, list[EntryValue]] = {}
        for row in await connection.fetch(self._sql["list_values_of_entries"], entries):
            value = EntryValue(item=row["item"], value=_VALUE.decode(row["value"]))
            found.setdefault(row["entry"], []).append(value)
        return found

    async def accounts(self, connection: Connection, client_ids: Sequence[str]) -> dict[str, Account]:
        rows = await connection.fetch(self._sql["list_accounts"], client_ids)
        return {row["client_id"]: _account(row) for row in rows}

    async def list_untold(self, connection: Connection, limit: int) -> list[Change]:
        return [_change(row) for row in await connection.fetch(self._sql["list_untold_changes"], limit)]

    async def mark_told(self, connection: Connection, change_ids: Sequence[str]) -> None:
        await connection.execute(self._sql["mark_changes_told"], change_ids)

    async def delete_told(self, connection: Connection, *, told_before_days: int) -> None:
        """Some of them."""
        await connection.execute(self._sql["delete_told_changes"], told_before_days)


def _stored(row: Record) -> StoredValue:
    return StoredValue(
        place=_place(row),
        value=_VALUE.decode(row["value"]),
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        updated_by=row["updated_by"],
    )


def _place(row: Record) -> Place:
    return Place(entry=row["entry"], item=row["item"], client_id=row["client_id"])


def _account(row: Record) -> Account:
    return Account(client_id=row["client_id"], tier=row["tier"], coins=row["coins"])


def _change(row: Record) -> Change:
    return Change(
        change_id=row["change_id"],
        place=_place(row),
        old_value=None if row["old_value"] is None else _VALUE.decode(row["old_value"]),
        new_value=None if row["new_value"] is None else _VALUE.decode(row["new_value"]),
        version=row["version"],
        changed_by=row["changed_by"],
        changed_at=row["changed_at"],
    )


def _optional(value: Any) -> bytes | None:
    return None if value is None else msgspec.json.encode(value)
