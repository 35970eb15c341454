"""Plain text to a source document.

Plain text has no marks for headings, so a heading is what writers make look like one: a line underlined with `===` or `---`,
or a short line between empty lines that is numbered (`2.1 Cables`, `§ 4 Liability`, `Chapter 3: Cables`) or written in
capitals. Where a numbered heading is underlined, the underline says how deep the numbering begins.
"""

import re
from collections.abc import Iterable, Sequence

from aif_contracts.documents import BlockKind, SourceDocument
from aif_kam.sources.document_builder import DocumentBuilder
from aif_kam.sources.encoded_text import decode_text
from aif_kam.sources.joined_lines import joined
from aif_kam.sources.markdown import read_markdown

MEDIA_TYPE = "text/plain"
MAX_HEADING_CHARACTERS = 100
_UNDERLINE = re.compile(r"^\s*(={3,}|-{3,}|~{3,})\s*$")
_NUMBERED = re.compile(r"^(?:§\s?)?(\d{1,3}(?:\.\d{1,3}){0,5})[.)]?\s+\S")
_NAMED = re.compile(r"^(part|chapter|section|lesson|module|unit|appendix)\s+([0-9]{1,3}|[IVXLC]{1,7}|[A-Z])\b", re.IGNORECASE)
_ITEM = re.compile(r"^(\s*)(?:[-*+\u2022\u2013]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+(\S.*)$")
_QUOTED = re.compile(r"^(?:>[ \t]?)+")
"""The mark that mail programs set before each line of the letter that is answered."""
_LEVEL_OF_UNDERLINE = {"=": 1, "-": 2, "~": 3}
_LEVEL_OF_NAME = {"part": 1, "chapter": 1, "module": 1, "unit": 1, "appendix": 1, "lesson": 2, "section": 2}


def read_plain_text(text: str, file_name: str | None) -> SourceDocument:
    builder = DocumentBuilder()
    groups = list(_groups(_unquoted(text.splitlines())))
    depth = _depth_of_numbering(groups)
    for group in groups:
        _add_group(builder, group, depth)
    return builder.build(title="", media_type=MEDIA_TYPE, file_name=file_name)


def read_pasted_text(content: bytes, file_name: str | None) -> SourceDocument:
    """Text from an order's parameters, Markdown or plain: the reading that finds more headings is the right one."""
    text = decode_text(content)
    as_markdown, as_plain = read_markdown(text, file_name), read_plain_text(text, file_name)
    return as_plain if _headings(as_plain) > _headings(as_markdown) else as_markdown


def _headings(document: SourceDocument) -> int:
    return sum(block.kind is BlockKind.HEADING for block in document.blocks)


def _unquoted(lines: Sequence[str]) -> list[str]:
    """The lines without marks of a quotation; one line alone may be a comparison."""
    marks = [0, *(len(found.group()) if (found := _QUOTED.match(line)) else 0 for line in lines), 0]
    return [
        line[mark:] if before or after else line
        for line, before, mark, after in zip(lines, marks, marks[1:], marks[2:], strict=False)
    ]


def _groups(lines: Iterable[str]) -> Iterable[list[str]]:
    """Runs of lines without an empty one."""
    group: list[str] = []
    for line in lines:
        if line.strip():
            group.append(line)
        elif group:
            yield group
            group = []
    if group:
        yield group


def _depth_of_numbering(groups: Iterable[list[str]]) -> int:
    """How many levels stand above the numbered headings."""
    for group in groups:
        numbered = _NUMBERED.match(group[0].strip())
        if numbered and (level := _underlined_level(group)):
            return max(level - 1 - numbered.group(1).count("."), 0)
    return 0


def _underlined_level(group: list[str]) -> int:
    """1 to 3 when the group's first line is underlined, else 0."""
    if len(group) < 2 or _UNDERLINE.match(group[0]) or not (underline := _UNDERLINE.match(group[1])):
        return 0
    return _LEVEL_OF_UNDERLINE[underline.group(1)[0]]


def _add_group(builder: DocumentBuilder, group: list[str], depth: int) -> None:
    if underlined := _underlined_level(group):
        builder.add(BlockKind.HEADING, group[0], level=underlined)
        group = group[2:]
    group = [line for line in group if not _UNDERLINE.match(line)]
    if len(group) == 1 and (level := _heading_level(group[0].strip(), depth)):
        builder.add(BlockKind.HEADING, group[0], level=level)
    elif group and _ITEM.match(group[0]):
        _add_items(builder, group)
    elif group:
        _add_prose(builder, group)


def _heading_level(line: str, depth: int) -> int:
    """1 to 6 for a line that stands alone and looks like a heading, else 0."""
    if len(line) > MAX_HEADING_CHARACTERS or line.endswith((".", ",", ";", "!")):
        return 0
    if named := _NAMED.match(line):
        return _LEVEL_OF_NAME[named.group(1).lower()]
    if numbered := _NUMBERED.match(line):
        return min(numbered.group(1).count(".") + 1 + depth, 6)
    letters = [character for character in line if character.isalpha()]
    return 1 if len(letters) > 2 and all(character.isupper() for character in letters) else 0


def _add_prose(builder: DocumentBuilder, lines: list[str]) -> None:
    """A paragraph; items that follow it without an empty line are items all the same, when there are at least two."""
    first_item = next((at for at, line in enumerate(lines) if _ITEM.match(line)), len(lines))
    if sum(bool(_ITEM.match(line)) for line in lines) < 2:
        first_item = len(lines)
    builder.add(BlockKind.PARAGRAPH, joined([line.strip() for line in lines[:first_item]]))
    if first_item < len(lines):
        _add_items(builder, lines[first_item:])


def _add_items(builder: DocumentBuilder, lines: list[str]) -> None:
    margins = sorted({len(found.group(1).expandtabs(4)) for line in lines if (found := _ITEM.match(line))})
    own: list[str] = []
    level = 1
    for line in lines:
        if item := _ITEM.match(line):
            builder.add(BlockKind.LIST_ITEM, joined(own), level=level)
            own, level = [item.group(2).strip()], margins.index(len(item.group(1).expandtabs(4))) + 1
        else:
            own.append(line.strip())
    builder.add(BlockKind.LIST_ITEM, joined(own), level=level)
