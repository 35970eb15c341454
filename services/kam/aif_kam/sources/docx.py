"""Word documents (.docx) to a source document."""

import io
import re
import zipfile
from collections.abc import Iterator

import docx
from docx.document import Document
from docx.table import Table
from docx.text.paragraph import Paragraph

from aif_contracts.documents import BlockKind, SourceDocument
from aif_kam.sources.document_builder import DocumentBuilder
from aif_kam.sources.unreadable import Unreadable

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
MAX_UNPACKED_BYTES = 200 * 1024 * 1024
MAX_PARTS = 5000
_HEADING = re.compile(r"^heading (\d)$", re.IGNORECASE)
_TRAILING_DIGIT = re.compile(r"(\d)$")
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def read_docx(content: bytes, file_name: str | None) -> SourceDocument:
    _check_archive(content)
    try:
        document = docx.Document(io.BytesIO(content))
        builder = DocumentBuilder()
        _add_blocks(builder, document)
        return builder.build(title=document.core_properties.title or "", media_type=MEDIA_TYPE, file_name=file_name)
    except (
        SyntaxError,
        KeyError,
        ValueError,
        AttributeError,
        TypeError,
        IndexError,
        zipfile.BadZipFile,
        NotImplementedError,
    ) as error:
        # The parser meets a damaged part wherever it first needs it, so these are findings about the file;
        # a part that is no XML is a SyntaxError there.
        raise _broken(str(error)[:120]) from error


def _check_archive(content: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise _broken("it is no complete archive") from error
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED_BYTES:
        raise Unreadable(
            "source_too_long",
            f"the document unpacks to more than {MAX_UNPACKED_BYTES // 2**20} MiB",
            "remove its pictures or split it",
        )
    if any(part.flag_bits & 1 for part in parts):
        raise Unreadable("source_encrypted", "the document is encrypted", "remove its password and send it again")


def _broken(finding: str) -> Unreadable:
    return Unreadable(
        "source_broken_docx",
        f"the Word document is damaged: {finding}",
        "open it in a word processor and save it as .docx again",
    )


def _add_blocks(builder: DocumentBuilder, document: Document) -> None:
    for part in document.iter_inner_content():
        if isinstance(part, Paragraph):
            kind, level = _kind(part)
            builder.add(kind, part.text, level=level)
            continue
        for row in _rows(part):
            builder.add(BlockKind.TABLE_ROW, " | ".join(row))


def _rows(table: Table) -> Iterator[list[str]]:
    for row in table.rows:
        cells: list[str] = []
        seen = None
        for cell in row.cells:
            # A merged cell is listed once for every column that it spans.
            if cell._tc is not seen:
                cells.append(" ".join(cell.text.split()))
            seen = cell._tc
        yield cells


def _kind(paragraph: Paragraph) -> tuple[BlockKind, int]:
    name = (paragraph.style.name if paragraph.style is not None else None) or ""
    if name.lower() == "title":
        return BlockKind.HEADING, 1
    if heading := _HEADING.match(name):
        return BlockKind.HEADING, min(max(int(heading.group(1)), 1), 6)
    digit = _TRAILING_DIGIT.search(name)
    if name.lower().startswith("list"):
        return BlockKind.LIST_ITEM, int(digit.group(1)) if digit else 1
    numbering = paragraph._p.find(f"{_WORD}pPr/{_WORD}numPr")
    if numbering is not None:
        depth = numbering.find(f"{_WORD}ilvl")
        return BlockKind.LIST_ITEM, int(depth.get(f"{_WORD}val", "0")) + 1 if depth is not None else 1
    return BlockKind.PARAGRAPH, 0
