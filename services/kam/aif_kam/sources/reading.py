"""Which kind of file this is, and the reading of it."""

import enum
from collections.abc import Callable

from msgspec import Struct

from aif_contracts.documents import SourceDocument
from aif_kam.sources.unreadable import MAX_CHARACTERS, Unreadable, too_long


class FileKind(enum.StrEnum):
    MARKDOWN = "markdown"
    PLAIN = "plain"
    HTML = "html"
    PDF = "pdf"
    DOCX = "docx"
    PASTED = "pasted"
    """Text out of an order's parameters, Markdown or plain."""


class FileToRead(Struct, frozen=True, kw_only=True):
    file_name: str | None = None
    media_type: str | None = None
    """As the sender says; the extension of the file's name counts more."""
    pasted: bool = False


OFFERED = ".md, .txt, .html, .pdf or .docx, or a recording as .wav, .mp3, .ogg, .flac or .m4a"
_BY_EXTENSION = {
    "md": FileKind.MARKDOWN,
    "markdown": FileKind.MARKDOWN,
    "txt": FileKind.PLAIN,
    "text": FileKind.PLAIN,
    "html": FileKind.HTML,
    "htm": FileKind.HTML,
    "xhtml": FileKind.HTML,
    "pdf": FileKind.PDF,
    "docx": FileKind.DOCX,
}
_BY_MEDIA_TYPE = {
    "text/markdown": FileKind.MARKDOWN,
    "text/x-markdown": FileKind.MARKDOWN,
    "text/plain": FileKind.PLAIN,
    "text/html": FileKind.HTML,
    "application/xhtml+xml": FileKind.HTML,
    "application/pdf": FileKind.PDF,
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": FileKind.DOCX,
}
_BINARY_SAMPLE_BYTES = 8192
_WITHOUT_SPACE = dict.fromkeys(map(ord, " \t\r\n"))


def read_source(content: bytes, file: FileToRead) -> SourceDocument:
    """The document in a file. Raises Unreadable with what the sender can do."""
    if not content.strip():
        what = "document" if file.pasted else "file"
        raise Unreadable("source_empty", f"the {what} is empty", f"send a {what} with text in it")
    kind = FileKind.PASTED if file.pasted else _checked_kind(content, file)
    return _reader(kind)(content, file.file_name)


def _checked_kind(content: bytes, file: FileToRead) -> FileKind:
    named, found = _named_kind(file), _found_kind(content)
    if named is None and found is None:
        raise Unreadable("source_kind", "the kind of the file cannot be told", f"name the file with its extension: {OFFERED}")
    if named is None or found is named:
        assert found is not None
        return found
    if found is not None:
        raise Unreadable(
            "source_kind", f"the file is called {named} but its bytes are {found}", f"name it by what it is: {OFFERED}"
        )
    if named in (FileKind.PDF, FileKind.DOCX):
        raise Unreadable(
            f"source_broken_{named}",
            f"the file is called {named} but does not begin like one",
            "save it again as what it is called",
        )
    if _is_binary(content):
        raise Unreadable("source_binary", "the file holds NUL bytes, so it is no text", f"send a document: {OFFERED}")
    return named


def _named_kind(file: FileToRead) -> FileKind | None:
    if file.file_name and "." in file.file_name:
        extension = file.file_name.rsplit(".", 1)[1].lower()
        if extension not in _BY_EXTENSION:
            raise Unreadable("source_kind", f"files called .{extension[:20]} cannot be read", f"send {OFFERED}")
        return _BY_EXTENSION[extension]
    return _BY_MEDIA_TYPE.get((file.media_type or "").partition(";")[0].strip().lower())


def _found_kind(content: bytes) -> FileKind | None:
    """Kind by the first bytes, for the kinds that have such a mark."""
    if b"%PDF-" in content[:1024]:
        return FileKind.PDF
    if content.startswith(b"PK\x03\x04"):
        return FileKind.DOCX
    return None


def _is_binary(content: bytes) -> bool:
    return b"\x00" in content[:_BINARY_SAMPLE_BYTES] and not content.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff"))


def _reader(kind: FileKind) -> Callable[[bytes, str | None], SourceDocument]:
    """The parsers are imported here, one kind at a time: a reading process lives for one file."""
    match kind:
        case FileKind.MARKDOWN:
            from aif_kam.sources.encoded_text import decode_text
            from aif_kam.sources.markdown import read_markdown

            return lambda content, name: read_markdown(_bounded(decode_text(content)), name)
        case FileKind.PLAIN:
            from aif_kam.sources.encoded_text import decode_text
            from aif_kam.sources.plain_text import read_plain_text

            return lambda content, name: read_plain_text(_bounded(decode_text(content)), name)
        case FileKind.PASTED:
            from aif_kam.sources.plain_text import read_pasted_text

            return read_pasted_text
        case FileKind.HTML:
            from aif_kam.sources.encoded_text import decode_html
            from aif_kam.sources.html import read_html

            return lambda content, name: read_html(decode_html(content), name)
        case FileKind.PDF:
            from aif_kam.sources.pdf import read_pdf

            return read_pdf
        case FileKind.DOCX:
            from aif_kam.sources.docx import read_docx

            return read_docx


def _bounded(text: str) -> str:
    """Raises Unreadable for what can be no document even if half of it are marks: parsing it would take most of a minute."""
    characters = len(text.translate(_WITHOUT_SPACE))
    if characters > 2 * MAX_CHARACTERS:
        raise too_long()
    return text
