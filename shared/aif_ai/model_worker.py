"""What every worker process that may ask models opens: connections, the configuration, and the door."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from msgspec import Struct

from aif_ai.assembly import open_door
from aif_ai.configuration import Configurations
from aif_ai.configuration_assembly import open_configuration
from aif_ai.door import Door
from aif_ai.model_settings import ModelSettings
from aif_ai.provider import Provider
from aif_ai.provider_reports import report_on_providers
from aif_runtime.connections import Connections, open_connections
from aif_runtime.process import Part, Surroundings

M = TypeVar("M", bound=ModelSettings)


class Equipment(Struct, frozen=True, kw_only=True):
    connections: Connections
    door: Door
    configurations: Configurations
    """What clients have configured."""
    following: Part
    """Part of the process: it follows the changes of the configuration."""


@asynccontextmanager
async def open_equipment(
    surroundings: Surroundings[M], *, origin: str, local: Sequence[Provider] = ()
) -> AsyncIterator[Equipment]:
    """`origin` is the worker that the audit log hears of configured values that cannot be used; `local` are its providers that
    need no key. Raises as `open_connections`."""
    settings = surroundings.settings
    async with open_connections(surroundings) as connections:
        configured = await open_configuration(
            connections.bus, surroundings.clock, origin=origin, free_models=settings.free_models
        )
        door = open_door(
            settings.model_access(),
            surroundings.clock,
            switches=configured.switches,
            cache=settings.opened_cache(connections.bus),
            local=local,
        )
        try:
            await door.open()
            report_on_providers(door, surroundings.health, surroundings.registry, redact=surroundings.redactor.sendable)
            yield Equipment(
                connections=connections,
                door=door,
                configurations=configured.clients,
                following=Part(name="configuration", run=configured.entries.run),
            )
        finally:
            await door.close()
