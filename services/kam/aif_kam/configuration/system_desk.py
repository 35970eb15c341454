"""The factory's own configuration, for operators."""

from typing import Any

from aif_contracts.configuration import SYSTEM
from aif_kam.configuration.book import ConfigurationBook
from aif_kam.configuration.payloads import SystemValueView, SystemView, SystemWish
from aif_kam.configuration.store import Place, StoredValue
from aif_kam.configuration.system_keys import SystemKey, plain_keys, system_key
from aif_runtime.clock import rfc3339


class SystemDesk:
    def __init__(self, book: ConfigurationBook) -> None:
        self._book = book

    async def list_all(self) -> SystemView:
        """The keys that always are there, then every other one that is set."""
        stored = {each.place.item: each for each in await self._book.list_of_entry(SYSTEM)}
        names = [key.name for key in plain_keys()]
        keys = [*plain_keys(), *(system_key(name) for name in sorted(stored) if name not in names)]
        return SystemView(config=tuple(_view(key, stored.get(key.name)) for key in keys))

    async def read(self, name: str) -> SystemValueView:
        """Raises NotFound for what is no key."""
        key = system_key(name)
        return _view(key, await self._book.find(_place(name)))

    async def put(self, name: str, wish: SystemWish, by: str) -> SystemValueView:
        """Raises NotFound, InvalidInput, Conflict."""
        key = system_key(name)
        key.check(wish.value)
        return _view(key, await self._book.put(_place(name), wish.value, version=wish.version, by=by))

    async def remove(self, name: str, version: int | None, by: str) -> SystemValueView:
        """Raises NotFound, also where it is not set, and Conflict."""
        key = system_key(name)
        await self._book.remove(_place(name), version=version, by=by)
        return _view(key, None)


def _place(name: str) -> Place:
    return Place(entry=SYSTEM, item=name)


def _view(key: SystemKey, stored: StoredValue | None) -> SystemValueView:
    value: Any = None if stored is None else stored.value
    return SystemValueView(
        key=key.name,
        value=value,
        is_set=stored is not None,
        description=key.description,
        version=0 if stored is None else stored.version,
        updated_at=None if stored is None else rfc3339(stored.updated_at),
        updated_by=None if stored is None else stored.updated_by,
    )
