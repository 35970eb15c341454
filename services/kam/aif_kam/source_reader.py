"""Reads files in child processes with limits, a few at a time."""

import asyncio
import os
import sys

import msgspec
from msgspec import Struct

from aif_kam.failures import InvalidInput, Unavailable, invalid
from aif_kam.sources.reading import FileToRead
from aif_kam.sources.reading_process import ReadAnswer, ReadingTask, ReadOk, ReadRefused

WALL_SECONDS = 45.0
CPU_SECONDS = 30
MEMORY_BYTES = 1536 * 1024 * 1024
PROCESSES = 2
WAITING = 50
"""Files that may wait for a process; more are turned away."""
_ANSWER = msgspec.json.Decoder(ReadAnswer)


class ReadFile(Struct, frozen=True, kw_only=True):
    summary: ReadOk
    document: bytes
    """The `SourceDocument` as JSON."""


class SourceReader:
    def __init__(
        self,
        *,
        wall_seconds: float = WALL_SECONDS,
        cpu_seconds: int = CPU_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        processes: int = PROCESSES,
    ) -> None:
        self._wall_seconds = wall_seconds
        self._cpu_seconds = cpu_seconds
        self._memory_bytes = memory_bytes
        self._slots = asyncio.Semaphore(processes)
        self._waiting = 0

    async def read(self, content: bytes, file: FileToRead, *, field: str = "source") -> ReadFile:
        """The document in a file. Raises InvalidInput naming `field` for a file that cannot be read, Unavailable when too
        many files wait."""
        if self._waiting >= WAITING:
            raise Unavailable(
                "too many documents wait to be read; try again", code="too_many_documents", retry_after_seconds=10
            )
        self._waiting += 1
        try:
            async with self._slots:
                output = await self._run_child(content, file, field)
        finally:
            self._waiting -= 1
        head, _, document = output.partition(b"\n")
        answer = _ANSWER.decode(head)
        if isinstance(answer, ReadRefused):
            raise invalid(field, answer.message, answer.mend, code=answer.code)
        return ReadFile(summary=answer, document=document)

    async def _run_child(self, content: bytes, file: FileToRead, field: str) -> bytes:
        task = ReadingTask(file=file, cpu_seconds=self._cpu_seconds, memory_bytes=self._memory_bytes)
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "aif_kam.sources.reading_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # No secret of ours is in the reach of a parser.
            env={name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._wall_seconds):
                output, _ = await child.communicate(msgspec.json.encode(task) + b"\n" + content)
        except TimeoutError as error:
            raise _too_costly(field, f"took more than {self._wall_seconds:g} s") from error
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode != 0:
            raise _too_costly(field, "took more processor time or memory than a document may")
        return output


def _too_costly(field: str, finding: str) -> InvalidInput:
    return invalid(field, f"reading the document {finding}", "send a smaller or simpler document", code="source_too_costly")
