"""The analyst's settings."""

from typing import Annotated

from msgspec import Meta

from aif_ai.model_settings import ModelSettings


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
    whisper_model_dir: Annotated[
        str | None,
        Meta(
            description="Folder of a faster-whisper model; without it English is recognised by a very small one",
            extra={"env": "WHISPER_MODEL_DIR"},
        ),
    ] = None
