"""PDF to a source document.

A PDF knows glyphs at places and neither paragraphs nor headings. They are found again by measure: the size in which most of
the text is set is the body, a short line set clearly larger is a heading, larger sizes are higher levels, and a paragraph
ends where the distance to the next line grows.
"""

import io
import itertools
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pypdf
from msgspec import Struct
from pypdf.errors import DependencyError, PyPdfError

from aif_contracts.documents import BlockKind, SourceDocument
from aif_kam.sources.document_builder import DocumentBuilder
from aif_kam.sources.joined_lines import joined
from aif_kam.sources.unreadable import Unreadable

MEDIA_TYPE = "application/pdf"
MAX_PAGES = 3000
MAX_HEADING_CHARACTERS = 160
HEADING_GROWTH = 1.12
"""A heading is set at least this much larger than the body."""
PARAGRAPH_GAP = 1.3
"""A paragraph ends where the distance between lines is this much above the usual."""
_BULLETS = "\u2022\u25cf\u25aa\u25e6\u2023\u00b7\x7f"
_BULLET = re.compile(rf"^(?:[{_BULLETS}]|[-*\u2013](?=\s))\s*")
_PAGE_NUMBER = re.compile(r"^(?:page\s+)?\d{1,4}(?:\s*(?:/|of)\s*\d{1,4})?$", re.IGNORECASE)
_SENTENCE_END = (".", "!", "?", ":", '."', ".)")
_EMPTY_TITLES = frozenset({"", "untitled", "(anonymous)", "(unspecified)"})


class _Line(Struct, frozen=True, kw_only=True):
    page: int
    text: str
    size: float
    """Height of the letters in points."""
    top: float
    bold: bool


def read_pdf(content: bytes, file_name: str | None) -> SourceDocument:
    try:
        reader = pypdf.PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise _encrypted()
        if len(reader.pages) > MAX_PAGES:
            raise Unreadable("source_too_long", f"the PDF has more than {MAX_PAGES} pages", "split the document")
        lines = [line for number, page in enumerate(reader.pages) for line in _lines_of_page(number, page)]
        title = str((reader.metadata.title if reader.metadata else None) or "")
    except DependencyError as error:
        raise _encrypted() from error
    except (
        PyPdfError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        AssertionError,
        OSError,
        ArithmeticError,
    ) as error:
        # The parser meets a damaged file wherever the damage is, so these are findings about the file.
        raise Unreadable(
            "source_broken_pdf",
            f"the PDF is damaged: {str(error)[:120]}",
            "open it in a PDF viewer and save or print it to a new PDF",
        ) from error
    if not any(line.text.strip(_BULLETS) for line in lines):
        raise Unreadable(
            "source_without_text",
            "the PDF holds no text, probably scanned pictures of pages",
            "run text recognition (OCR) on it, or send the text as .md, .txt or .docx",
        )
    builder = DocumentBuilder()
    _add_blocks(builder, _without_page_furniture(lines))
    kept_title = "" if title.strip().lower() in _EMPTY_TITLES else title
    return builder.build(title=kept_title, media_type=MEDIA_TYPE, file_name=file_name)


def _encrypted() -> Unreadable:
    return Unreadable("source_encrypted", "the PDF is encrypted", "remove its password and send it again")


def _lines_of_page(number: int, page: Any) -> Sequence[_Line]:
    lines: list[_Line] = []
    pending: list[str] = []

    def see(text: str, cm: Sequence[float], tm: Sequence[float], font: dict[str, Any] | None, font_size: float) -> None:
        pending.append(text)
        if not text.endswith("\n"):
            return
        joined = " ".join("".join(pending).split())
        pending.clear()
        if joined:
            scale = abs(tm[3] * cm[3]) or 1.0
            top = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
            bold = "bold" in str((font or {}).get("/BaseFont", "")).lower()
            lines.append(_Line(page=number, text=joined, size=round(font_size * scale, 1), top=top, bold=bold))

    page.extract_text(visitor_text=see)
    see("\n", (1, 0, 0, 1, 0, 0), (1, 0, 0, 1, 0, 0), None, lines[-1].size if lines else 0.0)
    return lines


