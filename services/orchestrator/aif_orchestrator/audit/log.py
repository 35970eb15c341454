"""Appends to the audit log, in the transaction that does the thing which is told of."""

from collections.abc import Sequence
from typing import Any

import msgspec

from aif_contracts.audit import SOC2, AuditEntry, Severity
from aif_orchestrator.audit.seals import Place, Sealed, Seals, sealed_bytes
from aif_orchestrator.audit.store import AuditStore, NewRow
from aif_runtime.clock import Clock, rfc3339
from aif_runtime.ids import NewId
from aif_runtime.postgres import Connection
from aif_runtime.redaction import Redactor


class AuditLog:
    def __init__(self, *, store: AuditStore, seals: Seals, redactor: Redactor, clock: Clock, new_id: NewId) -> None:
        self._store = store
        self._seals = seals
        self._redactor = redactor
        self._now = clock.now
        self._new_id = new_id

    async def tell(
        self,
        connection: Connection,
        action: str,
        actor: str,
        details: dict[str, Any],
        *,
        audit_id: str | None = None,
        severity: Severity = Severity.INFO,
        client_id: str | None = None,
        execution_id: str | None = None,
    ) -> None:
        """As `append`, for one thing that is being done now. An id of its own makes it one row, however often it is told."""
        entry = AuditEntry(
            audit_id=audit_id or self._new_id("audit"),
            action=action,
            severity=severity,
            actor=actor,
            occurred_at=rfc3339(self._now()),
            details=details,
            compliance=(SOC2,),
            client_id=client_id,
            execution_id=execution_id,
        )
        await self.append(connection, [entry])

    async def append(self, connection: Connection, entries: Sequence[AuditEntry]) -> set[str]:
        """Append those whose id is new, in order; returns their ids.

        Only inside of a transaction, as the last thing in it: until its end everybody else who appends waits.
        """
        if not entries:
            return set()
        head = await self._store.lock_head(connection)
        by_id = {entry.audit_id: entry for entry in reversed(entries)}
        known = await self._store.known_ids(connection, by_id)
        new = [entry for entry in entries if by_id.get(entry.audit_id) is entry and entry.audit_id not in known]
        rows: list[NewRow] = []
        place = head.place
        for entry in new:
            sealed = Sealed(
                sequence=place.sequence + 1,
                previous_hash=place.hash,
                recorded_at=rfc3339(head.at),
                sealed_with=self._seals.sealing,
                entry=msgspec.structs.replace(entry, details=self._redactor.value(entry.details)),
            )
            place = Place(sequence=sealed.sequence, hash=self._seals.hash_of(sealed_bytes(sealed), sealed.sealed_with))
            rows.append(NewRow(sealed=sealed, recorded_at=head.at, hash=place.hash))
        if rows:
            await self._store.append(connection, rows)
        return {entry.audit_id for entry in new}
