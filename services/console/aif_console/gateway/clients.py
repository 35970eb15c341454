"""Clients, as the operator makes, names, disables and enables them."""

from msgspec import Struct

from aif_console.gateway.gateway import Gateway, once, without_none

CLIENTS = "/api/admin/clients"


class ClientAnswer(Struct, frozen=True, kw_only=True):
    client_id: str
    display_name: str
    tier: str
    status: str
    created_at: str
    disabled_at: str | None = None


class ClientPage(Struct, frozen=True, kw_only=True):
    clients: tuple[ClientAnswer, ...]
    next_cursor: str | None = None


async def list_clients(gateway: Gateway, *, is_disabled: bool | None, cursor: str | None, limit: int) -> ClientPage:
    """By their ids."""
    query = without_none(disabled=is_disabled, cursor=cursor, limit=limit)
    return await gateway.ask("GET", CLIENTS, ClientPage, params=query)


async def read_client(gateway: Gateway, client_id: str) -> ClientAnswer:
    return await gateway.ask("GET", f"{CLIENTS}/{client_id}", ClientAnswer)


async def add_client(gateway: Gateway, client_id: str, *, display_name: str | None, tier: str | None) -> ClientAnswer:
    """One client, however often it has to be sent."""
    body = without_none(client_id=client_id, display_name=display_name, tier=tier)
    return await gateway.ask("POST", CLIENTS, ClientAnswer, headers=once(), json=body)


async def rename_client(gateway: Gateway, client_id: str, display_name: str) -> ClientAnswer:
    return await gateway.ask("PUT", f"{CLIENTS}/{client_id}", ClientAnswer, json={"display_name": display_name})


async def disable_client(gateway: Gateway, client_id: str) -> ClientAnswer:
    return await gateway.ask("POST", f"{CLIENTS}/{client_id}/disable", ClientAnswer)


async def enable_client(gateway: Gateway, client_id: str) -> ClientAnswer:
    return await gateway.ask("POST", f"{CLIENTS}/{client_id}/enable", ClientAnswer)
