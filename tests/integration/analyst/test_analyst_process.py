"""The analyst as it is deployed: its own process, a real broker, a packet with a recording in and a report out."""

from pathlib import Path

from aif_contracts.analysis import Transcript
from support.deployed_worker import deployed_worker
from support.sound import silence, voice, wav

CALL = wav(silence(0.3) + voice(1) + silence(2.2), silence(2) + voice(1, pitch=210) + silence(0.5))


async def test_a_packet_with_a_recording_becomes_a_stored_transcript_and_sigterm_ends_in_order(
    fresh_nats: str, tmp_path: Path
) -> None:
    async with deployed_worker("aif_analyst", fresh_nats, tmp_path) as analyst:
        source = await analyst.blobs.put("sources/client_1/s1", CALL, media_type="audio/wav", inline_limit_bytes=0)
        description = await analyst.description()

        report = await analyst.completes("analyst", "transcription_diarization", {"source": source})
        transcript = await analyst.output(report, Transcript)
        exit_code = await analyst.ends_in_order()

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
