"""The planner as it is deployed: its own process, a real broker, a packet in, a report and an audit entry out."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from aif_contracts import subjects
from aif_contracts.audit import AuditEntry
from aif_contracts.packets import Context, Control, Grant, WorkPacket
from aif_contracts.reports import Completed, Report
from aif_contracts.workers import WorkerDescription
from aif_contracts.workflows import GeneratedWorkflow
from aif_runtime.bus import ConsumerSpec, Outgoing
from aif_runtime.nats_blobs import NatsBlobStore
from aif_runtime.nats_bus import NatsBus
from support.waiting import eventually

TASK = {"description": "Fetch the new orders, classify them and send a summary.", "connectedServices": None}


async def test_a_packet_becomes_a_stored_workflow_and_sigterm_ends_in_order(fresh_nats: str, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"AIF_NATS_URL": fresh_nats, "AIF_READY_FILE": str(ready), "AIF_LOG_LEVEL": "warning"}
    async with await NatsBus.connect(fresh_nats, name="test") as bus:
        await bus.declare_topology()
        blobs = NatsBlobStore(bus)
        packet = WorkPacket(
            packet_id="packet_1",
            execution_id="exec_1",
            stage_id="generate",
            attempt=1,
            worker_name="workflow_generator",
            action="generate_workflow",
            control=Control(),
            data_ref=await blobs.put("data/exec_1/generate/input", msgspec.json.encode(TASK)),
            grant=Grant(models=()),
            context=Context(client_id="client_1"),
        )
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "aif_planner", env=environment)
        try:
            await eventually(ready.exists, 20, what="the planner is ready")
            entries = await eventually(lambda: bus.entries(subjects.BUCKET_REGISTRY), 10, what="it registers")
            subject = subjects.work("workflow_generator", "normal")
            await bus.publish([Outgoing(subject=subject, payload=msgspec.json.encode(packet), message_id="packet_1")])
            report = await eventually(lambda: _completed(bus), 20, what="it reports")
            assert report is not None
            process.terminate()
            exit_code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        workflow = msgspec.json.decode(await blobs.get(report.output), type=GeneratedWorkflow)
        (told,) = await _fetched(bus, subjects.STREAM_AUDIT, subjects.ALL_AUDIT)

    [description] = [msgspec.json.decode(entry, type=WorkerDescription) for entry in entries.values()]
    entry = msgspec.json.decode(told, type=AuditEntry)
    assert description.worker_name == "workflow_generator"
    assert [(action.name, action.paid) for action in description.actions] == [("generate_workflow", False)]
    assert [step.operation for step in workflow.pilot_steps] == ["Fetch the new orders", "Classify them", "Send a summary"]
    assert (report.metrics.provider, report.metrics.model, report.metrics.cost_usd) == ("local_workflow", "local-rules-1", "0")
    assert (report.element_count, report.quality_score) == (3, 1.0)
    assert (entry.action, entry.actor, entry.compliance) == ("WORKFLOW_GENERATED", "worker:workflow_generator", ("SOC2",))
    assert exit_code == 0


async def _completed(bus: NatsBus) -> Completed | None:
    for each in await _fetched(bus, subjects.STREAM_REPORTS, subjects.ALL_REPORTS):
        for report in msgspec.json.decode(each, type=list[Report]):
            if isinstance(report, Completed):
                return report
    return None


async def _fetched(bus: NatsBus, stream: str, subject: str) -> list[bytes]:
    consumer = await bus.open_consumer(ConsumerSpec(stream=stream, durable="test_reader", filter_subject=subject))
    try:
        deliveries = await consumer.fetch(10, 0.2)
        for delivery in deliveries:
            await delivery.ack()
        return [delivery.payload for delivery in deliveries]
    finally:
        await consumer.close()
