"""The bucket follows the database: what was changed is written to it at once, and again when it is not there as it should be.

A change marks its entry as pending in its own transaction. Whoever pushes reads the entry as it is then, writes it and clears
the mark, all under one lock, so an older value never lands on a newer one, and a gateway that dies anywhere on the way leaves
the mark to the next. The entry `complete` is written last and goes with all others when the broker loses its store: where it is
missing, everything is pushed again. Every minute all entries are compared, for whoever else has had a hand in the bucket.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from aif_contracts import subjects
from aif_contracts.audit import CONFIGURATION_CHANGED, SOC2, AuditEntry, Severity
from aif_contracts.configuration import COMPLETE, SYSTEM, ConfigurationEntry, Products, Profile, SystemValues
from aif_kam.configuration.store import Account, Change, ConfigurationStore, EntryValue, Pending
from aif_runtime.bus import Bus, Outgoing
from aif_runtime.clock import Clock, rfc3339
from aif_runtime.postgres import Connection, Database

PUSHED_AT_ONCE = 64
TOLD_AT_ONCE = 100
COMPARE_SECONDS = 60.0
TOLD_KEPT_DAYS = 30
"""In case that the broker loses a change before the audit log has it."""
_ORIGIN = "kam"

_encode = msgspec.json.Encoder().encode


class _Numbered(Struct, frozen=True):
    revision: int


_NUMBERED = msgspec.json.Decoder(_Numbered)


class ConfigurationPush:
    def __init__(self, *, database: Database, store: ConfigurationStore, bus: Bus, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._bus = bus
        self._clock = clock
        self._compared_at: float | None = None

    async def follow(self) -> None:
        """Write what is pending, tell what was changed. Raises BusUnavailable, DatabaseUnavailable: then again later."""
        while await self._push_some():
            pass
        while await self._tell_some():
            pass

    async def mend(self) -> None:
        """Look whether the bucket still holds what was written, and delete changes that were told long ago.

        Raises BusUnavailable, DatabaseUnavailable.
        """
        if await self._bus.entry(subjects.BUCKET_CONFIG, COMPLETE) is None:
            await self._write_everything()
        now = self._clock.monotonic()
        if self._compared_at is None or now - self._compared_at >= COMPARE_SECONDS:
            await self._compare()
            async with self._database.connection() as connection:
                await self._store.delete_told(connection, told_before_days=TOLD_KEPT_DAYS)
            self._compared_at = now

    async def _write_everything(self) -> None:
        async with self._database.transaction() as connection:
            await self._store.push_everything_again(connection)
        while await self._push_some():
            pass
        await self._bus.put_entry(subjects.BUCKET_CONFIG, COMPLETE, b"{}")

    async def _compare(self) -> None:
        async with self._database.transaction() as connection:
            await self._store.lock_pushing(connection)
            pushed = await self._store.list_pushed(connection)
            held = await self._bus.entries(subjects.BUCKET_CONFIG)
            wrong = [entry for entry, revision in pushed.items() if _revision(held.get(entry)) != revision]
            await self._store.push_again(connection, wrong)
            pending = {each.entry for each in await self._store.list_pending(connection, len(held) + len(pushed) + 1)}
            for entry in held.keys() - pushed.keys() - pending:
                if _is_ours(entry):
                    await self._bus.delete_entry(subjects.BUCKET_CONFIG, entry)

    async def _push_some(self) -> bool:
        """Whether there was something to push."""
        async with self._database.transaction() as connection:
            await self._store.lock_pushing(connection)
            pending = await self._store.list_pending(connection, PUSHED_AT_ONCE)
            if not pending:
                return False
            contents = await self._contents(connection, pending)
            results = await asyncio.gather(
                *(self._write(each, contents[each.entry]) for each in pending), return_exceptions=True
            )
            done = [each for each, result in zip(pending, results, strict=True) if result is None]
            await self._store.mark_pushed(connection, done)
        for result in results:
            if result is not None:
                raise result
        return True

    async def _write(self, pending: Pending, content: Any) -> None:
        entry = ConfigurationEntry(revision=pending.revision, content=content)
        await self._bus.put_entry(subjects.BUCKET_CONFIG, pending.entry, _encode(entry))

    async def _contents(self, connection: Connection, pending: Sequence[Pending]) -> dict[str, Any]:
        entries = [each.entry for each in pending]
        values = await self._store.values_of(connection, entries)
        accounts = await self._store.accounts(connection, [client for entry in entries if (client := _profile_of(entry))])
        return {entry: _content(entry, values.get(entry, []), accounts) for entry in entries}

    async def _tell_some(self) -> bool:
        """Whether there was something to tell."""
        async with self._database.connection() as connection:
            changes = await self._store.list_untold(connection, TOLD_AT_ONCE)
        if not changes:
            return False
        await self._bus.publish([_audit_message(change) for change in changes])
        async with self._database.transaction() as connection:
            await self._store.mark_told(connection, [change.change_id for change in changes])
        return True


def _revision(entry: bytes | None) -> int | None:
    if entry is None:
        return None
    try:
        return _NUMBERED.decode(entry).revision
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _is_ours(entry: str) -> bool:
    return entry == SYSTEM or entry.startswith("client.")


def _profile_of(entry: str) -> str | None:
    """The client whose profile the entry is."""
    words = entry.split(".")
    return words[1] if len(words) == 3 and words[2] == "profile" else None


def _content(entry: str, values: Sequence[EntryValue], accounts: dict[str, Account]) -> Any:
    """What the entry tells; None where nothing is set."""
    if entry == SYSTEM:
        return SystemValues(values={each.item: each.value for each in values})
    if entry.endswith(".products"):
        return {"products": [each.value for each in values]} if values else Products()
    client_id = _profile_of(entry)
    if client_id is not None:
        account = accounts.get(client_id)
        facts = {} if account is None else {"tier": account.tier, "coins": account.coins}
        return msgspec.to_builtins(Profile()) | (values[0].value if values else {}) | facts
    return values[0].value if values else None


def _audit_message(change: Change) -> Outgoing:
    entry = AuditEntry(
        audit_id=change.change_id,
        action=CONFIGURATION_CHANGED,
        severity=Severity.INFO,
        actor=change.changed_by,
        occurred_at=rfc3339(change.changed_at),
        details={
            "entry": change.place.entry,
            "item": change.place.item,
            "version": change.version,
            "old_value": change.old_value,
            "new_value": change.new_value,
        },
        compliance=(SOC2,),
        client_id=change.place.client_id,
    )
    return Outgoing(subject=subjects.audit(_ORIGIN), payload=_encode(entry), message_id=f"audit.{entry.audit_id}")
