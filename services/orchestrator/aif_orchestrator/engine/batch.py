"""One batch, worked out in memory: every arrival stepped through the core, and everything that has to be stored for it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import assert_never

import msgspec

from aif_contracts import subjects
from aif_contracts.audit import AuditEntry
from aif_contracts.dead_letters import DeadLetter
from aif_contracts.events import Kept
from aif_contracts.metering import ProviderCall
from aif_contracts.money import ZERO
from aif_contracts.packets import ClaimAnswer, ProgressAnswer, Superseded, WorkPacket
from aif_orchestrator.engine.arrivals import Applied, Arrival, ExecutionOrdered
from aif_orchestrator.engine.told_attempts import performance_messages
from aif_orchestrator.execution.commands import (
    AnswerClaim,
    AnswerProgress,
    AnswerResume,
    BuryPacket,
    Command,
    DispatchPacket,
    EmitEvent,
    LoadOutputs,
    MoveAccount,
    RecordAttempt,
    RecordCall,
    Refuse,
    SettleCall,
    StoreInput,
    TellAudit,
    TellBeyondGrant,
    TellContradiction,
    TellWorkers,
)
from aif_orchestrator.execution.draft import Draft
from aif_orchestrator.execution.happenings import AttemptClaimed, AttemptProgressed, CallBooked, Circumstances, Happening
from aif_orchestrator.execution.machine import begin, step
from aif_orchestrator.execution.state import Execution
from aif_orchestrator.store.journal import Entry
from aif_orchestrator.store.outbox import NamedPacket, event_messages
from aif_runtime.bus import Outgoing
from aif_runtime.dead_letters import bounded, without_secrets
from aif_runtime.redaction import Redactor

FOUND_BY = "orchestrator"
_SECRETS = Redactor()
"""By their shapes: a packet is made here, of what clients have sent."""

_encoder = msgspec.json.Encoder()

FollowUp = LoadOutputs | StoreInput | TellWorkers
"""Commands that are performed after the commit, and come again by their timers if they are lost."""


CircumstancesOf = Callable[[str, str, str, str], Circumstances]
"""By owner, name and version of a pipeline, and the client."""


class Worked:
    """One execution after its arrivals, and what follows from them, sorted by kind once: everybody asks for one kind."""

    __slots__ = (
        "applied",
        "attempts",
        "audited",
        "before",
        "beyond_grants",
        "burials",
        "calls",
        "commands",
        "contradictions",
        "events",
        "execution",
        "execution_id",
        "follow_ups",
        "moves",
        "new_packets",
        "packets",
        "settlements",
    )

    def __init__(self, execution_id: str, before: Execution | None) -> None:
        self.execution_id = execution_id
        self.before = before
        self.execution = before
        self.applied: list[tuple[Arrival, Applied]] = []
        self.commands: list[Command] = []
        """All of them, as they were given."""
        self.packets: list[WorkPacket] = []
        self.new_packets: list[WorkPacket] = []
        """Those among them that nobody can have yet."""
        self.burials: list[BuryPacket] = []
        self.contradictions: list[TellContradiction] = []
        self.beyond_grants: list[TellBeyondGrant] = []
        self.audited: list[AuditEntry] = []
        self.events: list[EmitEvent] = []
        self.attempts: list[RecordAttempt] = []
        self.calls: list[ProviderCall] = []
        self.settlements: list[SettleCall] = []
        self.moves: list[MoveAccount] = []
        self.follow_ups: list[FollowUp] = []

    @property
    def has_changed(self) -> bool:
        return self.before is not None and self.execution is not self.before

    def take(self, arrival: Arrival, execution: Execution, commands: Sequence[Command]) -> None:
        """What follows from one more arrival, and what those who asked want to know.

        `execution` is as it is then, but for its stages and what its events count.
        """
        answer: ClaimAnswer | ProgressAnswer | None = None
        refusal: Refuse | None = None
        kept: Kept | None = None
        for command in commands:
            match command:
                case EmitEvent():
                    self.events.append(command)
                case DispatchPacket():
                    self.packets.append(command.packet)
                    if not command.is_repeated:
                        self.new_packets.append(command.packet)
                case RecordAttempt():
                    self.attempts.append(command)
                case AnswerClaim() | AnswerProgress():
                    answer = command.answer
                case MoveAccount():
                    self.moves.append(command)
                case RecordCall():
                    self.calls.append(command.call)
                case SettleCall():
                    self.settlements.append(command)
                case LoadOutputs() | StoreInput() | TellWorkers():
                    self.follow_ups.append(command)
                case BuryPacket():
                    self.burials.append(command)
                case TellContradiction():
                    self.contradictions.append(command)
                case TellBeyondGrant():
                    self.beyond_grants.append(command)
                case TellAudit():
                    self.audited.append(command.entry)
                case Refuse():
                    refusal = command
                case AnswerResume():
                    kept = command.kept
                case _:
                    assert_never(command)
        self.commands += commands
        applied = Applied(
            answer=answer,
            refusal=refusal,
            kept=kept,
            client_id=execution.client_id,
            status=execution.status,
            template_version=execution.template_version,
        )
        self.applied.append((arrival, applied))


def work_out(
    arrivals: Sequence[Arrival],
    found: Mapping[str, Execution],
    circumstances_of: CircumstancesOf,
) -> list[Worked]:
    """Step every arrival, in order within its execution; executions come out in id order.

    Nothing is stored and nothing is sent here.
    """
    by_execution: dict[str, list[Arrival]] = {}
    for arrival in arrivals:
        by_execution.setdefault(arrival.execution_id, []).append(arrival)
    return [
        _work_out_one(execution_id, by_execution[execution_id], found.get(execution_id), circumstances_of)
        for execution_id in sorted(by_execution)
    ]


def attempts_of(worked: Sequence[Worked]) -> list[RecordAttempt]:
    return [attempt for each in worked for attempt in each.attempts]


def calls_of(worked: Sequence[Worked]) -> list[ProviderCall]:
    return [call for each in worked for call in each.calls]


def settlements_of(worked: Sequence[Worked]) -> list[SettleCall]:
    return [settlement for each in worked for settlement in each.settlements]


def moves_of(worked: Sequence[Worked]) -> list[MoveAccount]:
    """One for each execution: what its arrivals have moved together."""
    moves: list[MoveAccount] = []
    for each in worked:
        own = each.moves
        if len(own) < 2:
            moves += own
            continue
        by_window = {move.window: [other for other in own if other.window == move.window] for move in own}
        moves += [_together(of_window) for of_window in by_window.values()]
    return moves


def _together(moves: Sequence[MoveAccount]) -> MoveAccount:
    return msgspec.structs.replace(
        moves[0],
        is_admission=any(move.is_admission for move in moves),
        spent_usd=sum((move.spent_usd for move in moves), ZERO),
        reserved_usd=sum((move.reserved_usd for move in moves), ZERO),
        energy_spent=sum(move.energy_spent for move in moves),
        energy_reserved=sum(move.energy_reserved for move in moves),
    )


def packets_of(worked: Sequence[Worked]) -> list[WorkPacket]:
    return [packet for each in worked for packet in each.packets]


def new_packets_of(worked: Sequence[Worked]) -> list[NamedPacket]:
    return [
        NamedPacket(packet.execution_id, packet.stage_id, packet.packet_id) for each in worked for packet in each.new_packets
    ]


def follow_ups_of(worked: Sequence[Worked]) -> list[tuple[str, FollowUp]]:
    """With the id of the execution that each belongs to."""
    return [(each.execution_id, follow_up) for each in worked for follow_up in each.follow_ups]


HeadersOf = Callable[[Execution, str | None], Mapping[str, str]]
"""Of the trace that a message belongs to, which is about the whole execution or one stage of it."""


def messages_of(worked: Sequence[Worked], entries: Iterable[Entry], headers_of: HeadersOf) -> list[Outgoing]:
    """What the batch sends, the events of its entries among it, packets first: they are what somebody waits for."""
    entries_by_execution: dict[str, list[Entry]] = {}
    for entry in entries:
        entries_by_execution.setdefault(entry.execution_id, []).append(entry)
    packets: list[Outgoing] = []
    others: list[Outgoing] = []
    for each in worked:
        if each.execution is None:
            continue
        trace = headers_of(each.execution, None)
        packets += [_offer(packet, headers_of(each.execution, packet.stage_id)) for packet in each.packets]
        for entry in entries_by_execution.get(each.execution_id, ()):
            others += event_messages(entry.told, trace)
        others += [_dead_letter_of(burial.packet, burial.reason, trace) for burial in each.burials]
        others += [_audit_message(entry, trace) for entry in each.audited]
    return packets + others + performance_messages([each.record for each in attempts_of(worked)])


def _work_out_one(
    execution_id: str,
    arrivals: Sequence[Arrival],
    before: Execution | None,
    circumstances_of: CircumstancesOf,
) -> Worked:
    worked = Worked(execution_id, before)
    draft = None if before is None else _draft_of(before, circumstances_of)
    for arrival in arrivals:
        happening = arrival.happening
        commands: Sequence[Command] = ()
        if isinstance(happening, ExecutionOrdered):
            if draft is None:
                draft = _begun(happening, circumstances_of)
                commands = draft.commands
        elif draft is None:
            worked.applied.append((arrival, _applied_to_nothing(worked, happening)))
            continue
        else:
            commands = step(draft, happening)
        worked.take(arrival, draft.execution, commands)
    if draft is not None:
        worked.execution = draft.finish()
    return worked


def _draft_of(execution: Execution, circumstances_of: CircumstancesOf) -> Draft:
    template = (execution.template_owner, execution.template, execution.template_version)
    return Draft(execution, circumstances_of(*template, execution.client_id))


def _begun(ordered: ExecutionOrdered, circumstances_of: CircumstancesOf) -> Draft:
    order = ordered.order
    circumstances = circumstances_of(ordered.owner, order.template_name, order.template_version or "", order.client_id)
    return begin(order, circumstances, ordered.trace, ordered.owner, ordered.terms)


def _applied_to_nothing(worked: Worked, happening: Happening) -> Applied:
    """There is no such execution."""
    if isinstance(happening, CallBooked):
        # Money is kept even when nothing else is known about it.
        worked.calls.append(happening.call)
    asks = isinstance(happening, AttemptClaimed | AttemptProgressed)
    return Applied(answer=Superseded() if asks else None)


def _offer(packet: WorkPacket, headers: Mapping[str, str]) -> Outgoing:
    return Outgoing(
        subject=subjects.work(packet.worker_name, packet.control.priority),
        payload=_encoder.encode(packet),
        message_id=packet.packet_id,
        headers=headers,
    )


def _audit_message(entry: AuditEntry, trace: Mapping[str, str]) -> Outgoing:
    return Outgoing(
        subject=subjects.audit(FOUND_BY),
        payload=_encoder.encode(entry),
        message_id=f"audit.{entry.audit_id}",
        headers=trace,
    )


def _dead_letter_of(packet: WorkPacket, reason: str, trace: Mapping[str, str]) -> Outgoing:
    letter = DeadLetter(
        subject=subjects.work(packet.worker_name, packet.control.priority),
        payload=msgspec.json.encode(packet),
        headers=dict(trace),
        reason=reason,
        # The orchestrator sees losses and no deliveries; each loss had a packet of its own, and this one was delivered.
        deliveries=1,
        found_by=FOUND_BY,
    )
    return Outgoing(
        subject=subjects.dead("work"),
        payload=msgspec.json.encode(bounded(without_secrets(letter, _SECRETS))),
        message_id=f"dead.{packet.packet_id}",
        headers=trace,
    )
