"""The floor's orchestrator: orders and reports in, packets out, one commit for whatever has arrived.

No claims, no events, no ledger, no checks, no second replica, no recovery. What is left is what any durable orchestrator of
this shape has to do: commit a step before the next one is sent, and send it before the report is acknowledged.
"""

import asyncio
import sys

import asyncpg
import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from load.floor.process import run
from load.floor.streams import Reader, Writer
from load.floor.wire import ORDER, REPORT_CONSUMER, REPORT_STREAM, WORK, Order, Packet, Report, ended

LANES = 2
"""While one lane waits for its commit another one steps."""
TABLE = """
CREATE TABLE IF NOT EXISTS floor_executions (
    execution_id text PRIMARY KEY,
    has_ended boolean NOT NULL,
    state bytea NOT NULL
) WITH (fillfactor = 70)
"""
COMMIT = """
INSERT INTO floor_executions (execution_id, has_ended, state)
SELECT * FROM unnest($1::text[], $2::boolean[], $3::bytea[])
ON CONFLICT (execution_id) DO UPDATE SET has_ended = excluded.has_ended, state = excluded.state
"""

_encoder = msgspec.json.Encoder()
_orders = msgspec.json.Decoder(Order)
_reports = msgspec.json.Decoder(Report)


class Execution(Struct, kw_only=True):
    order: Order
    step: int
    missing: set[int]
    """Places of the step that have not reported."""
    value: dict[str, str | float]
    """What the stages of the step take."""

    @property
    def has_ended(self) -> bool:
        return self.step == len(self.order.widths)


class Arrival(Struct, frozen=True):
    content: Order | Report
    message: Msg


class Lane:
    """Some of the executions."""

    def __init__(self, client: Client, writer: Writer, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._client = client
        self._writer = writer
        self._connection = connection
        self._arrived: list[Arrival] = []
        self._something = asyncio.Event()
        self._live: dict[str, Execution] = {}
        self._sending: set[asyncio.Task[None]] = set()

    def take(self, arrival: Arrival) -> None:
        self._arrived.append(arrival)
        self._something.set()

    async def work(self) -> None:
        """Until cancelled."""
        while True:
            await self._something.wait()
            self._something.clear()
            batch, self._arrived = self._arrived, []
            packets: list[bytes] = []
            changed: dict[str, Execution] = {}
            for arrival in batch:
                execution = self._step(arrival.content, packets)
                if execution is not None:
                    changed[execution.order.execution_id] = execution
            await self._connection.execute(
                COMMIT,
                list(changed),
                [each.has_ended for each in changed.values()],
                [_encoder.encode(each) for each in changed.values()],
            )
            sending = asyncio.create_task(self._send(batch, packets, list(changed.values())))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    def _step(self, content: Order | Report, packets: list[bytes]) -> Execution | None:
        if isinstance(content, Order):
            execution = Execution(order=content, step=0, missing=set(range(content.widths[0])), value=content.parameters)
            self._live[content.execution_id] = execution
        else:
            known = self._live.get(content.execution_id)
            if known is None or known.step != content.step or content.place not in known.missing:
                return None
            execution = known
            execution.missing.discard(content.place)
            if execution.missing:
                return execution
            execution.step += 1
            execution.value = dict(content.output)
            if execution.has_ended:
                del self._live[content.execution_id]
                return execution
            execution.missing = set(range(execution.order.widths[execution.step]))
        packets += [
            _encoder.encode(
                Packet(
                    execution_id=execution.order.execution_id,
                    step=execution.step,
                    place=place,
                    action=execution.order.action,
                    input=execution.value,
                )
            )
            for place in execution.missing
        ]
        return execution

    async def _send(self, batch: list[Arrival], packets: list[bytes], changed: list[Execution]) -> None:
        for execution in changed:
            if execution.has_ended:
                await self._client.publish(ended(execution.order.execution_id), _encoder.encode(execution.value))
        if packets:
            await self._writer.store(WORK, packets)
        for arrival in batch:
            if isinstance(arrival.content, Order):
                await arrival.message.respond(b"")
            else:
                await arrival.message.ack()


async def start(client: Client, database_url: str) -> list[asyncio.Task[None]]:
    writer = Writer(client)
    await writer.start()
    lanes = [Lane(client, writer, await asyncpg.connect(database_url)) for _ in range(LANES)]

    async def take_order(message: Msg) -> None:
        order = _orders.decode(message.data)
        lanes[hash(order.execution_id) % LANES].take(Arrival(order, message))

    async def take_report(message: Msg) -> None:
        report = _reports.decode(message.data)
        lanes[hash(report.execution_id) % LANES].take(Arrival(report, message))

    await client.subscribe(ORDER, queue="floor", cb=take_order)
    await Reader(client, REPORT_STREAM, REPORT_CONSUMER, take_report).start()
    return [asyncio.create_task(lane.work()) for lane in lanes]


if __name__ == "__main__":
    sys.exit(run(start))
