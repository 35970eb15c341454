"""Recognises a hundred languages with faster-whisper and a model that the operator has put on this machine."""

import importlib
from array import array
from collections.abc import Iterator
from math import exp
from typing import Any

from msgspec import Struct

from aif_ai.local.speech.audio import heard
from aif_ai.local.speech.turns import Piece

_FULL_SCALE = 32_768.0


class WhisperPieces(Struct, kw_only=True):
    """`language` is known once the first piece has been asked for."""

    language: str | None = None

    def recognise(
        self, content: bytes, media_type: str, *, channels: int, model_dir: str, threads: int, language: str | None
    ) -> Iterator[Piece]:
        """Pieces as they end, one channel after the other."""
        numpy: Any = importlib.import_module("numpy")
        whisper: Any = importlib.import_module("faster_whisper")
        model = whisper.WhisperModel(model_dir, device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True)
        tracks = [array("h") for _ in range(channels)]
        for blocks in heard(content, media_type, channels=channels):
            for track, samples in zip(tracks, blocks, strict=True):
                track.extend(samples)
        for number, track in enumerate(tracks):
            sound = numpy.frombuffer(track, dtype=numpy.int16).astype(numpy.float32) / _FULL_SCALE
            # Without the filter silence is heard as words, and what follows it as begun with it.
            segments, info = model.transcribe(
                sound, language=self.language or language, temperature=0.0, vad_filter=True, word_timestamps=True
            )
            self.language = self.language or info.language
            for segment in segments:
                yield Piece(
                    text=segment.text,
                    start_ms=round(segment.start * 1_000),
                    end_ms=round(segment.end * 1_000),
                    voice=f"channel {number}",
                    confidence=exp(min(0.0, segment.avg_logprob)),
                )
