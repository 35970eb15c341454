"""API keys as they are made, rotated and revoked.

A key is shown in the answer that makes it and nowhere else: what is kept for a repeated call is that answer without the key.
Who has lost it rotates the key without grace, and has another one.

Nobody makes a key that may do more than the own one, or lasts longer where that is a client's. What a client may not see does
not exist for it. Changes of one owner's keys come one after another, also with what is done by them, and whoever asks for one
must still have a good key then: a key that is being revoked makes no other at the last moment.
"""

from datetime import datetime
from typing import Any

from msgspec.structs import asdict

from aif_contracts.audit import API_KEY_CREATED, API_KEY_REVOKED, API_KEY_ROTATED
from aif_kam import problems
from aif_kam.accounts.key_store import ApiKey, ApiKeyStore, NewApiKey
from aif_kam.accounts.payloads import KeyView, MintedKey, NewKey, Rotation, key_view
from aif_kam.api_keys import KeyDigest, key_id_of, mint_api_key
from aif_kam.audit_outbox import AuditOutbox
from aif_kam.database_time import DatabaseTime
from aif_kam.failures import Conflict, NotAllowed, NotAuthenticated, NotFound, invalid
from aif_kam.idempotency import Answer, KeyedCall, KeyStore
from aif_kam.identity import Caller, Scope
from aif_kam.start_times import moment_of
from aif_runtime.clock import rfc3339
from aif_runtime.postgres import Connection, Database

MOST_KEYS = 100
"""Good ones of a client, and of the operator's."""


