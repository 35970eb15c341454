"""The database: what is committed stays, what others have changed meanwhile is stale, and what must never be is refused."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from aif_contracts.events import FINAL_EVENT_TYPES, ExecutionEvent
from aif_contracts.metering import ProviderCall
from aif_contracts.packets import WorkPacket
from aif_orchestrator.execution.commands import EmitEvent, RecordAttempt
from aif_orchestrator.store.batches import Committed, Decided
from aif_orchestrator.store.journal import Entry, Revision, Versioned, unpacked
from aif_runtime.bus import Outgoing
from simulation.ledger import ConstraintBroken, Ledger


class OutboxRow(Struct, frozen=True, kw_only=True):
    """What is still to be told: packets by their names, everything else as it is."""

    messages: Sequence[Outgoing]
    packets: Sequence[WorkPacket]


class Record:
    def __init__(
        self,
        *,
        in_stored_form: bool,
        checks_versions: bool,
        checks_budgets: bool,
        budget_usd: Decimal,
    ) -> None:
        self.rows: dict[str, Versioned] = {}
        self.journal: dict[str, list[bytes]] = {}
        """Of each execution, its newest whole state and the changes after it."""
        self.wakes: dict[str, int] = {}
        """When each living execution is to be looked at."""
        self.events: dict[str, list[ExecutionEvent]] = {}
        self.ended_legs: set[tuple[str, int]] = set()
        self.attempts: dict[tuple[str, str, int], RecordAttempt] = {}
        self.ledger = Ledger(limit_usd=budget_usd, checks_budgets=checks_budgets)
        self.outbox: dict[int, OutboxRow] = {}
        self._in_stored_form = in_stored_form
        self._checks_versions = checks_versions
        self._outbox_rows = 0

    @property
    def calls(self) -> dict[str, ProviderCall]:
        return self.ledger.calls

    def read(self, execution_ids: Iterable[str]) -> dict[str, Versioned]:
        return {execution_id: self.rows[execution_id] for execution_id in execution_ids if execution_id in self.rows}

    def commit(self, decided: Decided, now: int) -> Committed:
        """All of a batch, or nothing: when another writer was quicker, and when it breaks a constraint."""
        revisions = {each.after.execution.execution_id: each for each in decided.revisions}
        stale = frozenset(
            [key for key, version in decided.checked.items() if self._checks_versions and self.rows[key].version != version]
            + [key for key, each in revisions.items() if each.before is None and key in self.rows]
        )
        if stale:
            return Committed(stale=stale, denied={}, outbox_id=None, at_ms=now)
        ended = {(each.record.execution_id, each.record.stage_id, each.record.attempt): each for each in decided.attempts}
        if len(ended) < len(decided.attempts) or not self.attempts.keys().isdisjoint(ended):
            raise ConstraintBroken(f"an attempt ends a second time: {sorted(ended)}")
        for revision in decided.revisions:
            self._check(revision.events)
        denied = self.ledger.enter(decided.moves)
        if denied:
            return Committed(stale=frozenset(), denied=denied, outbox_id=None, at_ms=now)
        for execution_id, revision in revisions.items():
            self._put(execution_id, revision, [each for each in decided.entries if each.execution_id == execution_id])
            for each in revision.events:
                self.events.setdefault(each.event.subject, []).append(each.event)
                if is_final_event(each.event):
                    self.ended_legs.add((each.event.subject, each.leg))
        self.attempts.update(ended)
        self.ledger.keep(decided.calls)
        self.ledger.settle(decided.settlements)
        for row in decided.published:
            self.outbox.pop(row, None)
        if not decided.messages:
            return Committed(stale=frozenset(), denied={}, outbox_id=None, at_ms=now)
        self._outbox_rows += 1
        packet_ids = {packet.packet_id for packet in decided.packets}
        others = [message for message in decided.messages if message.message_id not in packet_ids]
        self.outbox[self._outbox_rows] = OutboxRow(messages=others, packets=decided.packets)
        return Committed(stale=frozenset(), denied={}, outbox_id=self._outbox_rows, at_ms=now)

    def delete(self, outbox_id: int) -> None:
        self.outbox.pop(outbox_id, None)

    def _check(self, emitted: Sequence[EmitEvent]) -> None:
        known = len(self.events.get(emitted[0].event.subject, [])) if emitted else 0
        for number, each in enumerate(emitted, known + 1):
            execution_id = each.event.subject
            if each.event.sequence != number:
                raise ConstraintBroken(f"event {each.event.sequence} of {execution_id} comes where {number} should")
            if is_final_event(each.event) and (execution_id, each.leg) in self.ended_legs:
                raise ConstraintBroken(f"leg {each.leg} of {execution_id} ends a second time")

    def _put(self, execution_id: str, revision: Revision, entries: Sequence[Entry]) -> None:
        self.rows[execution_id] = revision.after
        if self._in_stored_form:
            if entries[-1].is_whole:
                self.journal[execution_id] = []
            changes = self.journal.setdefault(execution_id, [])
            changes += [each.change for each in entries if each.change is not None]
            self.rows[execution_id] = replace(revision.after, execution=unpacked(changes))
        if revision.after.wake_at is None:
            self.wakes.pop(execution_id, None)
        else:
            self.wakes[execution_id] = revision.after.wake_at


def is_final_event(event: ExecutionEvent) -> bool:
    config: Any = event.data.__struct_config__
    return config.tag in FINAL_EVENT_TYPES
