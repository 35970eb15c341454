"""Recordings and documents analysed over all services: stages that ask for a capability find who has it."""

from pathlib import Path
from typing import Any

import pytest

from aif_console.factory.factory import Factory
from aif_contracts.analysis import Redaction, SentimentAnalysis, Summary, Transcript
from support.http_client import FactoryClient, client_of, decoded
from support.sound import silence, voice, wav


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """One speaker on the left, then another one on the right."""
    recording = tmp_path / "call.wav"
    left, right = silence(0.4) + voice(1.5) + silence(2.6), silence(2.5) + voice(1.5, pitch=210) + silence(0.5)
    recording.write_bytes(wav(left, right))
    return recording


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    document = tmp_path / "letter.txt"
    document.write_text(
        "Dear Mrs Smith,\n\npay to DE89 3704 0044 0532 0130 00 or write to bob@example.com.\n", encoding="utf-8"
    )
    return document


async def test_a_recorded_call_is_heard_redacted_judged_and_summarized(factory: Factory, call: Path) -> None:
    async with client_of(factory) as client:
        source = await client.upload(call)
        accepted = await client.order("call_analysis", {"source": source, "summaryFrom": 1})
        request = await client.ended(accepted["request_id"], 60)
        assert request["status"] == "completed", request["problem"]
        made = await deliverables(client, request)
        stages = (await client.http.get(f"/api/v1/ai/pipelines/{accepted['execution_id']}")).json()["stages"]

    assert set(made) == {"redacted_transcript", "mood", "summary"}
    redaction, mood = decoded(made["redacted_transcript"], Redaction), decoded(made["mood"], SentimentAnalysis)
    assert [turn.speaker for turn in redaction.turns] == ["speaker_1", "speaker_2"]
    assert set(mood.by_speaker) == {"speaker_1", "speaker_2"}
    assert decoded(made["summary"], Summary).sentences
    assert {stage["worker_name"] for stage in stages} == {"analyst"}
    assert [stage["action"] for stage in stages] == [
        *("transcription_diarization", "pii_redaction", "sentiment_analysis", "summarization")
    ]
    assert (request["total_tokens_used"], request["total_cost_usd"]) == (0, "0")


async def test_a_call_in_which_too_little_is_said_is_not_summarized(factory: Factory, call: Path) -> None:
    async with client_of(factory) as client:
        source = await client.upload(call)
        accepted = await client.order("call_analysis", {"source": source, "summaryFrom": 100_000})
        request = await client.ended(accepted["request_id"], 60)
        stage = await client.status_of_stage(accepted["execution_id"], "summarize")

    assert (request["status"], stage) == ("completed", "skipped")


async def test_a_recording_becomes_a_transcript(factory: Factory, call: Path) -> None:
    async with client_of(factory) as client:
        accepted = await client.order("transcription", {"source": await client.upload(call)})
        request = await client.ended(accepted["request_id"], 60)
        assert request["status"] == "completed", request["problem"]
        made = await deliverables(client, request)

    transcript = decoded(made["transcript"], Transcript)
    assert (transcript.duration_ms, transcript.is_diarized) == (4_500, False)
    assert transcript.turns


async def test_a_document_is_given_back_without_its_personal_data(factory: Factory, letter: Path) -> None:
    async with client_of(factory) as client:
        accepted = await client.order("pii_detection", {"source": await client.upload(letter), "numbered": True})
        request = await client.ended(accepted["request_id"])
        assert request["status"] == "completed", request["problem"]
        made = await deliverables(client, request)

    redaction = decoded(made["redacted"], Redaction)
    assert redaction.text == "Dear Mrs [PERSON_1],\n\npay to [IBAN_1] or write to [EMAIL_1]."
    assert redaction.counts == {"email": 1, "iban": 1, "person": 1}


async def test_a_recording_and_a_document_are_not_taken_for_one_another(factory: Factory, call: Path, letter: Path) -> None:
    async with client_of(factory) as client:
        document, recording = await client.upload(letter), await client.upload(call)
        heard = await client.http.post(
            "/api/kam/orders", json={"selected_template": "transcription", "parameters": {"source": document}}
        )
        read = await client.http.post(
            "/api/kam/orders", json={"selected_template": "pii_detection", "parameters": {"source": recording}}
        )

    for refused in (heard, read):
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == "parameters.source"


async def deliverables(client: FactoryClient, request: dict[str, Any]) -> dict[str, bytes]:
    return {each["name"]: (await client.http.get(each["href"])).content for each in request["deliverables"]}
