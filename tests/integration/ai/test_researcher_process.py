"""The researcher as it is deployed: its own process, a real broker, a packet in and a report out."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from aif_contracts import subjects
from aif_contracts.packets import Context, Control, Grant, WorkPacket
from aif_contracts.reports import Completed, Report
from aif_contracts.research import Research
from aif_contracts.workers import WorkerDescription
from aif_runtime.bus import ConsumerSpec, Outgoing
from aif_runtime.nats_blobs import NatsBlobStore
from aif_runtime.nats_bus import NatsBus
from support.source_documents import beekeeping
from support.waiting import eventually


async def test_a_packet_becomes_stored_findings_and_sigterm_ends_in_order(fresh_nats: str, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"AIF_NATS_URL": fresh_nats, "AIF_READY_FILE": str(ready), "AIF_LOG_LEVEL": "warning"}
    async with await NatsBus.connect(fresh_nats, name="test") as bus:
        await bus.declare_topology()
        blobs = NatsBlobStore(bus)
        source = await blobs.put("sources/client_1/s1", msgspec.json.encode(beekeeping()))
        packet = WorkPacket(
            packet_id="packet_1",
            execution_id="exec_1",
            stage_id="research",
            attempt=1,
            worker_name="topic_researcher",
            action="research_topic",
            control=Control(),
            data_ref=await blobs.put("data/exec_1/research/input", msgspec.json.encode({"source": source})),
            grant=Grant(models=()),
            context=Context(client_id="client_1"),
        )
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "aif_researcher", env=environment)
        try:
            await eventually(ready.exists, 20, what="the researcher is ready")
            entries = await eventually(lambda: bus.entries(subjects.BUCKET_REGISTRY), 10, what="it registers")
            subject = subjects.work("topic_researcher", "normal")
            await bus.publish([Outgoing(subject=subject, payload=msgspec.json.encode(packet), message_id="packet_1")])
            report = await eventually(lambda: _completed(bus), 20, what="it reports")
            assert report is not None
            process.terminate()
            exit_code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        research = msgspec.json.decode(await blobs.get(report.output), type=Research)

    [description] = [msgspec.json.decode(entry, type=WorkerDescription) for entry in entries.values()]
    assert (description.worker_name, [action.name for action in description.actions]) == (
        "topic_researcher",
        ["research_topic"],
    )
    assert len(research.subtopics) == 10
    assert (report.metrics.provider, report.metrics.cost_usd) == ("local_extractive", "0")
    assert (report.quality_score, report.element_count) == (1.0, 33)
    assert exit_code == 0


async def _completed(bus: NatsBus) -> Completed | None:
    reports = await bus.open_consumer(
        ConsumerSpec(stream=subjects.STREAM_REPORTS, durable="test_reports", filter_subject=subjects.ALL_REPORTS)
    )
    try:
        for delivery in await reports.fetch(10, 0.2):
            await delivery.ack()
            for report in msgspec.json.decode(delivery.payload, type=list[Report]):
                if isinstance(report, Completed):
                    return report
        return None
    finally:
        await reports.close()
