"""The gateway's settings."""

from typing import Annotated

from msgspec import Meta

from aif_runtime.bounded_connections import DEFAULT_LIMITS
from aif_runtime.process_settings import CommonSettings
from aif_runtime.settings import Secret


class KamSettings(CommonSettings, frozen=True, kw_only=True):
    kam_database_url: Annotated[
        Secret,
        Meta(description="Postgres URL of the gateway's own role, whose search path is its own schema"),
    ]
    key_pepper: Annotated[
        Secret,
        Meta(description="Secret under which API keys are hashed, at least 32 characters; changing it makes all keys invalid"),
    ]
    kam_host: Annotated[str, Meta(description="Address of the HTTP port")] = "127.0.0.1"
    kam_port: Annotated[int, Meta(ge=0, le=65535, description="HTTP port; 0 takes any free one")] = 8420
    kam_max_connections: Annotated[
        int,
        Meta(ge=1, le=100_000, description="HTTP connections at a time; fewer where the process may open fewer files"),
    ] = DEFAULT_LIMITS.connections
    kam_keep_unused_sources_days: Annotated[
        int,
        Meta(
            ge=0,
            le=36_500,
            description="Uploaded sources that no order and no schedule is about are deleted after so many days; "
            "0 keeps all for ever",
        ),
    ] = 30
    bootstrap_client_id: Annotated[
        str | None,
        Meta(description="Client that exists from the first start on", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$(?!\n)"),
    ] = None
    bootstrap_client_key: Annotated[Secret | None, Meta(description="That client's first API key")] = None
    bootstrap_admin_key: Annotated[Secret | None, Meta(description="The operator's first API key")] = None

    def __post_init__(self) -> None:
        if len(self.key_pepper.reveal()) < 32:
            raise ValueError("AIF_KEY_PEPPER has fewer than 32 characters: `python -m aif_kam.mint_keys` makes a good one")
        if (self.bootstrap_client_id is None) != (self.bootstrap_client_key is None):
            raise ValueError("AIF_BOOTSTRAP_CLIENT_ID and AIF_BOOTSTRAP_CLIENT_KEY belong together: set both or neither")
