"""A recording goes to the preferred provider, and stays on this machine when that one fails."""

from collections.abc import AsyncIterator

import pytest

from aif_ai.call_policy import CallPolicy
from aif_ai.deepgram_provider import DeepgramProvider
from aif_contracts.metering import CallOutcome, Purpose
from aif_contracts.packets import Grant
from support.analyst_rig import AnalystRig
from support.provider_double.faults import FaultKind
from support.provider_double.server import ProviderDouble, provider_double
from support.sound import silence, voice, wav

CALL = wav(silence(0.3) + voice(1) + silence(0.7))
GRANT = Grant(max_cost_usd="1", prefer_providers=("deepgram",), max_fallbacks=2)


@pytest.fixture
async def double() -> AsyncIterator[ProviderDouble]:
    async with provider_double() as running:
        yield running


def rig_at(double: ProviderDouble) -> AnalystRig:
    deepgram = DeepgramProvider(models=("nova-3",), api_key="dg-test", base_url=double.url)
    return AnalystRig([deepgram], grant=GRANT, policy=CallPolicy(most_tries=1))


async def test_the_preferred_provider_is_asked_and_paid_by_the_length_of_the_audio(double: ProviderDouble) -> None:
    rig = rig_at(double)

    outcome = await rig.run("transcription_diarization", source=await rig.stored(CALL, "audio/wav"))

    assert (outcome.provider, outcome.model) == ("deepgram", "nova-3")
    assert outcome.output.made_by == "deepgram/nova-3"
    assert outcome.output.turns
    (call,) = rig.assignment.calls
    assert (call.outcome, call.audio_ms, call.tokens.total_tokens) == (CallOutcome.ANSWERED, 2_000, 0)
    assert call.cost_usd is not None
    assert float(call.cost_usd) > 0
    assert [announced.call_key for announced in rig.assignment.announced] == [call.call_key]
    await rig.door.close()


async def test_when_it_refuses_the_key_the_recording_is_heard_here_and_the_reason_is_kept(double: ProviderDouble) -> None:
    rig = rig_at(double)
    double.plan(FaultKind.UNAUTHORIZED)

    outcome = await rig.run("transcription", source=await rig.stored(CALL, "audio/wav"))

    assert outcome.provider == "local_speech"
    failed, heard = rig.assignment.calls
    assert (failed.provider, failed.outcome, failed.cost_usd) == ("deepgram", CallOutcome.FAILED, "0")
    assert (heard.provider, heard.purpose, heard.reason, heard.fallback_from) == (
        "local_speech",
        Purpose.FALLBACK,
        "authentication",
        "nova-3",
    )
    assert [action for action, _, _ in rig.assignment.audited] == ["AI_GENERATION_FALLBACK"]
    await rig.door.close()


def test_transcripts_are_paid_as_soon_as_somebody_charges_for_them() -> None:
    spec = rig_at(ProviderDouble()).spec

    assert {name for name, action in spec.actions.items() if action.paid} == {"transcription", "transcription_diarization"}
    assert "llm_generation" not in spec.capabilities
