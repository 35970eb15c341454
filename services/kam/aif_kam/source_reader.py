"""Reads files in child processes with limits."""

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import IO

import msgspec
from msgspec import Struct

from aif_contracts.orders import FieldMistake
from aif_kam.failures import InvalidInput, invalid
from aif_kam.sources.reading import FileToRead
from aif_kam.sources.reading_process import ReadAnswer, ReadingTask, ReadOk, ReadRefused

WALL_SECONDS = 45.0
CPU_SECONDS = 30
MEMORY_BYTES = 1536 * 1024 * 1024
_SOURCE = "source"
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
    ) -> None:
        self._wall_seconds = wall_seconds
        self._cpu_seconds = cpu_seconds
        self._memory_bytes = memory_bytes

    async def read(self, content: IO[bytes], size_bytes: int, file: FileToRead) -> ReadFile:
        """The document in an open file, read by the child from where the file stands: its bytes are never in this process.

        Raises InvalidInput naming `source` for a file that cannot be read.
        """
        task = self._task(file, (size_bytes,), descriptor=content.fileno())
        return _read_files(await self._run_child(task, b"", _SOURCE), [_SOURCE])[0]

    async def read_texts(self, texts: Sequence[str], fields: Sequence[str], *, together: str) -> list[ReadFile]:
        """The documents in texts out of orders, read by one process under the limits of one file.

        Raises InvalidInput naming all of `fields` whose texts cannot be read, or `together` when the limits do not suffice for
        all of them.
        """
        if not texts:
            return []
        contents = [text.encode("utf-8", "replace") for text in texts]
        task = self._task(FileToRead(pasted=True), tuple(len(content) for content in contents))
        return _read_files(await self._run_child(task, b"".join(contents), together), fields)

    def _task(self, file: FileToRead, sizes: tuple[int, ...], *, descriptor: int | None = None) -> ReadingTask:
        return ReadingTask(
            file=file,
            sizes=sizes,
            descriptor=descriptor,
            cpu_seconds=self._cpu_seconds,
            memory_bytes=self._memory_bytes,
        )

    async def _run_child(self, task: ReadingTask, contents: bytes, field: str) -> bytes:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "aif_kam.sources.reading_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # No secret of ours is in the reach of a parser.
            env={name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ},
            start_new_session=True,
            pass_fds=() if task.descriptor is None else (task.descriptor,),
        )
        try:
            async with asyncio.timeout(self._wall_seconds):
                output, _ = await child.communicate(msgspec.json.encode(task) + b"\n" + contents)
        except TimeoutError as error:
            raise _too_costly(field, f"took more than {self._wall_seconds:g} s") from error
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode != 0:
            raise _too_costly(field, "took more processor time or memory than a document may")
        return output


def _read_files(output: bytes, fields: Sequence[str]) -> list[ReadFile]:
    files: list[ReadFile] = []
    refused: list[tuple[str, ReadRefused]] = []
    at = 0
    for field in fields:
        end = output.index(b"\n", at)
        answer, at = _ANSWER.decode(output[at:end]), end + 1
        if isinstance(answer, ReadRefused):
            refused.append((field, answer))
            continue
        files.append(ReadFile(summary=answer, document=output[at : at + answer.size_bytes]))
        at += answer.size_bytes
    if refused:
        first = refused[0][1]
        mistakes = [FieldMistake(field=field, message=each.message, mend=each.mend) for field, each in refused]
        raise InvalidInput(first.message, code=first.code, mistakes=mistakes)
    return files


def _too_costly(field: str, finding: str) -> InvalidInput:
    return invalid(field, f"reading the document {finding}", "send a smaller or simpler document", code="source_too_costly")
