"""Tier and coins of a client: it reads its own, the operator reads and changes everybody's."""

import msgspec
from msgspec import Struct

from aif_console.gateway.gateway import Gateway


class AccountAnswer(Struct, frozen=True, kw_only=True):
    client_id: str
    tier: str
    coins: int


class AccountChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is None stays as it is."""

    tier: str | None = None
    coins: int | None = None


async def own_account(gateway: Gateway) -> AccountAnswer:
    return await gateway.ask("GET", "/api/kam/profile", AccountAnswer)


async def account_of(gateway: Gateway, client_id: str) -> AccountAnswer:
    return await gateway.ask("GET", _path(client_id), AccountAnswer)


async def change_account(gateway: Gateway, client_id: str, change: AccountChange) -> AccountAnswer:
    return await gateway.ask("PUT", _path(client_id), AccountAnswer, json=msgspec.to_builtins(change))


def _path(client_id: str) -> str:
    return f"/api/admin/clients/{client_id}/account"