class ApiKeyBook:
    def __init__(
        self,
        *,
        database: Database,
        api_keys: ApiKeyStore,
        digest: KeyDigest,
        keys: KeyStore,
        time: DatabaseTime,
        audit: AuditOutbox,
    ) -> None:
        self._database = database
        self._api_keys = api_keys
        self._digest = digest
        self._keys = keys
        self._time = time
        self._audit = audit

    async def mint(self, caller: Caller, client_id: str | None, wish: NewKey, call: KeyedCall | None) -> Answer:
        """A key of that client, None for the operator's.

        Raises NotAllowed, InvalidInput, KeyReused, KeyInFlight, NotAuthenticated.
        """
        if not caller.scope.covers(wish.scope):
            raise NotAllowed(f"a key of the scope {caller.scope} makes none of the scope {wish.scope}")
        async with self._database.transaction() as connection:
            if earlier := await self._keys.earlier_answer(connection, call):
                return earlier
            await self._wait_for_turn(connection, caller, client_id)
            end = await self._end(connection, caller, wish.expires_at, None)
            key, view = await self._minted(connection, caller, client_id, wish.scope, wish.name, end)
            await self._check_room(connection, client_id, field="name")
            details = _facts(view)
            await self._audit.record(connection, API_KEY_CREATED, by=caller.actor, client_id=client_id, details=details)
            answer = await self._answered(connection, call, MintedKey(**asdict(view), key=key))
        self._audit.told_soon()
        return answer

    async def rotate(self, caller: Caller, key_id: str, wish: Rotation, call: KeyedCall | None) -> Answer:
        """Another key in the place of this one, which goes on for its grace.

        Raises NotFound, Conflict where it is not good or was replaced, InvalidInput, KeyReused, KeyInFlight, NotAuthenticated.
        """
        async with self._database.transaction() as connection:
            if earlier := await self._keys.earlier_answer(connection, call):
                return earlier
            old = await self._locked(connection, caller, key_id)
            end = await self._end(connection, caller, wish.expires_at, old.expires_at)
            if not old.status.is_good or old.replaced_by is not None:
                raise _not_rotatable(old)
            key, view = await self._minted(connection, caller, old.client_id, old.scope, old.name, end)
            await self._api_keys.replace(connection, key_id, by=view.key_id, grace_seconds=wish.grace_seconds)
            await self._check_room(connection, old.client_id, field="grace_seconds")
            replaced = key_view(await self._found(connection, key_id, caller.sees))
            details = {**_facts(view), "replaces": key_id, "grace_seconds": wish.grace_seconds}
            await self._audit.record(connection, API_KEY_ROTATED, by=caller.actor, client_id=old.client_id, details=details)
            answer = await self._answered(connection, call, MintedKey(**asdict(view), key=key, replaces=replaced))
        self._audit.told_soon()
        return answer

    async def revoke(self, caller: Caller, key_id: str) -> ApiKey:
        """At once and for good; a second time changes nothing.

        Raises NotFound, NotAuthenticated, and Conflict where the operator would be left without a key.
        """
        async with self._database.transaction() as connection:
            key = await self._locked(connection, caller, key_id)
            await self._own(connection, caller)
            if key.revoked_at is not None:
                return key
            if key.scope is Scope.ADMIN and await self._api_keys.count_lasting_operator_keys(connection, besides=key_id) == 0:
                raise Conflict(
                    "this is the operator's last key that is good and was not replaced: make another one first",
                    code="last_operator_key",
                )
            await self._api_keys.revoke(connection, key_id)
            await self._audit.record(
                connection, API_KEY_REVOKED, by=caller.actor, client_id=key.client_id, details=_facts(key_view(key))
            )
            revoked = await self._found(connection, key_id, caller.sees)
        self._audit.told_soon()
        return revoked

    async def find(self, key_id: str, owner: str | None) -> ApiKey:
        """Raises NotFound, also for another client's."""
        async with self._database.connection() as connection:
            return await self._found(connection, key_id, owner)

    async def list_page(
        self, owner: str | None, *, scope: Scope | None, is_active: bool | None, after: str | None, limit: int
    ) -> list[ApiKey]:
        """Newest first."""
        async with self._database.connection() as connection:
            return await self._api_keys.list_page(connection, owner, scope=scope, is_active=is_active, after=after, limit=limit)

    async def _minted(
        self,
        connection: Connection,
        caller: Caller,
        client_id: str | None,
        scope: Scope,
        name: str,
        end: datetime | None,
    ) -> tuple[str, KeyView]:
        """The key, and what may be known of it."""
        key = mint_api_key()
        key_id = key_id_of(key)
        assert key_id is not None, "a key that was minted has an id"
        new = NewApiKey(
            key_id=key_id,
            client_id=client_id,
            scope=scope,
            digest=self._digest.of(key),
            name=name,
            expires_at=end,
            created_by=caller.actor,
        )
        await self._api_keys.insert(connection, new)
        return key, key_view(await self._found(connection, key_id, client_id))

    async def _check_room(self, connection: Connection, client_id: str | None, *, field: str) -> None:
        """After a key was made: one that took another one's place without grace always has room."""
        if await self._api_keys.count_active(connection, client_id) > MOST_KEYS:
            raise invalid(field, f"there are {MOST_KEYS} good keys", "revoke one that nobody needs", code="too_many_keys")

    async def _end(
        self, connection: Connection, caller: Caller, wished: str | None, otherwise: datetime | None
    ) -> datetime | None:
        """When a new key ends: as is wished, else as is given, and no later than the client's key that asks.

        Raises InvalidInput, NotAuthenticated.
        """
        own = await self._own(connection, caller)
        latest = own.expires_at if caller.client_id is not None else None
        if wished is None:
            return min((end for end in (otherwise, latest) if end is not None), default=None)
        end = moment_of(wished, field="expires_at")
        if end <= await self._time.within(connection):
            raise invalid("expires_at", f"{wished!r} is over", "name a time to come, or leave it out")
        if latest is not None and end > latest:
            message = f"{wished!r} is later than the end of the key that asks"
            raise invalid("expires_at", message, f"name {rfc3339(latest)} at the latest")
        return end

    async def _own(self, connection: Connection, caller: Caller) -> ApiKey:
        """The key that asks, as it is now. Raises NotAuthenticated."""
        own = await self._api_keys.find(connection, caller.key_id, caller.sees)
        if own is None or not own.status.is_good:
            raise NotAuthenticated("the API key has been revoked meanwhile, or has expired")
        return own

    async def _answered(self, connection: Connection, call: KeyedCall | None, minted: MintedKey) -> Answer:
        """The answer with the key; kept for a repeated call without it."""
        if call is not None:
            view = asdict(minted) | {"key": None}
            await self._keys.answer(connection, call, problems.created(MintedKey(**view)))
        return problems.created(minted)

    async def _locked(self, connection: Connection, caller: Caller, key_id: str) -> ApiKey:
        """As it is once nobody else changes its owner's keys. Raises NotFound."""
        await self._wait_for_turn(connection, caller, (await self._found(connection, key_id, caller.sees)).client_id)
        return await self._found(connection, key_id, caller.sees)

    async def _wait_for_turn(self, connection: Connection, caller: Caller, owner: str | None) -> None:
        """Nobody else changes the owner's keys then, nor the key that asks: the operator's are locked before a client's, so
        no two wait for each other."""
        if caller.client_id != owner:
            await self._api_keys.lock_of(connection, caller.client_id)
        await self._api_keys.lock_of(connection, owner)

    async def _found(self, connection: Connection, key_id: str, owner: str | None) -> ApiKey:
        key = await self._api_keys.find(connection, key_id, owner)
        if key is None:
            raise NotFound(f"there is no key {key_id}", code="unknown_key")
        return key


def _facts(key: KeyView) -> dict[str, Any]:
    """For the audit log."""
    return {"key_id": key.key_id, "name": key.name, "scope": key.scope, "expires_at": key.expires_at}


def _not_rotatable(key: ApiKey) -> Conflict:
    if key.status.is_good:
        message = f"it was replaced by {key.replaced_by}: rotate that one"
    else:
        message = f"it is {key.status}, for good: make another one"
    return Conflict(message, code="key_not_active")
