"""Whether a dead letter may be sent again, and the message that does it."""

import re

import msgspec

from aif_contracts import subjects
from aif_contracts.orders import Refusal
from aif_contracts.packets import WorkPacket
from aif_orchestrator.execution.offering import packet_id
from aif_orchestrator.execution.state import Execution
from aif_orchestrator.store.dead_letters import LetterContent
from aif_runtime.broker_rules import check_sendable, takes
from aif_runtime.bus import Outgoing
from aif_runtime.dead_letters import replay_id
from aif_runtime.decoding import decode
from aif_runtime.failures import MalformedMessage

REPLAYABLE = (
    subjects.ALL_REQUESTS,
    subjects.ALL_WORK,
    subjects.ALL_REPORTS,
    subjects.ALL_USAGE,
    subjects.ALL_EVENTS,
    subjects.ALL_PERFORMANCE,
)
OF_THE_BROKER = "nats-"
"""Headers that begin so, in any case, are the broker's own (ids, expectations, times to live), for the first sending only."""

_PACKET = msgspec.json.Decoder(WorkPacket)
_HEADER_NAME = re.compile(r"[!-9;-~]+")


def message_again(content: LetterContent) -> Outgoing:
    """As it came, under an id of its own that is the same however often it is sent."""
    letter = content.letter
    return Outgoing(
        subject=letter.subject,
        payload=content.payload,
        message_id=replay_id(letter.dead_letter_id),
        headers={
            name: value
            for name, value in content.headers.items()
            if _HEADER_NAME.fullmatch(name) and not name.lower().startswith(OF_THE_BROKER)
        },
    )


def refusal_of_letter(content: LetterContent) -> Refusal | None:
    """Why it can never be sent again, whatever was mended; None when nothing speaks against it."""
    letter = content.letter
    if not any(takes(pattern, letter.subject) for pattern in REPLAYABLE):
        return Refusal(
            code="not_replayable",
            message=f"{letter.subject} belongs to no stream of orders, work, reports, usage, events or performance; dismiss it",
        )
    try:
        check_sendable(letter.subject, content.payload)
    except ValueError as mistake:
        return Refusal(code="not_replayable", message=f"{mistake}; dismiss it")
    if content.is_cut:
        return Refusal(
            code="payload_cut",
            message=f"it is not kept as it came, but cut or masked ({len(content.payload)} of {letter.size_bytes} bytes); "
            "have the sender send it again, then dismiss it",
        )
    return None


def packet_in(content: LetterContent) -> WorkPacket | None:
    """None when it is none, or none that this release can read: a worker may all the same."""
    if not is_work(content):
        return None
    try:
        return decode(_PACKET, content.payload)
    except MalformedMessage:
        return None


def is_work(content: LetterContent) -> bool:
    return takes(subjects.ALL_WORK, content.letter.subject)


def refusal_of_packet(execution_id: str, packet: WorkPacket | None, execution: Execution | None) -> Refusal | None:
    """Why no worker would do a packet if it came again: the orchestrator would say at the claim that it is superseded."""
    if execution is None:
        return Refusal(
            code="unknown_execution",
            message=f"there is no execution {execution_id}, so its packet would be dropped",
        )
    if execution.is_final:
        return Refusal(
            code="execution_has_ended",
            message=f"{execution_id} has ended as {execution.status}, so its packet would be dropped; "
            f"`aif resume {execution_id}` sends what failed anew and keeps what was done",
        )
    if packet is None:
        return None
    run = execution.stages.get(packet.stage_id)
    if run is None or run.status.is_final:
        return Refusal(
            code="stage_has_ended",
            message=f"{packet.stage_id} of {execution_id} waits for no packet any more; it would be dropped",
        )
    if packet.packet_id != packet_id(execution_id, packet.stage_id, run.dispatches):
        return Refusal(
            code="packet_superseded",
            message=f"{packet.stage_id} of {execution_id} has a newer packet; this one would be dropped",
        )
    return None
