"""Runs the child process of one recording at a time, or a few, and listens to it."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

import msgspec

from aif_ai.failures import AudioUnreadable
from aif_ai.local.speech.audio import Recording
from aif_ai.local.speech.speech_process import Examined, Heard, SpeechAnswer, SpeechTask, Transcribed, Unreadable
from aif_contracts.analysis import Transcript
from aif_runtime.cpu_meter import count_cpu

EXAMINING_CPU_SECONDS = 120
EXAMINING_MEMORY_BYTES = 1024 * 1024 * 1024
_LONGEST_ANSWER_BYTES = 64 * 1024 * 1024
_ANSWER: msgspec.json.Decoder[SpeechAnswer] = msgspec.json.Decoder(SpeechAnswer)


class SpeechRunner:
    def __init__(self, *, processes: int = 1) -> None:
        self._slots = asyncio.Semaphore(processes)

    async def examine(self, content: bytes, media_type: str) -> Recording:
        """Raises AudioUnreadable for bytes that are no audio, or not what the media type says."""
        task = SpeechTask(
            size_bytes=len(content),
            media_type=media_type,
            transcribe=False,
            cpu_seconds=EXAMINING_CPU_SECONDS,
            memory_bytes=EXAMINING_MEMORY_BYTES,
        )
        answer = await self._run(task, content, _nobody)
        assert isinstance(answer, Examined)
        return answer.recording

    async def transcribe(self, task: SpeechTask, content: bytes, heard: Callable[[Heard], Awaitable[None]]) -> Transcript:
        """Raises AudioUnreadable, also when the limits of the task do not suffice. A cancellation kills the process."""
        answer = await self._run(task, content, heard)
        assert isinstance(answer, Transcribed)
        return answer.transcript

    async def _run(self, task: SpeechTask, content: bytes, heard: Callable[[Heard], Awaitable[None]]) -> Examined | Transcribed:
        async with self._slots:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "aif_ai.local.speech.speech_process"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                # No secret of ours is in the reach of a decoder, and nobody downloads a model.
                env={
                    **{name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ},
                    "HF_HUB_OFFLINE": "1",
                    "OMP_NUM_THREADS": str(task.threads),
                },
                start_new_session=True,
                limit=_LONGEST_ANSWER_BYTES,
            )
            try:
                return await _conversation(child, task, content, heard)
            finally:
                if child.returncode is None:
                    child.kill()
                await child.wait()


async def _conversation(
    child: asyncio.subprocess.Process, task: SpeechTask, content: bytes, heard: Callable[[Heard], Awaitable[None]]
) -> Examined | Transcribed:
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(msgspec.json.encode(task) + b"\n")
        child.stdin.write(content)
        await child.stdin.drain()
        child.stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        # It has ended already; its answer, or that there is none, says why.
        pass
    while line := await child.stdout.readline():
        answer = _ANSWER.decode(line)
        if isinstance(answer, Heard):
            await heard(answer)
            continue
        count_cpu(answer.cpu_seconds)
        if isinstance(answer, Unreadable):
            raise AudioUnreadable(answer.message)
        return answer
    raise AudioUnreadable(
        f"the audio took more than {task.cpu_seconds} s of processor time or {task.memory_bytes // 2**20} MiB of memory, or "
        "broke its decoder: send a shorter recording, or save it again as WAV"
    )


async def _nobody(said: Heard) -> None:
    """Examining hears nothing."""
