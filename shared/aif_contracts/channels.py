"""The channels on which programs that are not the factory's own take part: other systems, and workers in any language.

What its services ask one another beside that is theirs to change and is not here.
"""

import enum
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET, UnsetType

from aif_contracts import subjects
from aif_contracts.budgets import BudgetAlert
from aif_contracts.dead_letters import DeadLetter
from aif_contracts.events import ExecutionEvent
from aif_contracts.metering import ProviderCall
from aif_contracts.orders import SubmittedOrder
from aif_contracts.packets import ClaimAnswer, ClaimRequest, ControlMessage, ProgressAnswer, WorkPacket
from aif_contracts.reports import MOST_TOGETHER, Completed, Declined, Failed, Progress
from aif_contracts.workers import WorkerDescription

_WORKER = "{worker_name}"
_PRIORITY = "{priority}"


class Partner(enum.StrEnum):
    """Who is at the other end."""

    OTHER_SYSTEM = "other system"
    WORKER = "worker"


class Direction(enum.StrEnum):
    """As the factory sees it."""

    SENDS = "send"
    RECEIVES = "receive"


@dataclass(frozen=True, kw_only=True)
class Channel:
    """No message itself."""

    name: str
    address: str
    """Subject, with its changing tokens in braces."""
    partner: Partner
    direction: Direction
    summary: str
    message: Any
    """Its type; None for a message without content."""
    stream: str | None = None
    """Where it is stored; None for a message that only who listens in that moment has."""
    most: int | None = None
    """In one array, where the message is one."""
    headers: tuple[tuple[str, str], ...] = ()
    """What they say."""
    answer: Any | UnsetType = UNSET
    """The type of the answer, None for one without content; UNSET where none is given."""
    answer_summary: str = ""


PARAMETERS = {
    "client_id": "Whose it is",
    "execution_id": "`exec_…`",
    "event_type": "Of the message's last event, in lower case, for example `step_completed`",
    "worker_name": "The kind of worker, as the stages of pipelines name it",
    "priority": "`critical`, `high`, `normal` or `low`",
    "replica": "The orchestrator's process that made the offer: the fourth token of the offer's reply subject",
    "packet_id": "Of the packet that was offered",
    "instance_id": "One process of a worker",
}
"""The changing tokens of addresses. Each is one token: no dot, no wildcard, no blank."""

CHANNELS = (
    Channel(
        name="orders",
        address=subjects.submit("{client_id}"),
        partner=Partner.OTHER_SYSTEM,
        direction=Direction.RECEIVES,
        summary="Order an execution",
        message=SubmittedOrder,
        stream=subjects.STREAM_REQUESTS,
        headers=(("Nats-Msg-Id", "Serves as the idempotency key of an order that has none"),),
    ),
    Channel(
        name="events",
        address=subjects.event("{client_id}", "{execution_id}", "{event_type}"),
        partner=Partner.OTHER_SYSTEM,
        direction=Direction.SENDS,
        summary="What happened in an execution: events that were committed together, in their order (CloudEvents JSON batch)",
        message=list[ExecutionEvent],
        stream=subjects.STREAM_EVENTS,
    ),
    Channel(
        name="alerts",
        address=subjects.alert("{client_id}"),
        partner=Partner.OTHER_SYSTEM,
        direction=Direction.SENDS,
        summary="A budget has passed a mark",
        message=BudgetAlert,
        stream=subjects.STREAM_EVENTS,
    ),
    Channel(
        name="work",
        address=subjects.work(_WORKER, _PRIORITY),
        partner=Partner.WORKER,
        direction=Direction.SENDS,
        summary="A packet for whichever process of a worker asks next; durable pull consumer `<worker_name>_<priority>`",
        message=WorkPacket,
        stream=subjects.STREAM_WORK,
    ),
    Channel(
        name="offers",
        address=subjects.offer(subjects.work(_WORKER, _PRIORITY)),
        partner=Partner.WORKER,
        direction=Direction.SENDS,
        summary="A packet for a process that is free at once; queue group `<worker_name>`",
        message=WorkPacket,
    ),
    Channel(
        name="refusals",
        address=subjects.refusal("{replica}", "{packet_id}"),
        partner=Partner.WORKER,
        direction=Direction.RECEIVES,
        summary="An offer that is not taken, back at its reply subject",
        message=None,
    ),
    Channel(
        name="claims",
        address=subjects.CLAIM,
        partner=Partner.WORKER,
        direction=Direction.RECEIVES,
        summary="Ask for the attempt that a packet offers",
        message=ClaimRequest,
        answer=ClaimAnswer,
        answer_summary="The attempt, or what to do instead",
    ),
    Channel(
        name="progress",
        address=subjects.PROGRESS,
        partner=Partner.WORKER,
        direction=Direction.RECEIVES,
        summary="Signs of life of attempts under way",
        message=list[Progress],
        most=MOST_TOGETHER,
        answer=list[ProgressAnswer],
        answer_summary="One for each, in the same order",
    ),
    Channel(
        name="control",
        address=subjects.control(_WORKER),
        partner=Partner.WORKER,
        direction=Direction.SENDS,
        summary="To every process of a worker: stop",
        message=ControlMessage,
    ),
    Channel(
        name="calls",
        address=subjects.usage("{execution_id}"),
        partner=Partner.WORKER,
        direction=Direction.RECEIVES,
        summary="One call to a provider: before it is made, if it costs money, and when it has ended",
        message=ProviderCall,
        stream=subjects.STREAM_USAGE,
        headers=(("Nats-Msg-Id", "`call_key` for a call that has ended, another id for its announcement"),),
    ),
    Channel(
        name="reports",
        address=subjects.report(_WORKER),
        partner=Partner.WORKER,
        direction=Direction.RECEIVES,
        summary="How attempts ended",
        message=list[Completed | Failed | Declined],
        most=MOST_TOGETHER,
        stream=subjects.STREAM_REPORTS,
        headers=(("Nats-Msg-Id", "A digest of the content"),),
    ),
    Channel(
        name="direct_reports",
        address=subjects.direct_report("{replica}", _WORKER),
        partner=Partner.WORKER,
        direction=Direction.RECEIVES,
        summary="How attempts ended whose packets were offered",
        message=list[Completed | Failed | Declined],
        most=MOST_TOGETHER,
        answer=str,
        answer_summary="The bytes `applied`; on anything else store the reports",
    ),
    Channel(
        name="dead_letters",
        address=subjects.dead("work"),
        partner=Partner.WORKER,
        direction=Direction.RECEIVES,
        summary="A packet that cannot be read, or that came too often, for people to look at",
        message=DeadLetter,
        stream=subjects.STREAM_DEAD,
    ),
    Channel(
        name="registry",
        address=subjects.registry_entry(_WORKER, "{instance_id}"),
        partner=Partner.WORKER,
        direction=Direction.RECEIVES,
        summary="What a worker process can do, again every five seconds: an entry of a key-value bucket",
        message=WorkerDescription,
        stream=f"KV_{subjects.BUCKET_REGISTRY}",
        headers=(("Nats-TTL", "`15s`; without it the process passes for alive for ever"),),
    ),
)
