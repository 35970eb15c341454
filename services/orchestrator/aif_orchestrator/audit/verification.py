"""Follows the chain of the audit log, and names the first row that is not as it was written.

Whether a row is ours its seal says; what has happened to one that is not, its neighbours say: a row behind it still names the
hash of the row that stood before it.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from aif_contracts.audit import AuditFault, AuditFaultKind, AuditHead, AuditVerdict
from aif_orchestrator.audit.seals import BEGINNING, Place, Sealed, Seals, read_sealed
from aif_runtime.clock import rfc3339


class StoredRow(Struct, frozen=True, kw_only=True):
    """A row as the database has it, whoever wrote it."""

    sequence: int
    audit_id: str
    action: str
    severity: str
    actor: str
    client_id: str | None
    execution_id: str | None
    recorded_at: datetime
    content: bytes
    hash: str


class Stretch(Struct, frozen=True, kw_only=True):
    """A part of the log in order, with the head that was stored at the same moment."""

    rows: Sequence[StoredRow]
    head: Place | None
    """None when somebody has removed it."""
    goes_on: bool
    """Whether the last row is here only to be looked ahead at."""


class _Examined(Struct, frozen=True):
    row: StoredRow
    sealed: Sealed | None
    is_sealed: bool


def examine(stretch: Stretch, seals: Seals, *, after: AuditHead | None, kept: AuditHead | None) -> AuditVerdict:
    """The verdict about one stretch. `after` has been verified before; `kept` is a head that somebody has noted."""
    examined = [_examined(row, seals) for row in stretch.rows]
    place = BEGINNING if after is None else Place(sequence=after.sequence, hash=after.hash)
    came_from = place
    checked = 0
    due = examined[:-1] if stretch.goes_on else examined
    for number, each in enumerate(due):
        following = examined[number + 1] if number + 1 < len(examined) else None
        fault = _fault(each, following, place, came_from, stretch.head, seals) or _unlike_kept(each.row, kept)
        if fault is not None:
            return AuditVerdict(checked=checked, head=_head(place), is_complete=True, fault=fault)
        came_from, place = place, Place(sequence=each.row.sequence, hash=each.row.hash)
        checked += 1
    fault = None if stretch.goes_on else _missing_end(place, stretch.head, kept)
    return AuditVerdict(checked=checked, head=_head(place), is_complete=not stretch.goes_on, fault=fault)


def _examined(row: StoredRow, seals: Seals) -> _Examined:
    sealed = read_sealed(row.content)
    is_sealed = (
        sealed is not None and seals.knows(sealed.sealed_with) and seals.hash_of(row.content, sealed.sealed_with) == row.hash
    )
    return _Examined(row, sealed, is_sealed)


def _fault(
    each: _Examined, following: _Examined | None, place: Place, came_from: Place, head: Place | None, seals: Seals
) -> AuditFault | None:
    row, sealed = each.row, each.sealed
    expected = place.sequence + 1
    if row.sequence != expected:
        last = row.sequence - 1
        rows = f"row {expected} is" if last == expected else f"rows {expected} to {last} are"
        return _told(expected, AuditFaultKind.REMOVED, f"{rows} gone")
    if sealed is not None and not seals.knows(sealed.sealed_with):
        message = (
            f"row {expected} is sealed with {sealed.sealed_with}: give that key behind the present one, separated by a comma"
        )
        return _told(expected, AuditFaultKind.UNKNOWN_KEY, message)
    if sealed is None or not each.is_sealed:
        return _unsealed(row, following, place, head)
    if sealed.sequence != expected:
        return _misplaced(expected, sealed, following, place, came_from)
    if sealed.previous_hash != place.hash:
        # The row is ours, so the one before it is not the one that it was written behind.
        message = f"row {place.sequence} was written anew: row {expected} knows it by another hash"
        return _told(place.sequence, AuditFaultKind.ALTERED, message)
    if not _columns_agree(row, sealed):
        return _told(expected, AuditFaultKind.ALTERED, f"the columns of row {expected} do not say what its sealed content says")
    return None


def _unsealed(row: StoredRow, following: _Examined | None, place: Place, head: Place | None) -> AuditFault:
    behind = None if following is None else following.sealed
    skips_it = behind is not None and behind.previous_hash == place.hash
    is_beyond = following is None and head is not None and row.sequence > head.sequence
    if skips_it or is_beyond:
        return _told(row.sequence, AuditFaultKind.INSERTED, f"row {row.sequence} was never written by the factory")
    return _told(row.sequence, AuditFaultKind.ALTERED, f"row {row.sequence} does not fit its seal")


def _misplaced(expected: int, sealed: Sealed, following: _Examined | None, place: Place, came_from: Place) -> AuditFault:
    if sealed.sequence == expected - 1 and sealed.previous_hash == came_from.hash:
        # All from here on were moved by one, to make room for the row before.
        message = f"row {place.sequence} was never written by the factory: row {expected} was written as {sealed.sequence}"
        return _told(place.sequence, AuditFaultKind.INSERTED, message)
    behind = None if following is None else following.sealed
    if behind is not None and behind.sequence == expected and sealed.sequence != expected + 1:
        message = f"row {expected} repeats row {sealed.sequence}; what was written here follows it"
        return _told(expected, AuditFaultKind.INSERTED, message)
    message = f"row {expected} holds what was written as row {sealed.sequence}"
    return _told(expected, AuditFaultKind.REORDERED, message)


def _unlike_kept(row: StoredRow, kept: AuditHead | None) -> AuditFault | None:
    if kept is None or row.sequence != kept.sequence or row.hash == kept.hash:
        return None
    message = f"row {row.sequence} had another hash when its head was kept: the log was written anew"
    return _told(row.sequence, AuditFaultKind.ALTERED, message)


def _missing_end(place: Place, head: Place | None, kept: AuditHead | None) -> AuditFault | None:
    known = max(0 if head is None else head.sequence, 0 if kept is None else kept.sequence)
    if known > place.sequence:
        message = f"the log ends with row {place.sequence}; there were {known} rows once"
        return _told(place.sequence + 1, AuditFaultKind.CUT, message)
    if head is None:
        message = f"the log's own note of its end is gone; it ends with row {place.sequence} now"
        return _told(place.sequence + 1, AuditFaultKind.CUT, message)
    if head.sequence < place.sequence or head.hash != place.hash:
        message = f"the log's own note of its end says row {head.sequence}, but it ends with row {place.sequence}"
        return _told(place.sequence, AuditFaultKind.ALTERED, message)
    return None


def _columns_agree(row: StoredRow, sealed: Sealed) -> bool:
    entry = sealed.entry
    told = (entry.audit_id, entry.action, str(entry.severity), entry.actor, entry.client_id, entry.execution_id)
    columns = (row.audit_id, row.action, row.severity, row.actor, row.client_id, row.execution_id)
    return told == columns and sealed.recorded_at == rfc3339(row.recorded_at)


def _told(sequence: int, kind: AuditFaultKind, message: str) -> AuditFault:
    return AuditFault(sequence=sequence, kind=kind, message=message)


def _head(place: Place) -> AuditHead:
    return AuditHead(sequence=place.sequence, hash=place.hash)
