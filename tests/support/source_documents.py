"""Source documents for tests, from a small Markdown: `#` headings, `-` and `1.` items, paragraphs between empty lines."""

import re
from pathlib import Path

from aif_contracts.documents import Block, BlockKind, SourceDocument

SAMPLES = Path(__file__).parents[2] / "samples"
_HEADING = re.compile(r"(#{1,6}) (.+)")
_ITEM = re.compile(r"(?:-|\d+\.) (.+)")


def from_markdown(markdown: str, *, title: str = "Untitled") -> SourceDocument:
    text = ""
    blocks: list[Block] = []

    def add(kind: BlockKind, piece: str, level: int = 0) -> None:
        nonlocal text
        blocks.append(Block(kind=kind, start=len(text), end=len(text) + len(piece), level=level))
        text += piece + "\n\n"

    paragraph: list[str] = []
    for line in [*markdown.splitlines(), ""]:
        heading, item = _HEADING.fullmatch(line), _ITEM.fullmatch(line)
        if paragraph and (not line.strip() or heading or item):
            add(BlockKind.PARAGRAPH, " ".join(paragraph))
            paragraph = []
        if heading:
            add(BlockKind.HEADING, heading[2], len(heading[1]))
        elif item:
            add(BlockKind.LIST_ITEM, item[1], 1)
        elif line.strip():
            paragraph.append(line.strip())
    first = next((text[b.start : b.end] for b in blocks if b.kind is BlockKind.HEADING), title)
    return SourceDocument(title=first, text=text, blocks=tuple(blocks), media_type="text/markdown")


def beekeeping() -> SourceDocument:
    return from_markdown((SAMPLES / "beekeeping.md").read_text())
