"""The analyst's settings."""

from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from aif_ai.assembly import ModelAccess
from aif_ai.model_settings import ModelSettings, check_base_url, check_key
from aif_runtime.settings import Secret


class AnalystSettings(ModelSettings, frozen=True, kw_only=True):
    analyst_slots: Annotated[int, Meta(ge=1, le=64, description="Texts and recordings that one process works on at once")] = 4
    analyst_speech_processes: Annotated[
        int, Meta(ge=1, le=64, description="Recordings that are decoded or recognised on this machine at once")
    ] = 1
    analyst_speech_threads: Annotated[
        int, Meta(ge=1, le=64, description="Threads of a local whisper model for one recording")
    ] = 1
    analyst_speech_cpu_seconds: Annotated[
        int, Meta(ge=10, le=86_400, description="Processor time that recognising one recording may take")
    ] = 3_600
    deepgram_api_key: Annotated[
        Secret | None, Meta(description="Key for Deepgram's transcription", extra={"env": "DEEPGRAM_API_KEY"})
    ] = None
    deepgram_base_url: Annotated[str | None, Meta(description="Another address for Deepgram's API, for a proxy")] = None
    deepgram_models: Annotated[tuple[str, ...], Meta(description="Models to use at Deepgram, the preferred one first")] = (
        "nova-3",
    )
    whisper_model_dir: Annotated[
        str | None,
        Meta(
            description="Folder of a faster-whisper model; without it English is recognised by a very small one",
            extra={"env": "WHISPER_MODEL_DIR"},
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_key("DEEPGRAM_API_KEY", self.deepgram_api_key)
        check_base_url("AIF_DEEPGRAM_BASE_URL", self.deepgram_base_url)

    def model_access(self) -> ModelAccess:
        """Speech services besides the language models."""
        return replace(
            super().model_access(),
            deepgram_api_key=self.deepgram_api_key.reveal() if self.deepgram_api_key else None,
            deepgram_base_url=self.deepgram_base_url,
            deepgram_models=self.deepgram_models,
        )
