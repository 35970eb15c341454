"""The child process that reads files: limits on itself first, then bytes from stdin, the answers to stdout.

In: one line of JSON (`ReadingTask`), then the files, unless they lie in an open file that is handed over. Out, for each file:
one line of JSON (`ReadAnswer`), then the document as JSON, ready to be stored as it is.

A document is hostile until read: a few kilobytes can unpack to gigabytes or keep a parser busy for hours. Whatever happens
in here ends with this process.
"""

import resource
import sys

import msgspec
from msgspec import Struct

from aif_contracts.documents import BlockKind, SourceDocument
from aif_contracts.word_count import count_words
from aif_kam.sources.reading import FileToRead, read_source
from aif_kam.sources.unreadable import Unreadable


class ReadingTask(Struct, frozen=True, kw_only=True):
    file: FileToRead
    """What all of them are; several are texts out of orders."""
    sizes: tuple[int, ...]
    """In bytes, in their order."""
    descriptor: int | None = None
    """Of an open file to read them from; None: they follow on stdin."""
    cpu_seconds: int
    memory_bytes: int


class ReadOk(Struct, frozen=True, kw_only=True, tag="read"):
    title: str
    media_type: str
    words: int
    headings: int
    characters: int
    size_bytes: int
    """Of the document that follows."""


class ReadRefused(Struct, frozen=True, kw_only=True, tag="refused"):
    code: str
    message: str
    mend: str


ReadAnswer = ReadOk | ReadRefused


def main() -> None:
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=ReadingTask)
    _limit_this_process(task)
    # The file ends with this process.
    contents = sys.stdin.buffer if task.descriptor is None else open(task.descriptor, "rb")  # noqa: SIM115
    for size in task.sizes:
        answer, document = _read(contents.read(size), task.file)
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n" + document)


def _read(content: bytes, file: FileToRead) -> tuple[ReadAnswer, bytes]:
    try:
        document = read_source(content, file)
        encoded = msgspec.json.encode(document)
        return _summary(document, len(encoded)), encoded
    except Unreadable as unreadable:
        return ReadRefused(code=unreadable.code, message=unreadable.message, mend=unreadable.mend), b""
    except (RecursionError, MemoryError):
        return ReadRefused(
            code="source_too_costly", message="reading takes too much memory", mend="send a simpler document"
        ), b""


def _summary(document: SourceDocument, size_bytes: int) -> ReadOk:
    return ReadOk(
        title=document.title,
        media_type=document.media_type,
        words=count_words(document.text),
        headings=sum(block.kind is BlockKind.HEADING for block in document.blocks),
        characters=len(document.text),
        size_bytes=size_bytes,
    )


def _limit_this_process(task: ReadingTask) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (task.cpu_seconds, task.cpu_seconds))
    resource.setrlimit(resource.RLIMIT_AS, (task.memory_bytes, task.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # No file can be written; pipes are no files in this sense.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


if __name__ == "__main__":
    main()
