"""Configured values as they are read and changed: each change under its entry's lock, with a number and a record.

Who changes something may say from which version: a change in between is a conflict and never lost. What is set to what it is
already changes nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from aif_contracts.configuration import profile_entry
from aif_contracts.orders import FieldMistake
from aif_kam.configuration.store import Account, Change, ConfigurationStore, Place, StoredValue
from aif_kam.failures import Conflict, NotFound
from aif_runtime.clock import Clock
from aif_runtime.ids import NewId
from aif_runtime.postgres import Connection, Database

ACCOUNT = "account"
"""Under which a change of tier or coins is on record; its values are columns of the client's row."""
LimitCheck = Callable[[list[StoredValue]], None]
"""Raises InvalidInput; given the other values of the same entry."""


class ConfigurationBook:
    def __init__(
        self,
        *,
        database: Database,
        store: ConfigurationStore,
        redact: Callable[[Any], Any],
        work: asyncio.Event,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        """`work` is set when there is something to push."""
        self._database = database
        self._store = store
        self._redact = redact
        self._work = work
        self._clock = clock
        self._new_id = new_id

    async def find(self, place: Place) -> StoredValue | None:
        async with self._database.connection() as connection:
            return await self._store.find(connection, place)

    async def list_of_entry(self, entry: str) -> list[StoredValue]:
        async with self._database.connection() as connection:
            return await self._store.list_of_entry(connection, entry)

    async def list_below(self, client_id: str, prefix: str) -> list[StoredValue]:
        async with self._database.connection() as connection:
            return await self._store.list_below(connection, client_id, prefix)

    async def lock_below(self, connection: Connection, client_id: str, prefix: str) -> list[StoredValue]:
        """As `list_below`, before something is added to them: until the transaction ends, nobody else who asks here does."""
        await self._store.lock_account(connection, client_id)
        return await self._store.list_below(connection, client_id, prefix)

    async def account(self, client_id: str) -> Account:
        """Raises NotFound."""
        async with self._database.connection() as connection:
            account = await self._store.find_account(connection, client_id)
        if account is None:
            raise _no_client(client_id)
        return account

    async def change_account(self, client_id: str, *, tier: str | None, coins: int | None, by: str) -> Account:
        """What is None stays as it is. Raises NotFound."""
        place = Place(entry=profile_entry(client_id), item=ACCOUNT, client_id=client_id)
        async with self._database.transaction() as connection:
            revision = await self._store.begin_change(connection, place.entry)
            before = await self._store.lock_account(connection, client_id)
            if before is None:
                raise _no_client(client_id)
            after = Account(
                client_id=client_id,
                tier=before.tier if tier is None else tier,
                coins=before.coins if coins is None else coins,
            )
            if after == before:
                return before
            await self._store.update_account(connection, after)
            await self._record(connection, place, _facts(before), _facts(after), revision, by)
        self._work.set()
        return after

    async def put(self, place: Place, value: Any, *, version: int | None, by: str, must_exist: bool = False) -> StoredValue:
        """Raises NotFound where it must exist, Conflict."""
        async with self._database.transaction() as connection:
            stored = await self.put_within(connection, place, value, version=version, by=by, must_exist=must_exist)
        self._work.set()
        return stored

    async def put_within(
        self,
        connection: Connection,
        place: Place,
        value: Any,
        *,
        version: int | None,
        by: str,
        must_exist: bool = False,
        check_others: LimitCheck | None = None,
    ) -> StoredValue:
        """As `put`, inside the caller's transaction; `pushed_soon` is the caller's to say after its commit."""
        plain = msgspec.to_builtins(value)
        revision = await self._store.begin_change(connection, place.entry)
        before = await self._store.find(connection, place)
        if before is None and must_exist:
            raise _nothing_there(place)
        _check_version(before, version)
        if before is not None and before.value == plain:
            return before
        if check_others is not None:
            check_others([each for each in await self._store.list_of_entry(connection, place.entry) if each.place != place])
        after = await self._store.put(connection, place, plain, revision, by)
        await self._record(connection, place, _value_of(before), after.value, revision, by)
        return after

    async def change_within(
        self, connection: Connection, place: Place, change: Callable[[Any], Any], *, by: str
    ) -> StoredValue:
        """Put what `change` makes of the value, which is None where there is none, inside the caller's transaction."""
        await self._store.begin_change(connection, place.entry)
        before = await self._store.find(connection, place)
        return await self.put_within(connection, place, change(_value_of(before)), version=None, by=by)

    async def remove(self, place: Place, *, version: int | None, by: str) -> StoredValue:
        """What it was last. Raises NotFound, Conflict."""
        async with self._database.transaction() as connection:
            revision = await self._store.begin_change(connection, place.entry)
            before = await self._store.find(connection, place)
            if before is None:
                raise _nothing_there(place)
            _check_version(before, version)
            await self._store.delete(connection, place)
            await self._record(connection, place, before.value, None, revision, by)
        self._work.set()
        return before

    def pushed_soon(self) -> None:
        """After a commit: there is something to push."""
        self._work.set()

    async def _record(self, connection: Connection, place: Place, before: Any, after: Any, version: int, by: str) -> None:
        change = Change(
            change_id=self._new_id("change"),
            place=place,
            old_value=None if before is None else self._redact(before),
            new_value=self._redact(after),
            version=version,
            changed_by=by,
            changed_at=self._clock.now(),
        )
        await self._store.record_change(connection, change)


def _check_version(before: StoredValue | None, version: int | None) -> None:
    now = 0 if before is None else before.version
    if version is not None and version != now:
        message = f"it has been changed meanwhile: its version is {now}"
        mistake = FieldMistake(field="version", message=f"is {version}", mend=f"read it again, and send {now}")
        raise Conflict(message, code="version_conflict", mistakes=(mistake,))


def _value_of(stored: StoredValue | None) -> Any:
    return None if stored is None else stored.value


def _facts(account: Account) -> dict[str, Any]:
    return {"tier": account.tier, "coins": account.coins}


def _no_client(client_id: str) -> NotFound:
    return NotFound(f"there is no client {client_id}", code="unknown_client")


def _nothing_there(place: Place) -> NotFound:
    name = place.item or place.entry.rsplit(".", 1)[1]
    return NotFound(f"there is no {name}", code="not_configured")
