"""Recognises English with pocketsphinx, whose small model comes with it. It proves the way more than it understands."""

from array import array
from collections.abc import Iterator
from typing import Any

from aif_ai.local.speech.audio import SAMPLES_PER_SECOND, heard
from aif_ai.local.speech.turns import Piece

MODEL = "pocketsphinx-5"
LANGUAGE = "en"
_LONGEST_SECONDS = 20.0
"""Speech without a pause is cut there: the search grows with the length of an utterance."""


def recognise(content: bytes, media_type: str, *, channels: int) -> Iterator[Piece]:
    """Pieces as they end, each channel's in its order. Equal bytes give equal pieces."""
    ears = [_Ear(f"channel {number}") for number in range(channels)]
    for blocks in heard(content, media_type, channels=channels):
        for ear, samples in zip(ears, blocks, strict=True):
            yield from ear.hear(samples)
    for ear in ears:
        yield from ear.end()


class _Ear:
    """One channel: finds where speech begins and ends, and decodes it as it comes."""

    def __init__(self, voice: str) -> None:
        import pocketsphinx  # type: ignore[import-untyped]

        self._voice = voice
        self._decoder: Any = pocketsphinx.Decoder(samprate=SAMPLES_PER_SECOND, loglevel="FATAL")
        self._endpointer: Any = pocketsphinx.Endpointer(sample_rate=SAMPLES_PER_SECOND)
        self._frame_bytes: int = self._endpointer.frame_bytes
        self._waiting = b""
        self._began: float | None = None
        """Second at which the utterance under way began."""
        self._speech_bytes = 0

    def hear(self, samples: "array[int]") -> Iterator[Piece]:
        self._waiting += samples.tobytes()
        at = 0
        # The last frame is kept back: the end has to be told with one.
        while len(self._waiting) - at > self._frame_bytes:
            frame = self._waiting[at : at + self._frame_bytes]
            at += self._frame_bytes
            yield from self._listened(self._endpointer.process(frame))
        self._waiting = self._waiting[at:]

    def end(self) -> Iterator[Piece]:
        if self._waiting:
            yield from self._listened(self._endpointer.end_stream(self._waiting))
        if self._began is not None:
            yield from self._ended()

    def _listened(self, speech: bytes | None) -> Iterator[Piece]:
        if speech is None:
            return
        if self._began is None:
            self._began, self._speech_bytes = float(self._endpointer.speech_start), 0
            self._decoder.start_utt()
        self._decoder.process_raw(speech, no_search=False, full_utt=False)
        self._speech_bytes += len(speech)
        if not self._endpointer.in_speech:
            yield from self._ended()
        elif self._seconds() >= _LONGEST_SECONDS:
            until = self._began + self._seconds()
            yield from self._ended()
            self._began, self._speech_bytes = until, 0
            self._decoder.start_utt()

    def _seconds(self) -> float:
        return self._speech_bytes / (2 * SAMPLES_PER_SECOND)

    def _ended(self) -> Iterator[Piece]:
        assert self._began is not None
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        start_ms = round(self._began * 1_000)
        end_ms = start_ms + round(self._seconds() * 1_000)
        self._began = None
        if hypothesis is None or not hypothesis.hypstr.strip():
            return
        # Segments in angle and square brackets are silence and noise.
        sure = [float(each.prob) for each in self._decoder.seg() if each.word[0] not in "<["]
        yield Piece(
            text=hypothesis.hypstr,
            start_ms=start_ms,
            end_ms=end_ms,
            voice=self._voice,
            confidence=sum(sure) / len(sure) if sure else None,
        )
