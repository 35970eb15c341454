"""What people configure while the factory runs, as it lies in the bucket `aif_config`.

The gateway's database is the record of truth. The gateway writes every entry of the bucket, whoever needs them reads and
watches them. One entry holds one part of one client's configuration, or the whole configuration of the factory itself:

| entry | content |
|---|---|
| `system` | SystemValues: the factory's keys that are set |
| `client.<client_id>.profile` | Profile |
| `client.<client_id>.company` | Company |
| `client.<client_id>.products` | Products |
| `client.<client_id>.ai_settings` | AiSettings |
| `client.<client_id>.workspace.<workspace_id>` | Workspace |
| `complete` | nothing but its presence: every entry has been written since the bucket began, so what is missing is not set |
"""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from aif_contracts.money import UsdText
from aif_contracts.orders import ClientId

SYSTEM = "system"
COMPLETE = "complete"

PRIMARY_MODEL = "orchestrator_primary_model"
FALLBACK_MODEL = "orchestrator_fallback_model"
ENABLE_FALLBACK = "orchestrator_enable_fallback"
PRICES = "prices"
ACTION_SWITCHES = ("primary_model", "fallback_model", "enable_fallback")
"""Last words of `agent.<action>.<switch>`."""

ModelName = Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,200}$(?!\n)", description="A model as its provider names it")]
RequestsPerMinute = Annotated[int, Meta(ge=1, le=1_000_000)]
ShortText = Annotated[str, Meta(max_length=200)]
LongText = Annotated[str, Meta(max_length=4000)]
WebAddress = Annotated[str, Meta(max_length=500, pattern=r"^(https?://[^\s]+)?$(?!\n)", description="https://… or empty")]
LanguageTag = Annotated[
    str, Meta(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$(?!\n)", description="A language by its tag, for example de-AT")
]


def agent_key(action: str, switch: str) -> str:
    """The system key of a switch for one action of the workers, for example `agent.structure_course.primary_model`."""
    return f"agent.{action}.{switch}"


def requests_per_minute_key(provider: str) -> str:
    return f"provider_requests_per_minute.{provider}"


def profile_entry(client_id: str) -> str:
    return f"client.{client_id}.profile"


def company_entry(client_id: str) -> str:
    return f"client.{client_id}.company"


def products_entry(client_id: str) -> str:
    return f"client.{client_id}.products"


def ai_settings_entry(client_id: str) -> str:
    return f"client.{client_id}.ai_settings"


def workspace_entry(client_id: str, workspace_id: str) -> str:
    return f"client.{client_id}.workspace.{workspace_id}"


class ConfigurationEntry(Struct, frozen=True, kw_only=True):
    """One entry of the bucket."""

    revision: int
    """Rises with every change of the entry: of two, the one with the higher number holds."""
    content: Any = None
    """None: it is not set any more."""


class SystemValues(Struct, frozen=True, kw_only=True):
    """The factory's own configuration, by key. A key that is not there leaves the question to each process's settings."""

    values: dict[str, Any] = field(default_factory=dict)


class Profile(Struct, frozen=True, kw_only=True):
    """The client's account."""

    tier: ShortText = "standard"
    """A fact of the account; the client cannot change it."""
    coins: Annotated[int, Meta(ge=0)] = 0
    """A fact of the account; the client cannot change it."""
    display_name: ShortText = ""
    contact_email: Annotated[str, Meta(max_length=254)] = ""
    timezone: Annotated[str, Meta(max_length=64)] = "UTC"
    """Name in the IANA database."""


class Company(Struct, frozen=True, kw_only=True):
    name: ShortText = ""
    industry: ShortText = ""
    brand_voice: LongText = ""
    """How the company speaks, in its own words."""
    description: LongText = ""
    website: WebAddress = ""


class Product(Struct, frozen=True, kw_only=True):
    product_id: str
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    description: LongText = ""
    price_usd: UsdText | None = None
    """What the client asks for it; None when it does not say."""
    url: WebAddress = ""
    tags: Annotated[tuple[ShortText, ...], Meta(max_length=20)] = ()
    is_offered: bool = True


class Products(Struct, frozen=True, kw_only=True):
    products: tuple[Product, ...] = ()
    """By id, oldest first."""


class Workspace(Struct, frozen=True, kw_only=True):
    """One of a client's rooms. Nothing of one workspace is told in another."""

    workspace_id: ClientId
    name: ShortText = ""
    branding: dict[str, Any] = field(default_factory=dict)
    ai_behaviour: dict[str, Any] = field(default_factory=dict)
    funnels: dict[str, Any] = field(default_factory=dict)


class AiSettings(Struct, frozen=True, kw_only=True):
    """How a client wants its results to be made."""

    language: LanguageTag | None = None
    """None: that of the source, or of the topic."""
    tone: ShortText = ""
    preferred_models: Annotated[tuple[ModelName, ...], Meta(max_length=10)] = ()
    """The first one serves as primary model, the second one as fallback, where the operator says nothing for the action."""
    enable_fallback: bool | None = None
    """False keeps to one model, whatever fails; None leaves it to the operator."""
