"""What a client has configured, read in parallel, cached and kept up to date; what cannot be used is as if it were not set."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct

from aif_ai.configuration_complaints import Complaints
from aif_ai.configuration_entries import ConfigurationEntries
from aif_contracts.configuration import (
    AiSettings,
    Company,
    ConfigurationEntry,
    Product,
    Profile,
    Workspace,
    ai_settings_entry,
    company_entry,
    products_entry,
    profile_entry,
    workspace_entry,
)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

Part = TypeVar("Part", bound=Struct)


class ClientConfiguration(Struct, frozen=True, kw_only=True):
    client_id: str
    profile: Profile = Profile()
    company: Company = Company()
    products: tuple[Product, ...] = ()
    ai_settings: AiSettings = AiSettings()
    workspace: Workspace | None = None
    """The one that was asked for, and no other; None when none was, or when there is none of that name."""


class ClientConfigurations(Protocol):
    async def of(self, client_id: str, workspace_id: str | None = None) -> ClientConfiguration:
        """Never raises: what cannot be read or used is at its default."""
        ...


class NoClientConfigurations:
    """Nobody has configured anything."""

    async def of(self, client_id: str, workspace_id: str | None = None) -> ClientConfiguration:
        return ClientConfiguration(client_id=client_id)


class Configurations:
    def __init__(self, *, entries: ConfigurationEntries, complaints: Complaints) -> None:
        self._entries = entries
        self._complaints = complaints

    async def of(self, client_id: str, workspace_id: str | None = None) -> ClientConfiguration:
        """Never raises: what cannot be read or used is at its default."""
        if _ID.fullmatch(client_id) is None:
            return ClientConfiguration(client_id=client_id)
        profile, company, products, ai_settings, workspace = await asyncio.gather(
            self._part(profile_entry(client_id), Profile),
            self._part(company_entry(client_id), Company),
            self._products(client_id),
            self._part(ai_settings_entry(client_id), AiSettings),
            self._workspace(client_id, workspace_id),
        )
        return ClientConfiguration(
            client_id=client_id,
            profile=profile,
            company=company,
            products=products,
            ai_settings=ai_settings,
            workspace=workspace,
        )

    async def ai_settings(self, client_id: str) -> AiSettings:
        """That part alone. Never raises."""
        if _ID.fullmatch(client_id) is None:
            return AiSettings()
        return await self._part(ai_settings_entry(client_id), AiSettings)

    async def _part(self, name: str, kind: type[Part]) -> Part:
        entry = await self._entries.entry(name)
        return kind() if entry.content is None else self._read(name, entry, "", entry.content, kind) or kind()

    async def _products(self, client_id: str) -> tuple[Product, ...]:
        name = products_entry(client_id)
        entry = await self._entries.entry(name)
        if entry.content is None:
            return ()
        listed = entry.content.get("products") if isinstance(entry.content, dict) else None
        if not isinstance(listed, Sequence) or isinstance(listed, str):
            self._complaints.note(name, entry.revision, "products", "is no list")
            return ()
        read = (self._read(name, entry, f"products[{at}].", each, Product) for at, each in enumerate(listed))
        return tuple(product for product in read if product is not None)

    async def _workspace(self, client_id: str, workspace_id: str | None) -> Workspace | None:
        if workspace_id is None or _ID.fullmatch(workspace_id) is None:
            return None
        name = workspace_entry(client_id, workspace_id)
        entry = await self._entries.entry(name)
        return None if entry.content is None else self._read(name, entry, "", entry.content, Workspace)

    def _read(self, name: str, entry: ConfigurationEntry, place: str, content: Any, kind: type[Part]) -> Part | None:
        """Field by field, so that one that cannot be used costs no other; None where a necessary one is missing."""
        if not isinstance(content, dict):
            self._complaints.note(name, entry.revision, place.rstrip("."), "is no object")
            return None
        known: dict[str, Any] = {}
        for info in msgspec.structs.fields(kind):
            if info.encode_name not in content:
                reason = "is missing" if info.required else None
            else:
                try:
                    known[info.name] = msgspec.convert(content[info.encode_name], info.type)
                    continue
                except msgspec.ValidationError as wrong:
                    reason = str(wrong)
            if reason is not None:
                self._complaints.note(name, entry.revision, f"{place}{info.encode_name}", reason)
                if info.required:
                    return None
        return kind(**known)
