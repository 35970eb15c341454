"""The document as a tree of sections: what its headings say, or nothing but a root when it has none."""

import re
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from aif_ai.extractive.sentences import Sentence, sentences_of
from aif_ai.extractive.words import plain
from aif_contracts.documents import Block, BlockKind, SourceDocument

_NUMBERING = re.compile(
    r"^(?:(?:chapter|part|section)\s+[\divxlc]+[.:)]?\s+|\d{1,2}(?:\.\d{1,2})*[.)]?\s+(?=\S))", re.IGNORECASE
)
_APPARATUS = frozenset(
    {"contents", "table of contents", "index", "references", "bibliography", "acknowledgements", "acknowledgments", "copyright"}
)
_LONGEST_TITLE = 160


class Section(Struct, kw_only=True):
    """A heading with what stands under it. Grows while the tree is built, and is only read afterwards."""

    title: str
    level: int
    own: list[Sentence]
    """Sentences between this heading and the next one of any level."""
    children: list["Section"]

    def sentences(self) -> Iterator[Sentence]:
        """All sentences, those of the children included, in reading order."""
        yield from self.own
        for child in self.children:
            yield from child.sentences()


def outline_of(document: SourceDocument, checkpoint: Callable[[], None]) -> Section:
    """The tree. Sections in which no sentence says more than their title, and apparatus such as an index, are left out.

    `checkpoint` is called for each block and may raise to stop the work.
    """
    root = Section(title=_title(document.title) or "Untitled", level=0, own=[], children=[])
    path = [root]
    for number, block in enumerate(_blocks(document)):
        checkpoint()
        if block.kind is BlockKind.HEADING:
            title = _title(document.text[block.start : block.end])
            level = block.level or 1
            while path[-1].level >= level:
                path.pop()
            section = Section(title=title or root.title, level=level, own=[], children=[])
            path[-1].children.append(section)
            path.append(section)
        elif block.kind is not BlockKind.CODE:
            path[-1].own.extend(sentences_of(document.text, block, number))
    _drop_empty(root)
    return root


def says_something(section: Section) -> bool:
    """Whether any sentence says more than the title does."""
    return any(plain(sentence.text) != plain(section.title) for sentence in section.sentences())


def _blocks(document: SourceDocument) -> Sequence[Block]:
    if document.blocks:
        return document.blocks
    paragraphs = re.finditer(r"\S(?:.|\n(?!\s*\n))*", document.text)
    return [Block(kind=BlockKind.PARAGRAPH, start=found.start(), end=found.end()) for found in paragraphs]


def _title(text: str) -> str:
    title = " ".join(text.split())
    title = _NUMBERING.sub("", title, count=1).rstrip(":#") or title
    if len(title) <= _LONGEST_TITLE:
        return title
    return title[:_LONGEST_TITLE].rsplit(" ", 1)[0] + "…"


def _drop_empty(section: Section) -> None:
    for child in section.children:
        _drop_empty(child)
    section.children = [child for child in section.children if child.title.lower() not in _APPARATUS and says_something(child)]
