"""The worker loop over the real broker and its blob store."""

import asyncio

import msgspec
from prometheus_client import CollectorRegistry

from aif_contracts import subjects
from aif_contracts.blobs import StorageType
from aif_contracts.packets import ClaimRequest, Context, Control, Grant, Granted, Priority, WorkPacket
from aif_contracts.reports import Completed, Report
from aif_runtime.assignment import ActionSpec, Assignment, Outcome, WorkerSpec
from aif_runtime.bus import ConsumerSpec, Outgoing, Question
from aif_runtime.clock import SystemClock
from aif_runtime.nats_bus import NatsBus
from aif_runtime.open_blob_store import open_blob_store
from aif_runtime.telemetry import TracingOff
from aif_runtime.worker_figures import WorkerFigures
from aif_runtime.worker_loop import run_worker
from aif_runtime.worker_settings import WorkerSettings
from support.waiting import eventually


async def double(assignment: Assignment) -> Outcome:
    return Outcome(output={"text": assignment.input["text"] * 2})


SPEC = WorkerSpec(worker_name="doubler", actions={"double": ActionSpec(run=double, paid=False)}, slots=8)


async def test_two_replicas_do_every_packet_once_over_a_real_broker(fresh_nats: str) -> None:
    office = await NatsBus.connect(fresh_nats, name="office")
    await office.declare_topology()
    blobs = open_blob_store("nats:", office)
    claims: list[str] = []

    async def grant(question: Question) -> bytes:
        claims.append(msgspec.json.decode(question.payload, type=ClaimRequest).packet_id)
        return msgspec.json.encode(Granted(attempt=1, grant=Grant(), timeout_ms=10_000))

    await office.answer(subjects.CLAIM, subjects.ORCHESTRATOR_GROUP, grant)
    ref = await blobs.put("data/input", msgspec.json.encode({"text": "x" * 10_000}))
    stop = asyncio.Event()
    replicas = [await NatsBus.connect(fresh_nats, name=f"doubler_{number}") for number in (1, 2)]
    workers = [
        asyncio.create_task(
            run_worker(
                SPEC,
                bus=replica,
                blobs=open_blob_store("nats:", replica),
                tracing=TracingOff(),
                clock=SystemClock(),
                instance_id=f"doubler_{number}",
                settings=WorkerSettings(),
                stop_event=stop,
                figures=WorkerFigures(CollectorRegistry()),
            )
        )
        for number, replica in enumerate(replicas)
    ]
    for number in range(100):
        packet = WorkPacket(
            packet_id=f"pkt_{number}",
            execution_id=f"exec_{number}",
            stage_id="stage_1",
            attempt=number % 2,
            worker_name="doubler",
            action="double",
            control=Control(),
            data_ref=ref,
            grant=Grant() if number % 2 else None,
            context=Context(client_id="acme"),
        )
        subject = subjects.work("doubler", Priority.HIGH if number % 3 else Priority.NORMAL)
        await office.publish([Outgoing(subject=subject, payload=msgspec.json.encode(packet))])

    reports = await office.open_consumer(
        ConsumerSpec(stream=subjects.STREAM_REPORTS, durable="test_reports", filter_subject=subjects.ALL_REPORTS)
    )
    got: list[Report] = []
    async with asyncio.timeout(60):
        while len(got) < 100:
            for delivery in await reports.fetch(100, 1.0):
                got += msgspec.json.decode(delivery.payload, type=list[Report])
                await delivery.ack()
    registered = await eventually(lambda: office.entries(subjects.BUCKET_REGISTRY))
    stop.set()
    await asyncio.gather(*workers)
    await reports.close()
    for bus in (*replicas, office):
        await bus.close()

    assert sorted(report.execution_id for report in got) == sorted(f"exec_{number}" for number in range(100))
    assert len(claims) == 50
    assert all(isinstance(report, Completed) and report.output.storage_type is StorageType.KV for report in got)
    assert got[0].metrics.resource_usage.kv_operations == 2  # type: ignore[union-attr]
    assert sorted(registered) == ["doubler.doubler_0", "doubler.doubler_1"]
