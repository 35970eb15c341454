"""What of the configuration cannot be used: logged and told to the audit log, once for each value."""

import hashlib
import logging

import msgspec

from aif_contracts import subjects
from aif_contracts.audit import CONFIGURATION_INVALID, AuditEntry, Severity
from aif_runtime.bus import Bus, Outgoing
from aif_runtime.clock import Clock, rfc3339
from aif_runtime.failures import BusUnavailable

MOST_REMEMBERED = 10_000

_logger = logging.getLogger(__name__)


class Complaints:
    def __init__(self, *, origin: str, clock: Clock) -> None:
        """`origin` is the worker or service that says it."""
        self._origin = origin
        self._clock = clock
        self._noted: set[str] = set()
        self._unsent: dict[str, AuditEntry] = {}

    def note(self, entry: str, revision: int, field: str, reason: str) -> None:
        """A value that cannot be used, in whose place a default serves. Again is harmless."""
        # The same in every process, so that the log takes one of them.
        audit_id = "configuration_invalid_" + hashlib.sha256(f"{entry}\n{revision}\n{field}".encode()).hexdigest()[:32]
        if audit_id in self._noted:
            return
        if len(self._noted) >= MOST_REMEMBERED:
            self._noted.clear()
        self._noted.add(audit_id)
        details = {"entry": entry, "revision": revision, "field": field, "reason": reason[:500]}
        _logger.warning("configuration_invalid", extra=details)
        self._unsent[audit_id] = AuditEntry(
            audit_id=audit_id,
            action=CONFIGURATION_INVALID,
            severity=Severity.WARNING,
            actor=f"service:{self._origin}",
            occurred_at=rfc3339(self._clock.now()),
            details=details,
            client_id=_client_of(entry),
        )

    async def send(self, bus: Bus) -> None:
        """Tell the audit log what was noted; what the broker does not take now goes the next time."""
        if not self._unsent:
            return
        entries = tuple(self._unsent.values())
        try:
            await bus.publish([self._message(entry) for entry in entries])
        except BusUnavailable as away:
            _logger.warning("configuration_complaints_unsent", extra={"reason": str(away)})
            return
        for entry in entries:
            del self._unsent[entry.audit_id]

    def _message(self, entry: AuditEntry) -> Outgoing:
        return Outgoing(
            subject=subjects.audit(self._origin),
            payload=msgspec.json.encode(entry),
            message_id=f"audit.{entry.audit_id}",
        )


def _client_of(entry: str) -> str | None:
    words = entry.split(".")
    return words[1] if words[0] == "client" and len(words) > 2 else None
