"""A worker as it is deployed: its own process in front of a real broker, given packets and heard by the test."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from aif_contracts import subjects
from aif_contracts.packets import Context, Control, Grant, WorkPacket
from aif_contracts.reports import Completed, Report
from aif_contracts.workers import WorkerDescription
from aif_runtime.bus import ConsumerSpec, Outgoing
from aif_runtime.nats_blobs import NatsBlobStore
from aif_runtime.nats_bus import NatsBus
from support.waiting import eventually

_READY_SECONDS = 120.0
_REPORT_SECONDS = 120.0

Output = TypeVar("Output")


class DeployedWorker:
    """Made by `deployed_worker`, or around a process that a test has started itself."""

    def __init__(self, bus: NatsBus, process: asyncio.subprocess.Process) -> None:
        self.blobs = NatsBlobStore(bus)
        self._bus = bus
        self._process = process

    async def description(self) -> WorkerDescription:
        """What the one worker that is there says of itself."""
        entries = await eventually(lambda: self._bus.entries(subjects.BUCKET_REGISTRY), 10, what="it registers")
        [description] = [msgspec.json.decode(entry, type=WorkerDescription) for entry in entries.values()]
        return description

    async def completes(self, worker_name: str, action: str, stage_input: Any, **changes: Any) -> Completed:
        """Its report on one packet; `changes` replace the packet's fields."""
        await self.is_given(worker_name, action, stage_input, **changes)
        return await eventually(self._completed, _REPORT_SECONDS, what=f"{worker_name} reports")

    async def is_given(self, worker_name: str, action: str, stage_input: Any, **changes: Any) -> None:
        """One packet; `changes` replace its fields."""
        fields: dict[str, Any] = {
            "packet_id": "packet_1",
            "execution_id": "exec_1",
            "stage_id": "stage_1",
            "attempt": 1,
            "worker_name": worker_name,
            "action": action,
            "control": Control(),
            "data_ref": await self.blobs.put("data/exec_1/stage_1/input", msgspec.json.encode(stage_input)),
            "grant": Grant(models=()),
            "context": Context(client_id="client_1"),
        }
        packet = WorkPacket(**(fields | changes))
        subject = subjects.work(worker_name, "normal")
        await self._bus.publish([Outgoing(subject=subject, payload=msgspec.json.encode(packet), message_id=packet.packet_id)])

    async def output(self, report: Completed, kind: type[Output]) -> Output:
        """What the report refers to."""
        return msgspec.json.decode(await self.blobs.get(report.output), type=kind)

    async def told(self, stream: str, filter_subject: str) -> list[bytes]:
        """What has come to the stream since the last look."""
        durable = f"test_{stream.lower()}"
        consumer = await self._bus.open_consumer(ConsumerSpec(stream=stream, durable=durable, filter_subject=filter_subject))
        try:
            deliveries = await consumer.fetch(10, 0.2)
            for delivery in deliveries:
                await delivery.ack()
            return [delivery.payload for delivery in deliveries]
        finally:
            await consumer.close()

    async def ends_in_order(self) -> int:
        """Its exit code after SIGTERM, which it has to heed by itself."""
        self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), 60)

    async def _completed(self) -> Completed:
        told = await self.told(subjects.STREAM_REPORTS, subjects.ALL_REPORTS)
        reports = [report for each in told for report in msgspec.json.decode(each, type=list[Report])]
        completed = [report for report in reports if isinstance(report, Completed)]
        assert completed, reports
        return completed[0]


@asynccontextmanager
async def deployed_worker(package: str, nats_url: str, folder: Path) -> AsyncIterator[DeployedWorker]:
    """`python -m package`, ready. It sees no setting but the ones that it needs, and does not outlive the block."""
    ready = folder / "ready.json"
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {
        "AIF_NATS_URL": nats_url,
        "AIF_READY_FILE": str(ready),
        "AIF_LOG_LEVEL": "warning",
        "AIF_DRAIN_SECONDS": "3600",
    }
    async with await NatsBus.connect(nats_url, name="test") as bus:
        await bus.declare_topology()
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", package, env=environment)
        try:
            await eventually(ready.exists, _READY_SECONDS, what=f"{package} is ready")
            yield DeployedWorker(bus, process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
