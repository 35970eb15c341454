"""Clients as the operator makes, names, disables and enables them.

What a client is called stands in its profile, tier and coins in its account, what it may spend in its budget; here is only that
there is a client, and whether it may call and order.
"""

from aif_contracts.audit import CLIENT_CREATED, CLIENT_DISABLED, CLIENT_ENABLED
from aif_contracts.orders import FieldMistake
from aif_kam import problems
from aif_kam.accounts.client_store import ClientRow, ClientStore
from aif_kam.accounts.payloads import NewClient, client_view
from aif_kam.audit_outbox import AuditOutbox
from aif_kam.configuration.client_desk import ClientDesk
from aif_kam.failures import Conflict, NotFound, invalid
from aif_kam.idempotency import Answer, KeyedCall, KeyStore
from aif_runtime.postgres import Connection, Database

MOST_CLIENTS = 10_000
"""Each is an entry of the bucket that every process reads."""


class ClientBook:
    def __init__(
        self, *, database: Database, clients: ClientStore, desk: ClientDesk, keys: KeyStore, audit: AuditOutbox
    ) -> None:
        self._database = database
        self._clients = clients
        self._desk = desk
        self._keys = keys
        self._audit = audit

    async def create(self, wish: NewClient, by: str, call: KeyedCall | None) -> Answer:
        """Raises InvalidInput, KeyReused, KeyInFlight, Conflict where there is one of that name."""
        async with self._database.transaction() as connection:
            if earlier := await self._keys.earlier_answer(connection, call):
                return earlier
            await self._clients.lock_making(connection)
            if await self._clients.count(connection) >= MOST_CLIENTS:
                raise invalid(
                    "client_id", f"there are {MOST_CLIENTS:,} clients", "there may be no more", code="too_many_clients"
                )
            if not await self._clients.insert(connection, wish.client_id, wish.tier):
                raise _taken(wish.client_id)
            if wish.display_name:
                await self._desk.give_name(connection, wish.client_id, wish.display_name, by)
            details = {"display_name": wish.display_name, "tier": wish.tier}
            await self._audit.record(connection, CLIENT_CREATED, by=by, client_id=wish.client_id, details=details)
            answer = problems.created(client_view(await self._found(connection, wish.client_id)))
            if call is not None:
                await self._keys.answer(connection, call, answer)
        self._audit.told_soon()
        self._desk.pushed_soon()
        return answer

    async def find(self, client_id: str) -> ClientRow:
        """Raises NotFound."""
        async with self._database.connection() as connection:
            return await self._found(connection, client_id)

    async def list_page(self, *, after: str | None, is_disabled: bool | None, limit: int) -> list[ClientRow]:
        """By their ids."""
        async with self._database.connection() as connection:
            return await self._clients.list_page(connection, after=after, is_disabled=is_disabled, limit=limit)

    async def give_name(self, client_id: str, display_name: str, by: str) -> ClientRow:
        """Told to the audit log as every change of a profile. Raises NotFound."""
        async with self._database.transaction() as connection:
            await self._found(connection, client_id)
            await self._desk.give_name(connection, client_id, display_name, by)
            client = await self._found(connection, client_id)
        self._desk.pushed_soon()
        return client

    async def disable(self, client_id: str, by: str) -> ClientRow:
        """None of its keys is good any more, and it orders nothing. A second time changes nothing. Raises NotFound."""
        async with self._database.transaction() as connection:
            if await self._clients.disable(connection, client_id):
                await self._audit.record(connection, CLIENT_DISABLED, by=by, client_id=client_id, details={})
            client = await self._found(connection, client_id)
        self._audit.told_soon()
        return client

    async def enable(self, client_id: str, by: str) -> ClientRow:
        """Keys that were not revoked are good again. A second time changes nothing. Raises NotFound."""
        async with self._database.transaction() as connection:
            if await self._clients.enable(connection, client_id):
                await self._audit.record(connection, CLIENT_ENABLED, by=by, client_id=client_id, details={})
            client = await self._found(connection, client_id)
        self._audit.told_soon()
        return client

    async def _found(self, connection: Connection, client_id: str) -> ClientRow:
        client = await self._clients.find(connection, client_id)
        if client is None:
            raise NotFound(f"there is no client {client_id!r}", code="unknown_client")
        return client


def _taken(client_id: str) -> Conflict:
    mistake = FieldMistake(field="client_id", message="is a client's already", mend="choose another one")
    return Conflict(f"there is a client {client_id} already", code="client_exists", mistakes=(mistake,))
