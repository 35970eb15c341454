"""One batch, worked out in memory: every arrival stepped through the core, and everything that has to be stored for it."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import msgspec

from aif_contracts import subjects
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
    TellWorkers,
)
from aif_orchestrator.execution.happenings import AttemptClaimed, AttemptProgressed, CallBooked, Circumstances
from aif_orchestrator.execution.machine import begin, step
from aif_orchestrator.execution.state import Execution
from aif_runtime.bus import Outgoing
from aif_runtime.dead_letters import bounded, without_secrets
from aif_runtime.redaction import Redactor

FOUND_BY = "orchestrator"
_SECRETS = Redactor()
"""By their shapes: a packet is made here, of what clients have sent."""

FollowUp = LoadOutputs | StoreInput | TellWorkers
"""Commands that are performed after the commit, and come again by their timers if they are lost."""


CircumstancesOf = Callable[[str, str, str, str], Circumstances]
"""By owner, name and version of a pipeline, and the client."""


class Worked:
    """One execution after its arrivals."""

    __slots__ = ("applied", "arrivals", "before", "commands", "execution", "execution_id")

    def __init__(self, arrivals: Sequence[Arrival], before: Execution | None) -> None:
        self.execution_id = arrivals[0].execution_id
        self.arrivals = arrivals
        self.before = before
        self.execution = before
        self.commands: list[Command] = []
        self.applied: list[tuple[Arrival, Applied]] = []

    @property
    def is_new(self) -> bool:
        return self.before is None and self.execution is not None

    @property
    def has_changed(self) -> bool:
        return self.before is not None and self.execution is not self.before

    @property
    def events(self) -> list[EmitEvent]:
        return [command for command in self.commands if isinstance(command, EmitEvent)]


def work_out(
    arrivals: Sequence[Arrival],
    found: Mapping[str, Execution],
    circumstances_of: CircumstancesOf,
) -> list[Worked]:
    """Step every arrival, in order within its execution; executions come out in id order.

    Nothing is stored and nothing is sent here.
    """
    ordered = sorted(arrivals, key=lambda arrival: arrival.execution_id)
    return [
        _work_out_one(list(group), found.get(execution_id), circumstances_of)
        for execution_id, group in groupby(ordered, key=lambda arrival: arrival.execution_id)
    ]


def attempts_of(worked: Sequence[Worked]) -> list[RecordAttempt]:
    return [command for each in worked for command in each.commands if isinstance(command, RecordAttempt)]


def calls_of(worked: Sequence[Worked]) -> list[ProviderCall]:
    return [command.call for each in worked for command in each.commands if isinstance(command, RecordCall)]


def settlements_of(worked: Sequence[Worked]) -> list[SettleCall]:
    return [command for each in worked for command in each.commands if isinstance(command, SettleCall)]


def moves_of(worked: Sequence[Worked]) -> list[MoveAccount]:
    """One for each execution: what its arrivals have moved together."""
    moves: list[MoveAccount] = []
    for each in worked:
        own = [command for command in each.commands if isinstance(command, MoveAccount)]
        by_window = {move.window: [other for other in own if other.window == move.window] for move in own}
        moves += [_together(of_window) for of_window in by_window.values()]
    return moves


def _together(moves: Sequence[MoveAccount]) -> MoveAccount:
    if len(moves) == 1:
        return moves[0]
    return msgspec.structs.replace(
        moves[0],
        is_admission=any(move.is_admission for move in moves),
        spent_usd=sum((move.spent_usd for move in moves), ZERO),
        reserved_usd=sum((move.reserved_usd for move in moves), ZERO),
        energy_spent=sum(move.energy_spent for move in moves),
        energy_reserved=sum(move.energy_reserved for move in moves),
    )


def follow_ups_of(worked: Sequence[Worked]) -> list[tuple[str, FollowUp]]:
    """With the id of the execution that each belongs to."""
    return [
        (each.execution_id, command)
        for each in worked
        for command in each.commands
        if isinstance(command, LoadOutputs | StoreInput | TellWorkers)
    ]


HeadersOf = Callable[[Execution, str | None], Mapping[str, str]]
"""Of the trace that a message belongs to, which is about the whole execution or one stage of it."""


def messages_of(worked: Sequence[Worked], headers_of: HeadersOf) -> list[Outgoing]:
    """What the batch sends, packets first: they are what somebody waits for."""
    packets: list[Outgoing] = []
    others: list[Outgoing] = []
    for each in worked:
        if each.execution is None:
            continue
        trace = headers_of(each.execution, None)
        for command in each.commands:
            match command:
                case DispatchPacket(packet=packet):
                    packets.append(
                        Outgoing(
                            subject=subjects.work(packet.worker_name, packet.control.priority),
                            payload=msgspec.json.encode(packet),
                            message_id=packet.packet_id,
                            headers=headers_of(each.execution, packet.stage_id),
                        )
                    )
                case BuryPacket(packet=packet, reason=reason):
                    others.append(_dead_letter_of(packet, reason, trace))
                case EmitEvent(event=event):
                    kind = str(event.data.__struct_config__.tag)
                    others.append(
                        Outgoing(
                            subject=subjects.event(event.client_id, event.subject, kind),
                            payload=msgspec.json.encode(event),
                            message_id=event.id,
                            headers=trace,
                        )
                    )
                case _:
                    pass
    return packets + others + performance_messages([each.record for each in attempts_of(worked)])


def _work_out_one(
    arrivals: Sequence[Arrival],
    before: Execution | None,
    circumstances_of: CircumstancesOf,
) -> Worked:
    worked = Worked(arrivals, before)
    for arrival in arrivals:
        happening = arrival.happening
        if isinstance(happening, ExecutionOrdered):
            if worked.execution is None:
                order = happening.order
                version = order.template_version or ""
                circumstances = circumstances_of(happening.owner, order.template_name, version, order.client_id)
                worked.execution, commands = begin(order, circumstances, happening.trace, happening.owner, happening.terms)
                worked.commands += commands
            worked.applied.append((arrival, _applied(worked.execution, ())))
            continue
        if worked.execution is None:
            if isinstance(happening, CallBooked):
                # Money is kept even when nothing else is known about it.
                worked.commands.append(RecordCall(call=happening.call))
            asks = isinstance(happening, AttemptClaimed | AttemptProgressed)
            worked.applied.append((arrival, Applied(answer=Superseded() if asks else None)))
            continue
        execution = worked.execution
        circumstances = circumstances_of(
            execution.template_owner, execution.template, execution.template_version, execution.client_id
        )
        worked.execution, commands = step(execution, happening, circumstances)
        worked.commands += commands
        worked.applied.append((arrival, _applied(worked.execution, commands)))
    return worked


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


def _applied(execution: Execution, commands: Sequence[Command]) -> Applied:
    """What those who asked want to know."""
    answer: ClaimAnswer | ProgressAnswer | None = None
    refusal: Refuse | None = None
    kept: Kept | None = None
    for command in commands:
        match command:
            case AnswerClaim() | AnswerProgress():
                answer = command.answer
            case Refuse():
                refusal = command
            case AnswerResume():
                kept = command.kept
            case _:
                pass
    return Applied(
        answer=answer,
        refusal=refusal,
        kept=kept,
        client_id=execution.client_id,
        status=execution.status,
        template_version=execution.template_version,
    )
