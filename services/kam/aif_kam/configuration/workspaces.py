"""Whether the workspace that an order names is one of its client's.

A misspelt one would do nothing, in silence: the work would be done without what the workspace says of itself, and its cost be
told under a name that nobody has given.
"""

import difflib

from aif_contracts.configuration import workspace_entry
from aif_kam.configuration.store import ConfigurationStore, Place
from aif_kam.failures import invalid
from aif_runtime.postgres import Connection, Database


class Workspaces:
    def __init__(self, *, database: Database, store: ConfigurationStore) -> None:
        self._database = database
        self._store = store

    async def require(self, client_id: str, workspace_id: str | None) -> None:
        """None is no workspace. Raises InvalidInput."""
        if workspace_id is not None:
            async with self._database.connection() as connection:
                await self.require_within(connection, client_id, workspace_id)

    async def require_within(self, connection: Connection, client_id: str, workspace_id: str | None) -> None:
        """As `require`, inside the caller's transaction."""
        if workspace_id is None:
            return
        place = Place(entry=workspace_entry(client_id, workspace_id), client_id=client_id)
        if await self._store.find(connection, place) is not None:
            return
        every = workspace_entry(client_id, "")
        known = [each.place.entry.removeprefix(every) for each in await self._store.list_below(connection, client_id, every)]
        near = difflib.get_close_matches(workspace_id, known, 1)
        mend = f"did you mean {near[0]}?" if near else "leave it out, or make it first at /api/kam/workspaces"
        raise invalid("workspace_id", f"there is no workspace {workspace_id!r}", mend, code="unknown_workspace")
