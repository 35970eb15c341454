"""The local provider of transcripts: whisper where a model is configured, else pocketsphinx where it is installed."""

import importlib.util
from pathlib import Path

import msgspec
from msgspec import Struct

from aif_ai.failures import InvalidRequest, ProviderNotConfigured
from aif_ai.local.speech import pocketsphinx_recogniser
from aif_ai.local.speech.speech_process import Heard, SpeechTask
from aif_ai.local.speech.speech_runner import SpeechRunner
from aif_ai.provider import Listener, ModelCall, Offer
from aif_ai.requests import Answer, AudioInput, CallTrace, Capability

NAME = "local_speech"
NOT_INSTALLED = "not-installed"
WHAT_TO_CONFIGURE = (
    "set WHISPER_MODEL_DIR to the folder of a faster-whisper model (and install the extra `whisper`), set DEEPGRAM_API_KEY, "
    "or install the package `pocketsphinx` for English"
)
_MEMORY_BYTES = 3 * 1024**3
_WHISPER_MEMORY_BYTES = 16 * 1024**3
"""Of address space, of which a model's threads reserve much more than they use."""


class SpeechLimits(Struct, frozen=True, kw_only=True):
    cpu_seconds: int = 3_600
    """Processor time for one recording."""
    threads: int = 1
    """Of one recording, for whisper."""


class LocalSpeech:
    """Deterministic: equal bytes give equal transcripts, on one kind of processor."""

    def __init__(self, runner: SpeechRunner, *, whisper_model_dir: str | None, limits: SpeechLimits) -> None:
        self.name = NAME
        self._runner = runner
        self._model_dir = whisper_model_dir
        self._limits = limits
        self._missing = _missing(whisper_model_dir)
        self.offers = tuple(
            Offer(capability=capability, models=(self._model(),), local=True)
            for capability in (Capability.TRANSCRIPTION, Capability.TRANSCRIPTION_DIARIZATION)
        )

    async def answer(self, call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        """A Transcript as JSON. Raises ProviderNotConfigured where nothing can hear, InvalidRequest, AudioUnreadable."""
        audio = call.input
        if not isinstance(audio, AudioInput):
            raise InvalidRequest(f"{NAME} works on audio alone")
        if self._missing is not None:
            raise ProviderNotConfigured(f"{self._missing}: {WHAT_TO_CONFIGURE}")
        language = audio.language.lower().split("-")[0] if audio.language else None
        if self._model_dir is None and language not in (None, pocketsphinx_recogniser.LANGUAGE):
            raise ProviderNotConfigured(f"pocketsphinx hears English only, not {audio.language}: {WHAT_TO_CONFIGURE}")
        task = SpeechTask(
            size_bytes=len(audio.data),
            media_type=audio.media_type,
            transcribe=True,
            diarize=audio.diarize,
            language=language,
            whisper_model_dir=self._model_dir,
            threads=self._limits.threads,
            cpu_seconds=self._limits.cpu_seconds,
            memory_bytes=_WHISPER_MEMORY_BYTES if self._model_dir else _MEMORY_BYTES,
        )

        async def told(said: Heard) -> None:
            trace.characters += len(said.text)
            await heard(said.text)
            await heard.comes_on(said.share, f"has listened to {said.share:.0%} of the recording")

        transcript = await self._runner.transcribe(task, audio.data, told)
        trace.audio_ms = transcript.duration_ms
        made_by = f"{NAME}/{call.model}"
        return Answer(text=msgspec.json.encode(msgspec.structs.replace(transcript, made_by=made_by)).decode(), finished=True)

    async def close(self) -> None:
        """Nothing is open: a recording's process ends with its call."""

    def _model(self) -> str:
        if self._model_dir is not None:
            name = Path(self._model_dir).name
            return name if "whisper" in name else f"whisper-{name}"
        return NOT_INSTALLED if self._missing else pocketsphinx_recogniser.MODEL


def _missing(model_dir: str | None) -> str | None:
    """What keeps this machine from hearing; None when nothing does."""
    if importlib.util.find_spec("av") is None:
        return "audio cannot be decoded here, because the package `av` is not installed"
    if model_dir is not None:
        if importlib.util.find_spec("faster_whisper") is None:
            return "WHISPER_MODEL_DIR is set, but the package `faster-whisper` is not installed"
        return None if (Path(model_dir) / "model.bin").is_file() else f"there is no model.bin in {Path(model_dir).name}"
    return None if importlib.util.find_spec("pocketsphinx") else "nothing here recognises speech"
