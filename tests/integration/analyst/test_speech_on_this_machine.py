"""Recordings decoded and recognised for real, by the model that comes with pocketsphinx, each in a process of its own."""

import asyncio
import io
import os
import wave
from pathlib import Path
from typing import Any

import av
import msgspec
import pytest

from aif_ai.failures import AudioUnreadable, ProviderNotConfigured
from aif_ai.local.speech.audio import Recording
from aif_ai.local.speech.provider import LocalSpeech, SpeechLimits
from aif_ai.local.speech.speech_process import Heard, SpeechTask
from aif_ai.local.speech.speech_runner import SpeechRunner
from aif_ai.provider import ModelCall
from aif_ai.requests import AudioInput, CallTrace, Capability
from aif_contracts.analysis import Transcript
from aif_runtime.assignment import WorkFailure
from aif_runtime.cpu_meter import CpuMeter
from support.analyst_rig import AnalystRig
from support.listeners import Notes, Unheard
from support.sound import RATE, silence, voice, wav

CALL = wav(silence(0.5) + voice(1.5) + silence(2.5), silence(2.5) + voice(1.5, pitch=210) + silence(0.5))
"""One speaker on the left, then another one on the right."""
MONO = wav(silence(0.3) + voice(1) + silence(0.7))
WHISPER = "whisper-base"


def encoded(container: str, codec: str) -> bytes:
    """The mono recording in another format."""
    out = io.BytesIO()
    with av.open(io.BytesIO(MONO), mode="r") as source, av.open(out, mode="w", format=container) as target:
        stream: Any = target.add_stream(codec, rate=48_000 if codec == "libopus" else 44_100, layout="mono")
        resampler = av.AudioResampler(format=stream.codec_context.format or "s16", layout="mono", rate=stream.rate)
        for frame in source.decode(audio=0):
            for resampled in resampler.resample(frame):
                target.mux(stream.encode(resampled))
        target.mux(stream.encode(None))
    return out.getvalue()


async def heard(
    content: bytes, *, diarize: bool = False, media_type: str = "audio/wav", language: str | None = None
) -> Transcript:
    provider = LocalSpeech(SpeechRunner(), whisper_model_dir=None, limits=SpeechLimits())
    call = ModelCall(
        call_key="exec_1.transcribe.1.1",
        model="pocketsphinx-5",
        capability=Capability.TRANSCRIPTION,
        input=AudioInput(data=content, media_type=media_type, diarize=diarize, language=language),
    )
    answer = await provider.answer(call, CallTrace(), Unheard())
    assert answer.finished
    return msgspec.json.decode(answer.text, type=Transcript)


async def _ignored(said: Heard) -> None:
    """Nobody reads along."""


@pytest.mark.parametrize(
    ("media_type", "container", "codec"),
    [
        ("audio/wav", "wav", "pcm_s16le"),
        ("audio/mpeg", "mp3", "libmp3lame"),
        ("audio/ogg", "ogg", "libopus"),
        ("audio/flac", "flac", "flac"),
        ("audio/mp4", "mp4", "aac"),
    ],
)
async def test_every_format_is_examined_for_its_length(media_type: str, container: str, codec: str) -> None:
    recording = await SpeechRunner().examine(encoded(container, codec), media_type)

    assert recording.channels == 1
    # Resampling loses a moment, and coders of MP3 and AAC add some silence.
    assert 1_980 <= recording.duration_ms <= 2_150


async def test_channels_that_carry_the_same_count_as_one() -> None:
    same = voice(1)

    assert await SpeechRunner().examine(wav(same, same), "audio/wav") == Recording(duration_ms=1_000, channels=1)
    assert await SpeechRunner().examine(CALL, "audio/wav") == Recording(duration_ms=4_500, channels=2)


async def test_speakers_on_channels_of_their_own_are_told_apart_in_order_of_time() -> None:
    transcript = await heard(CALL, diarize=True)

    assert [turn.speaker for turn in transcript.turns] == ["speaker_1", "speaker_2"]
    first, second = transcript.turns
    assert first.start_ms < first.end_ms <= second.start_ms + 500
    assert 2_000 <= second.start_ms <= 3_000
    assert (transcript.speakers, transcript.is_diarized, transcript.duration_ms) == (("speaker_1", "speaker_2"), True, 4_500)
    assert all(turn.text for turn in transcript.turns)
    assert [transcript.text[turn.span.start : turn.span.end] for turn in transcript.turns] == [t.text for t in transcript.turns]


async def test_the_same_recording_gives_the_same_transcript() -> None:
    assert await heard(CALL, diarize=True) == await heard(CALL, diarize=True)


async def test_on_one_channel_nobody_is_told_apart_and_the_transcript_says_so() -> None:
    transcript = await heard(MONO, diarize=True)

    assert (transcript.is_diarized, transcript.speakers) == (False, ())
    assert {turn.speaker for turn in transcript.turns} == {None}
    assert "they were not told apart" in transcript.note


async def test_whoever_waits_is_told_how_much_of_the_recording_was_listened_to() -> None:
    notes = Notes()
    provider = LocalSpeech(SpeechRunner(), whisper_model_dir=None, limits=SpeechLimits())
    content = wav(voice(1) + silence(1) + voice(1) + silence(1))
    audio = AudioInput(data=content, media_type="audio/wav")
    call = ModelCall(call_key="k", model="pocketsphinx-5", capability=Capability.TRANSCRIPTION, input=audio)

    await provider.answer(call, CallTrace(), notes)

    first, second = notes.shares
    assert 0.2 < first < 0.5 < second < 1


