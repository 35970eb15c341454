"""The audit log's rows. Rows are added at the end, under the lock of its head, and never changed."""

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import Struct

from aif_contracts.audit import AuditEntry, AuditHead, AuditRow, Severity
from aif_orchestrator.audit.failures import AuditHeadMissing
from aif_orchestrator.audit.seals import Place, Sealed, read_sealed, sealed_bytes
from aif_orchestrator.audit.verification import StoredRow, Stretch
from aif_runtime.clock import rfc3339
from aif_runtime.postgres import Connection, Record
from aif_runtime.sql_files import Queries

UNREADABLE = "UNREADABLE"
"""In place of the action of a row whose content is damaged."""


class LockedHead(Struct, frozen=True, kw_only=True):
    place: Place
    at: datetime
    """The time of what is appended now, by the database's clock."""


class NewRow(Struct, frozen=True, kw_only=True):
    sealed: Sealed
    recorded_at: datetime
    hash: str


class AuditFilter(Struct, frozen=True, kw_only=True):
    action: str | None = None
    severity: Severity | None = None
    actor: str | None = None
    client_id: str | None = None
    execution_id: str | None = None
    recorded_after: datetime | None = None
    recorded_before: datetime | None = None


class AuditStore:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def lock_head(self, connection: Connection) -> LockedHead:
        """Nobody else appends until the transaction ends. Raises AuditHeadMissing when somebody has removed it."""
        row = await connection.fetchrow(self._queries["lock_audit_head"])
        if row is None:
            # Beginning anew would hide it; a verification says what is wrong.
            raise AuditHeadMissing
        return LockedHead(place=Place(sequence=row["sequence"], hash=row["hash"]), at=row["at"])

    async def known_ids(self, connection: Connection, audit_ids: Collection[str]) -> set[str]:
        rows = await connection.fetch(self._queries["find_audit_ids"], list(audit_ids))
        return {row["audit_id"] for row in rows}

    async def append(self, connection: Connection, rows: Sequence[NewRow]) -> None:
        """One or more, in order, behind the head that is locked."""
        entries = [row.sealed.entry for row in rows]
        await connection.execute(
            self._queries["insert_audit_rows"],
            [row.sealed.sequence for row in rows],
            [entry.audit_id for entry in entries],
            [entry.action for entry in entries],
            [str(entry.severity) for entry in entries],
            [entry.actor for entry in entries],
            [entry.client_id for entry in entries],
            [entry.execution_id for entry in entries],
            [row.recorded_at for row in rows],
            [sealed_bytes(row.sealed) for row in rows],
            [row.hash for row in rows],
        )
        await connection.execute(self._queries["move_audit_head"], rows[-1].sealed.sequence, rows[-1].hash)

    async def list_page(self, connection: Connection, wanted: AuditFilter, *, before: int | None, limit: int) -> list[AuditRow]:
        """Newest first, those before the sequence `before`. Only inside of a transaction."""
        await connection.execute(self._queries["plan_audit_list_anew"])
        rows = await connection.fetch(
            self._queries["list_audit_rows"],
            wanted.action,
            None if wanted.severity is None else str(wanted.severity),
            wanted.actor,
            wanted.client_id,
            wanted.execution_id,
            wanted.recorded_after,
            wanted.recorded_before,
            before,
            limit,
        )
        return [_shown(row) for row in rows]

    async def read_on(self, connection: Connection, after: AuditHead | None, limit: int) -> Stretch:
        """Rows behind a place, and one more to look ahead at."""
        rows = await connection.fetch(self._queries["read_audit_chain"], 0 if after is None else after.sequence, limit + 1)
        return Stretch(
            rows=[_stored(row) for row in rows if row["sequence"] is not None],
            head=Place(sequence=rows[0]["head_sequence"], hash=rows[0]["head_hash"]) if rows else None,
            goes_on=len(rows) > limit,
        )


def _shown(row: Record) -> AuditRow:
    sealed = read_sealed(row["content"]) or _unreadable(row)
    return AuditRow(
        sequence=row["sequence"],
        entry=sealed.entry,
        recorded_at=sealed.recorded_at,
        sealed_with=sealed.sealed_with,
        previous_hash=sealed.previous_hash,
        hash=row["hash"],
    )


def _unreadable(row: Record) -> Sealed:
    """A row that somebody has damaged is shown as one, rather than hidden."""
    entry = AuditEntry(
        audit_id=row["audit_id"], action=UNREADABLE, severity=Severity.CRITICAL, actor=row["actor"], occurred_at=""
    )
    return Sealed(
        sequence=row["sequence"], previous_hash="", recorded_at=rfc3339(row["recorded_at"]), sealed_with="", entry=entry
    )


def _stored(row: Record) -> StoredRow:
    return StoredRow(
        sequence=row["sequence"],
        audit_id=row["audit_id"],
        action=row["action"],
        severity=row["severity"],
        actor=row["actor"],
        client_id=row["client_id"],
        execution_id=row["execution_id"],
        recorded_at=row["recorded_at"],
        content=row["content"],
        hash=row["hash"],
    )
