"""The granulator as it is deployed: its own process, a real broker, a packet in and a report out."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from aif_contracts import subjects
from aif_contracts.packets import Context, Control, Grant, WorkPacket
from aif_contracts.reports import Completed, Report
from aif_contracts.structures import Course
from aif_runtime.bus import ConsumerSpec, Deliveries, Outgoing
from aif_runtime.nats_blobs import NatsBlobStore
from aif_runtime.nats_bus import NatsBus
from support.source_documents import beekeeping
from support.waiting import eventually


@asynccontextmanager
async def granulator(nats_url: str, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    ready = folder / "ready.json"
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {
        "AIF_NATS_URL": nats_url,
        "AIF_READY_FILE": str(ready),
        "AIF_LOG_LEVEL": "warning",
        "AIF_DRAIN_SECONDS": "2",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "aif_granulator", env=environment)
    try:
        await eventually(ready.exists, 20, what="the granulator is ready")
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_a_packet_becomes_a_stored_course_and_sigterm_ends_in_order(fresh_nats: str, tmp_path: Path) -> None:
    async with await NatsBus.connect(fresh_nats, name="test") as bus:
        await bus.declare_topology()
        blobs = NatsBlobStore(bus)
        source = await blobs.put("sources/client_1/s1", msgspec.json.encode(beekeeping()))
        stage_input = {"source": msgspec.to_builtins(source), "granularityLevel": 4, "targetAudience": "gardeners"}
        packet = WorkPacket(
            packet_id="packet_1",
            execution_id="exec_1",
            stage_id="structure",
            attempt=1,
            worker_name="content_granulator",
            action="structure_course",
            control=Control(),
            data_ref=await blobs.put("data/exec_1/structure/input", msgspec.json.encode(stage_input)),
            grant=Grant(models=()),
            context=Context(client_id="client_1"),
            inline_limit_bytes=0,
        )
        reports = await bus.open_consumer(
            ConsumerSpec(stream=subjects.STREAM_REPORTS, durable="test_reports", filter_subject=subjects.ALL_REPORTS)
        )

        async with granulator(fresh_nats, tmp_path) as process:
            subject = subjects.work("content_granulator", "normal")
            await bus.publish([Outgoing(subject=subject, payload=msgspec.json.encode(packet), message_id="packet_1")])
            report = await _completed(reports)
            process.terminate()
            exit_code = await process.wait()

        course = msgspec.json.decode(await blobs.get(report.output), type=Course)
        await reports.close()
    assert len(course.modules) == 10
    assert report.metrics.provider == "local_extractive"
    assert (report.metrics.cost_usd, report.metrics.tokens_used.total_tokens) == ("0", 0)
    assert report.metrics.breakdown.ai_generation_ms > 0
    assert report.metrics.resource_usage.cpu_time_ms > 0
    assert report.quality_score is not None
    assert exit_code == 0


async def _completed(reports: Deliveries) -> Completed:
    """The first `completed` report within a few seconds."""
    for _ in range(10):
        for delivery in await reports.fetch(10, 1.0):
            await delivery.ack()
            for report in msgspec.json.decode(delivery.payload, type=list[Report]):
                if isinstance(report, Completed):
                    return report
    raise AssertionError("no completed report arrived")
