"""Decides what a call without an answer has cost.

The decision is written to the audit log first, so that no amount moves that nobody can account for; then the execution is
charged, which corrects its client's budget too. A replica that dies between the two repeats both: the decision has the same id
as long as the call stands as it stood.
"""

import hashlib

import msgspec

from aif_contracts.audit import CALL_SETTLED, Severity
from aif_contracts.metering import Basis
from aif_orchestrator.audit.log import AuditLog
from aif_orchestrator.calls.store import BookedCallStore, FoundCall, Settlement
from aif_orchestrator.engine.engine import Engine
from aif_orchestrator.execution.happenings import CallSettled
from aif_runtime.postgres import Connection, Database


class Settling:
    def __init__(self, *, database: Database, store: BookedCallStore, engine: Engine, audit: AuditLog) -> None:
        self._database = database
        self._store = store
        self._engine = engine
        self._audit = audit

    async def settle(self, found: FoundCall, settlement: Settlement, decided_by: str) -> FoundCall:
        """The call as it stands then. It has to be open; repeating it is harmless.

        Raises DatabaseUnavailable, NotApplied, AuditHeadMissing.
        """
        call = found.booked.call
        async with self._database.transaction() as connection:
            await self._tell(connection, found, settlement, decided_by)
        await self._engine.apply(
            call.execution_id,
            CallSettled(
                call_key=call.call_key,
                stage_id=call.stage_id,
                attempt=call.attempt,
                cost_usd=settlement.cost_usd,
                basis=settlement.basis,
                note=settlement.note,
                tokens=settlement.tokens,
            ),
        )
        async with self._database.transaction() as connection:
            settled = await self._store.find(connection, call.call_key)
            if settled is not None and not _says(settled, settlement):
                # No execution counts it: it is deleted by now, or the call belongs to an attempt that nobody was given.
                await self._store.settle(connection, settlement)
                settled = await self._store.find(connection, call.call_key)
        assert settled is not None, "calls are never deleted"
        return settled

    async def _tell(self, connection: Connection, found: FoundCall, settlement: Settlement, decided_by: str) -> None:
        call = found.booked.call
        decision = msgspec.json.encode((settlement, decided_by, found.booked.booked_at, found.booked.settled_at))
        await self._audit.tell(
            connection,
            CALL_SETTLED,
            decided_by,
            {
                "call_key": call.call_key,
                "provider": call.provider,
                "model": call.model,
                "outcome": str(call.outcome),
                "cost_before_usd": call.cost_usd,
                "upper_bound_usd": call.upper_bound_usd,
                "cost_usd": settlement.cost_usd,
                "basis": str(settlement.basis),
                "tokens": None if settlement.tokens is None else msgspec.to_builtins(settlement.tokens),
                "note": settlement.note,
            },
            audit_id=f"settled.{hashlib.sha256(decision).hexdigest()[:32]}",
            severity=Severity.INFO if settlement.basis is Basis.STATEMENT else Severity.WARNING,
            client_id=call.client_id,
            execution_id=call.execution_id,
        )


def _says(found: FoundCall, settlement: Settlement) -> bool:
    """Also true when an answer has come meanwhile: it knows better."""
    call = found.booked.call
    decided = (call.cost_usd, call.basis, found.booked.settled_note)
    return not found.is_open or decided == (settlement.cost_usd, settlement.basis, settlement.note)
