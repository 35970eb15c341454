"""Who is calling: an API key to a client, or to the operator."""

import enum
from collections.abc import Mapping
from contextlib import suppress

from msgspec import Struct

from aif_contracts.orders import FieldMistake
from aif_kam.api_keys import KeyDigest, key_id_of
from aif_kam.failures import NotAllowed, NotAuthenticated, NotFound, invalid
from aif_runtime.failures import DatabaseUnavailable
from aif_runtime.postgres import Connection, Database


class Scope(enum.StrEnum):
    """What a key may do; each may do what those before it may."""

    READ = "read"
    """See what its client has, and change nothing."""
    ORDER = "order"
    """Everything of its client but to change its keys."""
    MANAGE = "manage"
    """Everything of its client."""
    ADMIN = "admin"
    """The operator's: everything of everybody."""

    def covers(self, other: "Scope") -> bool:
        """Whether a key of this scope may do all that one of the other may."""
        order = tuple(Scope)
        return order.index(self) >= order.index(other)


class Client(Struct, frozen=True, kw_only=True):
    client_id: str
    tier: str
    is_disabled: bool
    """It orders nothing any more."""


class Caller(Struct, frozen=True, kw_only=True):
    key_id: str
    scope: Scope
    client_id: str | None
    """None for the operator."""

    @property
    def sees(self) -> str | None:
        """The client whose things this caller may see; None for all."""
        return self.client_id

    @property
    def signature(self) -> str:
        """Who decides something, for the record: the key, and whose it is."""
        whose = "the operator" if self.client_id is None else self.client_id
        return f"key_{self.key_id} of {whose}"

    @property
    def actor(self) -> str:
        """Who did something, for the audit log."""
        return f"api_key:{self.key_id}"

    def owner(self, named: str | None, *, field: str = "client_id") -> str | None:
        """Whose things a call is about: the caller's own client, or whom the operator names; None for the factory itself."""
        return None if self.client_id is None and named is None else self.acting_for(named, field=field)

    def acting_for(self, named: str | None, *, field: str = "client_id") -> str:
        """The client that a call is made for: the caller's own, or whom the operator names."""
        if self.client_id is None:
            if named is None:
                raise invalid(field, f"{field} is missing", "an admin key belongs to no client: say for which one it acts")
            return named
        if named is not None and named != self.client_id:
            raise NotAllowed(
                f"{field} names another client than the one that the API key belongs to",
                mistakes=(FieldMistake(field=field, message="is not the key's own client", mend=f"use {self.client_id}"),),
            )
        return self.client_id


class Identity:
    def __init__(self, *, database: Database, digest: KeyDigest, queries: Mapping[str, str]) -> None:
        self._database = database
        self._digest = digest
        self._sql = queries

    async def caller(self, key: str | None) -> Caller:
        """Raises NotAuthenticated, with one answer for every reason."""
        key_id = key_id_of(key) if key else None
        if key is None or key_id is None:
            raise _unknown()
        async with self._database.connection() as connection:
            row = await connection.fetchrow(self._sql["find_key"], key_id)
        if not self._digest.matches(key, row["digest"] if row is not None else None) or row is None:
            raise _unknown()
        if row["use_is_unnoted"]:
            # Reading goes on where nothing can be written.
            with suppress(DatabaseUnavailable):
                await self._note_use(key_id)
        return Caller(key_id=key_id, scope=Scope(row["scope"]), client_id=row["client_id"])

    async def _note_use(self, key_id: str) -> None:
        async with self._database.connection() as connection:
            await connection.execute(self._sql["note_key_use"], key_id)

    async def find_client(self, connection: Connection, client_id: str) -> Client | None:
        row = await connection.fetchrow(self._sql["find_client"], client_id)
        return None if row is None else Client(client_id=row["client_id"], tier=row["tier"], is_disabled=row["is_disabled"])

    async def acting_for(self, caller: Caller, named: str | None) -> str:
        """The client that a call is made for: the key's own, or the one that the operator names, which has to be there.

        Raises InvalidInput, NotAllowed.
        """
        client_id = caller.acting_for(named)
        if caller.client_id is None:
            await self.require_client(client_id)
        return client_id

    async def ordering_for(self, caller: Caller, named: str | None) -> str:
        """As `acting_for`, where something is ordered: the client that the operator names must not be disabled."""
        client_id = caller.acting_for(named)
        if caller.client_id is None and (await self.require_client(client_id)).is_disabled:
            raise invalid("client_id", f"the client {client_id} is disabled", "enable it first", code="client_disabled")
        return client_id

    async def owner(self, caller: Caller, named: str | None) -> str | None:
        """Whose things a call is about: the key's own client, or whom the operator names, who has to be there; None for all.

        Raises InvalidInput, NotAllowed.
        """
        owner = caller.owner(named)
        if owner is not None and caller.client_id is None:
            await self.require_client(owner)
        return owner

    async def require_client(self, client_id: str, *, field: str = "client_id") -> Client:
        """Raises InvalidInput when the operator names a client that there is not."""
        async with self._database.connection() as connection:
            found = await self.find_client(connection, client_id)
        if found is None:
            raise invalid(field, f"there is no client {client_id!r}", "name a client that exists", code="unknown_client")
        return found

    async def client_at(self, client_id: str) -> Client:
        """The client that an address names. Raises NotFound."""
        found = None
        # Postgres has no NUL character.
        if "\x00" not in client_id:
            async with self._database.connection() as connection:
                found = await self.find_client(connection, client_id)
        if found is None:
            raise NotFound(f"there is no client {client_id[:80]!r}", code="unknown_client")
        return found

    async def keep_client(self, client_id: str, key: str) -> None:
        """Make sure that the client exists and that the key is its. Raises ValueError for a malformed key."""
        async with self._database.transaction() as connection:
            await connection.execute(self._sql["keep_client"], client_id)
            await self._keep_key(connection, key, client_id, Scope.ORDER)

    async def keep_admin_key(self, key: str) -> None:
        """Make sure that the key is an operator's. Raises ValueError for a malformed key."""
        async with self._database.transaction() as connection:
            await self._keep_key(connection, key, None, Scope.ADMIN)

    async def _keep_key(self, connection: Connection, key: str, client_id: str | None, scope: Scope) -> None:
        key_id = key_id_of(key)
        if key_id is None:
            raise ValueError("is no API key of this factory: make one with `python -m aif_kam.mint_keys`")
        await connection.execute(self._sql["upsert_key"], key_id, client_id, scope, self._digest.of(key))


def _unknown() -> NotAuthenticated:
    return NotAuthenticated(
        "the API key is missing, malformed, unknown, expired or revoked: send a valid one in the header X-API-Key"
    )
