"""The child process that decodes and recognises one recording: limits on itself first, then bytes from stdin.

In: one line of JSON (`SpeechTask`), then the recording. Out: lines of JSON (`SpeechAnswer`); the last one is no `Heard`.

A recording is hostile until it is decoded. Whatever happens in here ends with this process, which has no keys, no network
address and may not write a file.
"""

import resource
import sys
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from aif_ai.failures import AudioUnreadable
from aif_ai.local.speech import pocketsphinx_recogniser
from aif_ai.local.speech.audio import Recording, examine
from aif_ai.local.speech.turns import Piece, transcript_of
from aif_ai.local.speech.whisper_recogniser import WhisperPieces
from aif_contracts.analysis import Transcript

_ONE_CHANNEL_NOTE = "All speakers are on one channel, so they were not told apart."
_SILENCE_NOTE = "No speech was found."
_SMALL_MODEL_NOTE = "Recognised by a small model that misunderstands much; set WHISPER_MODEL_DIR for a better one."


class SpeechTask(Struct, frozen=True, kw_only=True):
    size_bytes: int
    media_type: str
    transcribe: bool
    """False to examine only."""
    cpu_seconds: int
    memory_bytes: int
    diarize: bool = False
    language: str | None = None
    whisper_model_dir: str | None = None
    """None for pocketsphinx."""
    threads: int = 1


class Heard(Struct, frozen=True, kw_only=True, tag="heard"):
    text: str
    share: float
    """Of the recording on all channels, 0 to 1, that has been listened to."""


class Examined(Struct, frozen=True, kw_only=True, tag="examined"):
    recording: Recording
    cpu_seconds: float


class Transcribed(Struct, frozen=True, kw_only=True, tag="transcribed"):
    transcript: Transcript
    cpu_seconds: float


class Unreadable(Struct, frozen=True, kw_only=True, tag="unreadable"):
    message: str
    cpu_seconds: float


SpeechAnswer = Heard | Examined | Transcribed | Unreadable


def main() -> None:
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=SpeechTask)
    _limit_this_process(task)
    content = sys.stdin.buffer.read(task.size_bytes)
    try:
        for answer in _answers(task, content):
            _say(answer)
    except AudioUnreadable as unreadable:
        _say(Unreadable(message=unreadable.message, cpu_seconds=_cpu_seconds()))


def _answers(task: SpeechTask, content: bytes) -> Iterator[SpeechAnswer]:
    recording = examine(content, task.media_type)
    if not task.transcribe:
        yield Examined(recording=recording, cpu_seconds=_cpu_seconds())
        return
    channels = recording.channels if task.diarize else 1
    whisper = WhisperPieces()
    found = (
        whisper.recognise(
            content,
            task.media_type,
            channels=channels,
            model_dir=task.whisper_model_dir,
            threads=task.threads,
            language=task.language,
        )
        if task.whisper_model_dir
        else pocketsphinx_recogniser.recognise(content, task.media_type, channels=channels)
    )
    pieces: list[Piece] = []
    listened_ms: dict[str | None, int] = {}
    for piece in found:
        pieces.append(piece)
        listened_ms[piece.voice] = piece.end_ms
        yield Heard(text=piece.text, share=min(1.0, sum(listened_ms.values()) / max(1, channels * recording.duration_ms)))
    notes = [
        _ONE_CHANNEL_NOTE if task.diarize and channels == 1 else "",
        "" if pieces else _SILENCE_NOTE,
        "" if task.whisper_model_dir else _SMALL_MODEL_NOTE,
    ]
    yield Transcribed(
        transcript=transcript_of(
            pieces,
            duration_ms=recording.duration_ms,
            language=whisper.language if task.whisper_model_dir else pocketsphinx_recogniser.LANGUAGE,
            is_diarized=task.diarize and channels > 1,
            note=" ".join(note for note in notes if note),
        ),
        cpu_seconds=_cpu_seconds(),
    )


def _say(answer: SpeechAnswer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _limit_this_process(task: SpeechTask) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (task.cpu_seconds, task.cpu_seconds))
    resource.setrlimit(resource.RLIMIT_AS, (task.memory_bytes, task.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # No file can be written; pipes are no files in this sense.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


if __name__ == "__main__":
    main()
