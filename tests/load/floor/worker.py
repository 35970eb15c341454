"""The floor's worker: it does nothing, or sleeps, and acknowledges a packet when its report is stored."""

import asyncio
import sys
import time

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from load.floor.process import run
from load.floor.streams import Reader
from load.floor.wire import REPORT, WORK_CONSUMER, WORK_STREAM, Metrics, Packet, Report

_encoder = msgspec.json.Encoder()
_packets = msgspec.json.Decoder(Packet)


class Worker:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._reported = 0
        self._unconfirmed: dict[str, Msg] = {}
        """Packets whose report is on its way to the broker."""
        self._napping: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_confirmation)
        await Reader(self._client, WORK_STREAM, WORK_CONSUMER, self._take).start()

    async def _take(self, message: Msg) -> None:
        packet = _packets.decode(message.data)
        if packet.action == "nap":
            napping = asyncio.create_task(self._nap(packet, message))
            self._napping.add(napping)
            napping.add_done_callback(self._napping.discard)
        else:
            await self._report(packet, message, time.perf_counter())

    async def _nap(self, packet: Packet, message: Msg) -> None:
        began = time.perf_counter()
        await asyncio.sleep(float(packet.input["seconds"]))
        await self._report(packet, message, began)

    async def _report(self, packet: Packet, message: Msg, began: float) -> None:
        took_ms = (time.perf_counter() - began) * 1000
        report = Report(
            execution_id=packet.execution_id,
            step=packet.step,
            place=packet.place,
            output=packet.input,
            metrics=Metrics(tokens_used=0, api_calls=0, processing_time_ms=took_ms, cpu_time_ms=took_ms),
        )
        self._reported += 1
        token = str(self._reported)
        self._unconfirmed[token] = message
        await self._client.publish(REPORT, _encoder.encode(report), reply=f"{self._inbox}.{token}")

    async def _on_confirmation(self, confirmation: Msg) -> None:
        if b'"error"' in confirmation.data or not confirmation.data:
            raise SystemExit(f"not stored: {confirmation.data.decode()}")
        await self._unconfirmed.pop(confirmation.subject.rpartition(".")[2]).ack()


async def start(client: Client, _database_url: str) -> list[asyncio.Task[None]]:
    await Worker(client).start()
    return []


if __name__ == "__main__":
    sys.exit(run(start))
