"""The analyst as it is deployed: its own process, a real broker, a packet with a recording in and a report out."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from aif_contracts import subjects
from aif_contracts.analysis import Transcript
from aif_contracts.packets import Context, Control, Grant, WorkPacket
from aif_contracts.reports import Completed, Report
from aif_contracts.workers import WorkerDescription
from aif_runtime.bus import ConsumerSpec, Outgoing
from aif_runtime.nats_blobs import NatsBlobStore
from aif_runtime.nats_bus import NatsBus
from support.sound import silence, voice, wav
from support.waiting import eventually

CALL = wav(silence(0.3) + voice(1) + silence(2.2), silence(2) + voice(1, pitch=210) + silence(0.5))


async def test_a_packet_with_a_recording_becomes_a_stored_transcript_and_sigterm_ends_in_order(
    fresh_nats: str, tmp_path: Path
) -> None:
    ready = tmp_path / "ready.json"
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"AIF_NATS_URL": fresh_nats, "AIF_READY_FILE": str(ready), "AIF_LOG_LEVEL": "warning"}
    async with await NatsBus.connect(fresh_nats, name="test") as bus:
        await bus.declare_topology()
        blobs = NatsBlobStore(bus)
        source = await blobs.put("sources/client_1/s1", CALL, media_type="audio/wav", inline_limit_bytes=0)
        packet = WorkPacket(
            packet_id="packet_1",
            execution_id="exec_1",
            stage_id="transcribe",
            attempt=1,
            worker_name="analyst",
            action="transcription_diarization",
            control=Control(),
            data_ref=await blobs.put("data/exec_1/transcribe/input", msgspec.json.encode({"source": source})),
            grant=Grant(models=()),
            context=Context(client_id="client_1"),
        )
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "aif_analyst", env=environment)
        try:
            await eventually(ready.exists, 20, what="the analyst is ready")
            entries = await eventually(lambda: bus.entries(subjects.BUCKET_REGISTRY), 10, what="it registers")
            subject = subjects.work("analyst", "normal")
            await bus.publish([Outgoing(subject=subject, payload=msgspec.json.encode(packet), message_id="packet_1")])
            report = await eventually(lambda: _completed(bus), 30, what="it reports")
            assert report is not None
            process.terminate()
            exit_code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        transcript = msgspec.json.decode(await blobs.get(report.output), type=Transcript)

    [description] = [msgspec.json.decode(entry, type=WorkerDescription) for entry in entries.values()]
    assert description.worker_name == "analyst"
    assert {action.name: action.paid for action in description.actions} == {
        "transcription": False,
        "transcription_diarization": False,
        "pii_redaction": False,
        "sentiment_analysis": False,
        "summarization": False,
    }
    assert transcript.speakers == ("speaker_1", "speaker_2")
    assert (report.metrics.provider, report.metrics.cost_usd) == ("local_speech", "0")
    assert report.metrics.resource_usage.cpu_time_ms > 500
    assert report.element_count == len(transcript.turns) == 2
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