async def test_silence_is_a_transcript_without_turns() -> None:
    transcript = await heard(wav(silence(1)))

    assert (transcript.text, transcript.turns, transcript.duration_ms) == ("", (), 1_000)
    assert "No speech was found" in transcript.note


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"", "audio/wav"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav"),
        (MONO[:60], "audio/mpeg"),
        (MONO[:44], "audio/wav"),
        (b"#EXTM3U\nhttp://127.0.0.1:9/secret", "audio/mpeg"),
        (b"ID3\x04" + bytes(200), "audio/mpeg"),
        (b"OggS\x00" + b"\xff" * 500, "audio/ogg"),
        (b"\x00\x00\x00\x18ftypM4A " + bytes(64), "audio/mp4"),
        (MONO, "text/plain"),
        # A header that claims one sample a second: hours of sound, if anybody made them.
        (MONO[:24] + b"\x01\x00\x00\x00" + MONO[28:], "audio/wav"),
    ],
)
async def test_what_is_no_sound_is_refused_with_a_mend(content: bytes, media_type: str) -> None:
    with pytest.raises(AudioUnreadable, match=r"send|save") as refused:
        await SpeechRunner().examine(content, media_type)

    assert (refused.value.code, refused.value.retryable) == ("invalid_audio", False)


async def test_other_languages_than_english_need_a_better_model() -> None:
    with pytest.raises(ProviderNotConfigured, match=r"not de-AT: set WHISPER_MODEL_DIR .* set DEEPGRAM_API_KEY"):
        await heard(MONO, language="de-AT")


async def test_a_whisper_model_that_is_not_there_is_told_before_anything_is_decoded(tmp_path: Path) -> None:
    provider = LocalSpeech(SpeechRunner(), whisper_model_dir=str(tmp_path / WHISPER), limits=SpeechLimits())
    call = ModelCall(call_key="k", model=f"whisper-{WHISPER}", input=AudioInput(data=b"", media_type="audio/wav"))

    with pytest.raises(ProviderNotConfigured, match=r"faster-whisper|no model\.bin"):
        await provider.answer(call, CallTrace(), Unheard())


async def test_a_recording_that_takes_too_much_processor_time_is_refused() -> None:
    long = wav(voice(20))
    task = SpeechTask(size_bytes=len(long), media_type="audio/wav", transcribe=True, cpu_seconds=1, memory_bytes=3 * 1024**3)

    with pytest.raises(AudioUnreadable, match="more than 1 s of processor time"):
        await SpeechRunner().transcribe(task, long, _ignored)


async def test_a_cancellation_ends_the_process_of_the_recording_at_once() -> None:
    # The first word is heard soon; what follows it would keep the recogniser busy for longer than the test waits.
    long = wav(voice(1) + silence(1) + voice(120))
    task = SpeechTask(size_bytes=len(long), media_type="audio/wav", transcribe=True, cpu_seconds=120, memory_bytes=3 * 1024**3)
    before, spoken = _children(), asyncio.Event()

    async def note(said: Heard) -> None:
        spoken.set()

    work = asyncio.create_task(SpeechRunner().transcribe(task, long, note))
    await asyncio.wait_for(spoken.wait(), 30)
    started = _children() - before

    work.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(work), 5)
    assert started
    assert not started & _children()


async def test_processor_time_of_the_child_counts_for_the_work() -> None:
    meter = CpuMeter()

    await meter.measure(heard(MONO))

    assert meter.seconds > 0.3


async def test_the_action_gives_a_transcript_and_pays_nothing() -> None:
    rig = AnalystRig()
    source = await rig.stored(CALL, "audio/wav")

    outcome = await rig.run("transcription_diarization", source=source)

    assert isinstance(outcome.output, Transcript)
    assert outcome.output.made_by == "local_speech/pocketsphinx-5"
    assert (outcome.element_count, outcome.provider) == (2, "local_speech")
    assert outcome.quality_score is not None
    assert 0 < outcome.quality_score < 1
    (call,) = rig.assignment.calls
    assert (call.cost_usd, call.audio_ms, call.capability) == ("0", 4_500, "transcription_diarization")


@pytest.mark.parametrize(
    ("content", "media_type", "code", "message"),
    [
        (b"{}", "application/json", "invalid_audio", "not a recording: upload a WAV"),
        (b"RIFF\x00\x00\x00\x00WAVE", "audio/wav", "invalid_audio", "cannot be decoded"),
    ],
)
async def test_a_source_that_is_no_recording_is_refused_before_anybody_is_called(
    content: bytes, media_type: str, code: str, message: str
) -> None:
    rig = AnalystRig()
    source = await rig.stored(content, media_type)

    with pytest.raises(WorkFailure, match=message) as failure:
        await rig.run("transcription", source=source)

    assert (failure.value.code, failure.value.retryable) == (code, False)
    assert rig.assignment.calls == []


def test_the_recordings_of_these_tests_are_what_they_say() -> None:
    with wave.open(io.BytesIO(CALL)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, RATE, round(4.5 * RATE))


def _children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text(encoding="ascii").split())
