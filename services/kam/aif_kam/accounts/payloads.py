"""The shapes of HTTP bodies about clients and keys."""

from typing import Annotated

from msgspec import Meta, Struct

from aif_contracts.configuration import ShortText
from aif_contracts.orders import ClientId
from aif_kam.accounts.client_store import ClientRow, ClientStatus
from aif_kam.accounts.key_store import ApiKey, KeyStatus
from aif_kam.api_keys import KEY_PREFIX
from aif_kam.configuration.payloads import Tier
from aif_kam.identity import Scope
from aif_runtime.clock import rfc3339

LONGEST_GRACE_SECONDS = 7 * 24 * 3600
KeyName = Annotated[str, Meta(min_length=1, max_length=100)]
EndOfKey = Annotated[
    str,
    Meta(max_length=40, description="RFC 3339 with an offset: the key is good until then", examples=["2027-12-24T18:00:00Z"]),
]


class NewClient(Struct, frozen=True, kw_only=True):
    client_id: ClientId
    """For ever: orders, subjects and budgets name it."""
    display_name: ShortText = ""
    """As in its profile, where the client may change it."""
    tier: Tier = "standard"
    """`free` has cheap models only, whatever an order wishes; every other tier has all."""


class ClientName(Struct, frozen=True, kw_only=True):
    display_name: ShortText


class ClientView(Struct, frozen=True, kw_only=True):
    client_id: str
    display_name: str
    tier: str
    status: ClientStatus
    """None of the keys of a disabled client is good, and it orders nothing; what it had ordered goes on."""
    created_at: str
    disabled_at: str | None
    links: dict[str, str]


class ClientPage(Struct, frozen=True, kw_only=True):
    clients: tuple[ClientView, ...]
    next_cursor: str | None


class NewKey(Struct, frozen=True, kw_only=True):
    name: KeyName
    """What tells it from others: who or what calls with it."""
    scope: Scope = Scope.ORDER
    """`read` sees and changes nothing, `order` does everything of its client but change its keys, `manage` that, too, `admin`
    is the operator's. None above that of the key that asks."""
    client_id: ClientId | None = None
    """For an admin key, which belongs to no client: whose key it is to be. None for the operator's."""
    expires_at: EndOfKey | None = None
    """Never when left out; for a client's key that ends itself, no later than that one."""


class Rotation(Struct, frozen=True, kw_only=True):
    grace_seconds: Annotated[int, Meta(ge=0, le=LONGEST_GRACE_SECONDS)]
    """How long the old key goes on; with 0 it is revoked at once."""
    expires_at: EndOfKey | None = None
    """As the old one when left out."""


class KeyView(Struct, frozen=True, kw_only=True):
    key_id: str
    prefix: str
    """How the key begins."""
    client_id: str | None
    """None for the operator's."""
    name: str
    scope: Scope
    status: KeyStatus
    created_at: str
    created_by: str | None
    """None where the gateway's settings have brought it."""
    last_used_at: str | None
    """An hour before its last use at most; None for never."""
    expires_at: str | None
    revoked_at: str | None
    replaced_by: str | None
    """The key that was made in its place."""


class MintedKey(KeyView, frozen=True, kw_only=True):
    key: str | None
    """The key itself, this once. null in an answer that is given again: then rotate the key, without grace, for another one."""
    replaces: KeyView | None = None


class KeyPage(Struct, frozen=True, kw_only=True):
    keys: tuple[KeyView, ...]
    next_cursor: str | None


def client_view(client: ClientRow) -> ClientView:
    path = f"/api/admin/clients/{client.client_id}"
    return ClientView(
        client_id=client.client_id,
        display_name=client.display_name,
        tier=client.tier,
        status=client.status,
        created_at=rfc3339(client.created_at),
        disabled_at=None if client.disabled_at is None else rfc3339(client.disabled_at),
        links={
            "self": path,
            "account": f"{path}/account",
            "budget": f"{path}/budget",
            "keys": f"/api/kam/keys?client_id={client.client_id}",
            "requests": f"/api/kam/requests?client_id={client.client_id}",
        },
    )


def key_view(key: ApiKey) -> KeyView:
    return KeyView(
        key_id=key.key_id,
        prefix=f"{KEY_PREFIX}{key.key_id}",
        client_id=key.client_id,
        name=key.name,
        scope=key.scope,
        status=key.status,
        created_at=rfc3339(key.created_at),
        created_by=key.created_by,
        last_used_at=None if key.last_used_at is None else rfc3339(key.last_used_at),
        expires_at=None if key.expires_at is None else rfc3339(key.expires_at),
        revoked_at=None if key.revoked_at is None else rfc3339(key.revoked_at),
        replaced_by=key.replaced_by,
    )
