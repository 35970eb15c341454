"""Orders of other systems, published on the bus: the same desk as over HTTP, and every message ends somewhere.

Accepted: acknowledged. Refused: stored as a refused request where the client can see it, and buried with the reason. Whom
it needs is away: delivered again later. Nothing is decoded that a message could break: a message that keeps coming back
does so because somebody is away, so there is no limit to its deliveries.
"""

import hashlib

import msgspec
import structlog
from msgspec.structs import replace

from aif_contracts import subjects
from aif_contracts.orders import SubmittedOrder
from aif_contracts.packets import Priority
from aif_kam import problems
from aif_kam.failures import Conflict, InvalidInput, KamFailure, KeyInFlight, KeyReused, Unavailable, invalid
from aif_kam.idempotency import Answer, KeyedCall, is_key
from aif_kam.identity import Identity
from aif_kam.order_desk import OrderDesk, Wish, WishedExecution
from aif_kam.payloads import Problem
from aif_kam.request_store import Origin
from aif_runtime.bus import Bus, ConsumerSpec, Delivery
from aif_runtime.dead_letters import MESSAGE_ID, bury, is_replay
from aif_runtime.decoding import decode
from aif_runtime.failures import MalformedMessage, RuntimeFailure
from aif_runtime.postgres import Database
from aif_runtime.redaction import Redactor
from aif_runtime.telemetry import SpanKind, Tracing

REQUESTS_CONSUMER = ConsumerSpec(
    stream=subjects.STREAM_REQUESTS,
    durable=subjects.CONSUMER_REQUESTS,
    filter_subject=subjects.ALL_REQUESTS,
    ack_wait_seconds=60.0,
)
RETRY_SECONDS = 2.0
MAX_RETRY_SECONDS = 60.0
_SHOWN_FIELDS = 10
_SHOWN_CHARACTERS = 100
"""Of the name of a field, which the client has chosen."""
_ORDER = msgspec.json.Decoder(SubmittedOrder)
_PROBLEM = msgspec.json.Decoder(Problem)
_log = structlog.get_logger()


class BusOrders:
    def __init__(
        self, *, bus: Bus, database: Database, desk: OrderDesk, identity: Identity, tracing: Tracing, redactor: Redactor
    ) -> None:
        self._bus = bus
        self._redactor = redactor
        self._database = database
        self._desk = desk
        self._identity = identity
        self._tracing = tracing

    async def take(self, delivery: Delivery) -> None:
        """See one message to its end. Raises BusUnavailable when not even its dead letter could be stored."""
        client_id = subjects.last_token(delivery.subject)
        with self._tracing.span(
            "order", attributes={"client_id": client_id}, parent=delivery.headers, kind=SpanKind.CONSUMER
        ) as span:
            try:
                reason = await self._refusal_of(delivery, client_id)
            except (Unavailable, KeyInFlight, RuntimeFailure) as away:
                span.fail(str(away))
                _log.warning("order_delayed", client_id=client_id, code=away.code, reason=str(away))
                await delivery.retry_later(min(RETRY_SECONDS * 2 ** min(delivery.num_delivered - 1, 8), MAX_RETRY_SECONDS))
                return
            if reason is None:
                await delivery.ack()
                return
            span.fail(reason)
            await bury(self._bus, delivery, reason, "kam", "requests", redactor=self._redactor)

    async def _refusal_of(self, delivery: Delivery, client_id: str) -> str | None:
        """Place the order. Why it was refused, or None."""
        async with self._database.connection() as connection:
            client = await self._identity.find_client(connection, client_id)
        if client is None:
            return f"unknown_client: there is no client {client_id!r}"
        if client.is_disabled:
            return f"client_disabled: the client {client_id} is disabled"
        try:
            order = decode(_ORDER, delivery.payload)
        except MalformedMessage as wrong:
            failure = invalid("order", str(wrong), "publish one JSON object as the contract SubmittedOrder says")
            await self._desk.store_refused(_unreadable(client_id), None, failure, _call(client_id, delivery, None))
            return f"{failure.code}: {failure.message}"
        return await self._place(client_id, order, delivery)

    async def _place(self, client_id: str, order: SubmittedOrder, delivery: Delivery) -> str | None:
        wish = Wish(
            client_id=client_id,
            origin=Origin.BUS,
            message=order.message,
            urgency_level=order.urgency_level,
            workspace_id=order.workspace_id,
        )
        execution = WishedExecution(
            template=order.template,
            parameters=order.parameters,
            start_at=order.start_at,
            max_cost_usd=order.max_cost_usd,
            template_version=order.template_version,
            template_field="template",
        )
        call = _call(client_id, delivery, order.idempotency_key)
        try:
            answer = await self._desk.order(wish, execution, call)
        except KeyInFlight:
            raise
        except KeyReused as failure:
            # Its key is another order's, so it is kept under its place.
            await self._desk.store_refused(wish, order.template, failure, _by_place(client_id, delivery))
            return _reason(failure)
        except (InvalidInput, Conflict) as failure:
            await self._desk.store_refused(wish, order.template, failure, call)
            return _reason(failure)
        return _reason_of(answer)


def _call(client_id: str, delivery: Delivery, key: str | None) -> KeyedCall:
    """What makes a redelivered or repeated message the same order: its key, its message id, else its place in the stream.
    The digest belongs to the place, because sequences begin anew when a stream was lost.

    An order that an operator sends again from the dead letters was refused under its key; it gets a new answer under its id.
    """
    by_place = _by_place(client_id, delivery)
    own_key = None if is_replay(delivery.headers) else key
    chosen = own_key or _message_id(delivery)
    return by_place if not chosen else replace(by_place, key=f"bus {chosen}")


def _by_place(client_id: str, delivery: Delivery) -> KeyedCall:
    digest = hashlib.sha256(delivery.payload).hexdigest()
    return KeyedCall(client_id=client_id, key=f"bus {delivery.stream_sequence}.{digest[:32]}", fingerprint=digest)


def _message_id(delivery: Delivery) -> str | None:
    """Any text may stand there; one that is no key stands for itself by its digest."""
    told = delivery.headers.get(MESSAGE_ID)
    if not told or is_key(told):
        return told
    return f"sha256.{hashlib.sha256(told.encode()).hexdigest()}"


def _unreadable(client_id: str) -> Wish:
    return Wish(client_id=client_id, origin=Origin.BUS, message="", urgency_level=Priority.NORMAL, workspace_id=None)


def _reason(failure: KamFailure) -> str:
    fields = ", ".join(mistake.field[:_SHOWN_CHARACTERS] for mistake in failure.mistakes[:_SHOWN_FIELDS])
    return f"{failure.code}: {failure.message}" + (f" ({fields})" if fields else "")


def _reason_of(answer: Answer) -> str | None:
    if not problems.is_problem(answer):
        return None
    problem = _PROBLEM.decode(answer.body)
    return f"{problem.type.rsplit(':', 1)[1]}: {problem.detail}"
