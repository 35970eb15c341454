"""The factory's own configuration. The gateway shows it to operators only."""

from typing import Any
from urllib.parse import quote

from msgspec import Struct

from aif_console.gateway.gateway import Gateway, without_none

CONFIG = "/api/admin/config"


class ConfigAnswer(Struct, frozen=True, kw_only=True):
    key: str
    value: Any
    is_set: bool
    description: str
    version: int
    updated_at: str | None
    updated_by: str | None
    remark: str | None = None
    """Of a change: what the gateway finds odd about it."""


class ConfigPage(Struct, frozen=True, kw_only=True):
    config: tuple[ConfigAnswer, ...]


async def list_config(gateway: Gateway) -> ConfigPage:
    """The general keys, and every other one that is set."""
    return await gateway.ask("GET", CONFIG, ConfigPage)


async def read_config(gateway: Gateway, key: str) -> ConfigAnswer:
    return await gateway.ask("GET", _path(key), ConfigAnswer)


async def set_config(gateway: Gateway, key: str, value: Any, version: int | None) -> ConfigAnswer:
    """Twice is as good as once, unless a version is named."""
    body = {"value": value} if version is None else {"value": value, "version": version}
    return await gateway.ask("PUT", _path(key), ConfigAnswer, json=body)


async def unset_config(gateway: Gateway, key: str, version: int | None) -> ConfigAnswer:
    return await gateway.ask("DELETE", _path(key), ConfigAnswer, params=without_none(version=version))


def _path(key: str) -> str:
    return f"{CONFIG}/{quote(key, safe='')}"
