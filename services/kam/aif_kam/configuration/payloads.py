"""The shapes of HTTP bodies about configuration.

A wish may name the `version` that it was made from: then it is refused when somebody has changed the thing meanwhile. 0 is the
version of what is not set.
"""

from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct, field

from aif_contracts.configuration import AiSettings, Company, LongText, Product, Profile, ShortText, WebAddress, Workspace
from aif_contracts.money import UsdText
from aif_contracts.orders import ClientId
from aif_kam.configuration.store import StoredValue
from aif_runtime.clock import rfc3339

Version = Annotated[int, Meta(ge=0)]
Email = Annotated[
    str,
    Meta(max_length=254, pattern=r"^([^@\s]+@[^@\s]+)?$(?!\n)", description="An e-mail address, or empty", examples=["a@b.eu"]),
]
Part = TypeVar("Part", bound=Struct)


class SystemWish(Struct, frozen=True, kw_only=True):
    value: Any
    version: Version | None = None


class SystemValueView(Struct, frozen=True, kw_only=True):
    key: str
    value: Any
    """null where it is not set."""
    is_set: bool
    description: str
    version: int
    updated_at: str | None
    updated_by: str | None
    remark: str | None = None
    """Of a change: that nobody has the action or the provider that the key names; it is set all the same."""


class SystemView(Struct, frozen=True, kw_only=True):
    config: tuple[SystemValueView, ...]


class ProfileWish(Struct, frozen=True, kw_only=True):
    display_name: ShortText = ""
    contact_email: Email = ""
    timezone: Annotated[str, Meta(max_length=64)] = "UTC"
    """Name in the IANA database."""
    version: Version | None = None


class ProfileView(Profile, frozen=True, kw_only=True):
    client_id: str
    version: int
    updated_at: str | None
    updated_by: str | None


Tier = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$(?!\n)", examples=["free", "standard"])]


class AccountWish(Struct, frozen=True, kw_only=True):
    """What is left out stays as it is."""

    tier: Tier | None = None
    """`free` has cheap models only, whatever an order wishes; every other tier has all."""
    coins: Annotated[int, Meta(ge=0, le=1_000_000_000_000)] | None = None
    """Shown in the profile. What AI work may take is the budget's energy."""


class AccountView(Struct, frozen=True, kw_only=True):
    client_id: str
    tier: str
    coins: int


class CompanyWish(Company, frozen=True, kw_only=True):
    version: Version | None = None


class CompanyView(Company, frozen=True, kw_only=True):
    client_id: str
    version: int
    updated_at: str | None
    updated_by: str | None


class AiSettingsWish(AiSettings, frozen=True, kw_only=True):
    version: Version | None = None


class AiSettingsView(AiSettings, frozen=True, kw_only=True):
    client_id: str
    version: int
    updated_at: str | None
    updated_by: str | None


class ProductWish(Struct, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    description: LongText = ""
    price_usd: UsdText | None = None
    """What the client asks for it."""
    url: WebAddress = ""
    tags: Annotated[tuple[ShortText, ...], Meta(max_length=20)] = ()
    is_offered: bool = True
    version: Version | None = None


class ProductView(Product, frozen=True, kw_only=True):
    client_id: str
    version: int
    updated_at: str | None
    updated_by: str | None


class ProductList(Struct, frozen=True, kw_only=True):
    products: tuple[ProductView, ...]


class NewWorkspace(Struct, frozen=True, kw_only=True):
    workspace_id: ClientId
    """As orders name it."""
    name: ShortText = ""
    branding: dict[str, Any] = field(default_factory=dict)
    ai_behaviour: dict[str, Any] = field(default_factory=dict)
    funnels: dict[str, Any] = field(default_factory=dict)


class WorkspaceWish(Struct, frozen=True, kw_only=True):
    name: ShortText = ""
    branding: dict[str, Any] = field(default_factory=dict)
    ai_behaviour: dict[str, Any] = field(default_factory=dict)
    funnels: dict[str, Any] = field(default_factory=dict)
    version: Version | None = None


class WorkspaceView(Workspace, frozen=True, kw_only=True):
    client_id: str
    version: int
    updated_at: str | None
    updated_by: str | None


class WorkspaceList(Struct, frozen=True, kw_only=True):
    workspaces: tuple[WorkspaceView, ...]


def part_of(wish: Struct, part: type[Part], **others: Any) -> Part:
    """The fields of a wish that the part has, too."""
    shared = {name: getattr(wish, name) for name in part.__struct_fields__ if name in wish.__struct_fields__}
    return part(**shared, **others)


def stamp(client_id: str, stored: StoredValue | None) -> dict[str, Any]:
    """What a client's view says besides its content."""
    if stored is None:
        return {"client_id": client_id, "version": 0, "updated_at": None, "updated_by": None}
    return {
        "client_id": client_id,
        "version": stored.version,
        "updated_at": rfc3339(stored.updated_at),
        "updated_by": stored.updated_by,
    }
