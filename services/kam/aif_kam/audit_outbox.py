"""What the audit log has to be told of clients and keys: stored with the deed, published after it until that is confirmed."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from aif_contracts import subjects
from aif_contracts.audit import SOC2, AuditEntry, Severity
from aif_runtime.bus import Bus, Outgoing
from aif_runtime.clock import Clock, rfc3339
from aif_runtime.ids import NewId
from aif_runtime.postgres import Connection, Database

TOLD_AT_ONCE = 100
TIDY_SECONDS = 3600.0
TOLD_KEPT_DAYS = 30
"""In case that the broker loses an entry before the audit log has it."""
_ORIGIN = "kam"

_encode = msgspec.json.Encoder().encode


class AuditOutbox:
    def __init__(
        self,
        *,
        database: Database,
        queries: Mapping[str, str],
        bus: Bus,
        work: asyncio.Event,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        """`work` is set when there is something to tell."""
        self._database = database
        self._sql = queries
        self._bus = bus
        self._work = work
        self._clock = clock
        self._new_id = new_id
        self._tidied_at: float | None = None

    async def record(
        self, connection: Connection, action: str, *, by: str, client_id: str | None, details: dict[str, Any]
    ) -> None:
        """In the transaction of what was done; `told_soon` is the caller's to say after its commit."""
        entry = AuditEntry(
            audit_id=self._new_id("audit"),
            action=action,
            severity=Severity.INFO,
            actor=by,
            occurred_at=rfc3339(self._clock.now()),
            details=details,
            compliance=(SOC2,),
            client_id=client_id,
        )
        await connection.execute(self._sql["insert_audit_entry"], entry.audit_id, _encode(entry))

    def told_soon(self) -> None:
        self._work.set()

    async def tell(self) -> None:
        """Publish what is untold. Raises BusUnavailable, DatabaseUnavailable: then again later."""
        while await self._tell_some():
            pass

    async def tidy(self) -> None:
        """Now and then, delete what was told long ago. Raises DatabaseUnavailable."""
        now = self._clock.monotonic()
        if self._tidied_at is None or now - self._tidied_at >= TIDY_SECONDS:
            async with self._database.connection() as connection:
                await connection.execute(self._sql["delete_told_entries"], TOLD_KEPT_DAYS)
            self._tidied_at = now

    async def _tell_some(self) -> bool:
        """Whether there was something to tell."""
        async with self._database.connection() as connection:
            untold = await connection.fetch(self._sql["list_untold_entries"], TOLD_AT_ONCE)
        if not untold:
            return False
        subject = subjects.audit(_ORIGIN)
        await self._bus.publish(
            [Outgoing(subject=subject, payload=row["entry"], message_id=f"audit.{row['audit_id']}") for row in untold]
        )
        async with self._database.connection() as connection:
            await connection.execute(self._sql["mark_entries_told"], [row["audit_id"] for row in untold])
        return True
