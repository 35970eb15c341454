"""The child process that reads one file: limits on itself first, then bytes from stdin, the answer to stdout.

In: one line of JSON (`FileToRead`), then the file. Out: one line of JSON (`ReadAnswer`), then the document as JSON, ready to
be stored as it is.

A document is hostile until read: a few kilobytes can unpack to gigabytes or keep a parser busy for hours. Whatever happens
in here ends with this process.
"""

import resource
import sys

import msgspec
from msgspec import Struct

from aif_contracts.documents import BlockKind, SourceDocument
from aif_kam.sources.reading import FileToRead, read_source
from aif_kam.sources.unreadable import Unreadable

CPU_SECONDS = 30
MEMORY_BYTES = 1536 * 1024 * 1024


class ReadOk(Struct, frozen=True, kw_only=True, tag="read"):
    title: str
    media_type: str
    words: int
    headings: int
    characters: int


class ReadRefused(Struct, frozen=True, kw_only=True, tag="refused"):
    code: str
    message: str
    mend: str


ReadAnswer = ReadOk | ReadRefused


def main() -> None:
    _limit_this_process()
    header = sys.stdin.buffer.readline()
    content = sys.stdin.buffer.read()
    answer, document = _read(content, msgspec.json.decode(header, type=FileToRead))
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n" + document)


def _read(content: bytes, file: FileToRead) -> tuple[ReadAnswer, bytes]:
    try:
        document = read_source(content, file)
        return _summary(document), msgspec.json.encode(document)
    except Unreadable as unreadable:
        return ReadRefused(code=unreadable.code, message=unreadable.message, mend=unreadable.mend), b""
    except (RecursionError, MemoryError):
        return ReadRefused(
            code="source_too_costly", message="reading takes too much memory", mend="send a simpler document"
        ), b""


def _summary(document: SourceDocument) -> ReadOk:
    return ReadOk(
        title=document.title,
        media_type=document.media_type,
        words=len(document.text.split()),
        headings=sum(block.kind is BlockKind.HEADING for block in document.blocks),
        characters=len(document.text),
    )


def _limit_this_process() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # No file can be written; pipes are no files in this sense.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


if __name__ == "__main__":
    main()