def _without_page_furniture(lines: Sequence[_Line]) -> list[_Line]:
    """Without page numbers and without lines that most pages repeat, such as running heads."""
    pages = max((line.page for line in lines), default=0) + 1
    seen_on = Counter(text for text, _ in {(line.text, line.page) for line in lines})
    return [
        line
        for line in lines
        if not _PAGE_NUMBER.match(line.text) and not (pages >= 3 and seen_on[line.text] > pages / 2 and len(line.text) > 2)
    ]


def _add_blocks(builder: DocumentBuilder, lines: Sequence[_Line]) -> None:
    if not lines:
        return
    body = _body_size(lines)
    levels = _heading_levels(lines, body)
    usual_gap = _usual_gap(lines, body)
    block: list[_Line] = []
    for line in lines:
        if block and not _continues(block, line, levels, usual_gap):
            _add_block(builder, block, levels)
            block = []
        block.append(line)
    _add_block(builder, block, levels)


def _body_size(lines: Iterable[_Line]) -> float:
    characters: Counter[float] = Counter()
    for line in lines:
        characters[line.size] += len(line.text)
    return characters.most_common(1)[0][0]


def _heading_levels(lines: Iterable[_Line], body: float) -> dict[tuple[float, bool], int]:
    """Level by letter size and weight: the largest is 1. Bold lines in body size are headings only below larger ones."""
    larger = sorted({line.size for line in lines if line.size >= body * HEADING_GROWTH and _is_short(line)}, reverse=True)
    levels = {(size, bold): min(rank, 6) for rank, size in enumerate(larger, start=1) for bold in (False, True)}
    if sum(line.bold for line in lines if line.size == body) < sum(not line.bold for line in lines if line.size == body) / 3:
        levels[body, True] = min(len(larger) + 1, 6)
    return levels


def _is_short(line: _Line) -> bool:
    return len(line.text) <= MAX_HEADING_CHARACTERS and any(character.isalpha() for character in line.text)


def _usual_gap(lines: Sequence[_Line], body: float) -> float:
    """Distance between neighbouring lines of body text, in points."""
    pairs = itertools.pairwise(lines)
    gaps = [a.top - b.top for a, b in pairs if a.page == b.page and a.size == b.size == body and 0 < a.top - b.top < body * 3]
    # The lower half holds the distances inside paragraphs.
    return statistics.median(sorted(gaps)[: max(len(gaps) // 2, 1)]) if gaps else body * 1.2


def _continues(block: Sequence[_Line], line: _Line, levels: dict[tuple[float, bool], int], usual_gap: float) -> bool:
    last = block[-1]
    if last.text in _BULLETS:
        return True
    if (last.size, last.bold) in levels or (line.size, line.bold) in levels:
        gap = last.top - line.top
        return (last.size, last.bold) == (line.size, line.bold) and last.page == line.page and 0 <= gap <= line.size * 1.5
    if _BULLET.match(line.text):
        return False
    if last.page != line.page or line.top > last.top + 1:
        return not last.text.endswith(_SENTENCE_END)
    return last.top - line.top <= usual_gap * PARAGRAPH_GAP


def _add_block(builder: DocumentBuilder, block: Sequence[_Line], levels: dict[tuple[float, bool], int]) -> None:
    text = joined([line.text for line in block])
    level = levels.get((block[0].size, block[0].bold), 0)
    if level and len(text) <= MAX_HEADING_CHARACTERS:
        builder.add(BlockKind.HEADING, text, level=level)
    elif bullet := _BULLET.match(text):
        builder.add(BlockKind.LIST_ITEM, text[bullet.end() :], level=1)
    else:
        builder.add(BlockKind.PARAGRAPH, text)
