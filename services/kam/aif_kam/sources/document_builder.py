"""Puts a document together block by block, so that every block knows its exact place in the text."""

import re
import unicodedata

from aif_contracts.documents import Block, BlockKind, SourceDocument
from aif_kam.sources.unreadable import MAX_CHARACTERS, Unreadable, too_long

MAX_TITLE_CHARACTERS = 300
_GAP = "\n\n"
_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\xad\u2060\ufeff\ud800-\udfff]")
"""Soft hyphens and word joiners only help to set lines, and part words that a reader sees whole."""


class DocumentBuilder:
    """Collects blocks in reading order. Between two blocks the text has one empty line that belongs to neither."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._length = 0
        self._first_heading = ""

    def add(self, kind: BlockKind, text: str, *, level: int = 0) -> None:
        """Append a block. White space is made single, except in code; accents are composed with their letters (NFC); a block
        without text is dropped.

        Raises Unreadable when the document grows beyond `MAX_CHARACTERS`.
        """
        cleaned = _code(text) if kind is BlockKind.CODE else _prose(text)
        if not cleaned:
            return
        if self._parts:
            self._append(_GAP)
        start = self._length
        self._append(cleaned)
        self._blocks.append(Block(kind=kind, start=start, end=self._length, level=level))
        if kind is BlockKind.HEADING and not self._first_heading:
            self._first_heading = cleaned

    def build(self, *, title: str, media_type: str, file_name: str | None) -> SourceDocument:
        """The document; its title is the given one, else its first heading, else its file's name.

        Raises Unreadable when nothing was added.
        """
        if not self._blocks:
            raise Unreadable(
                "source_without_text",
                "the document holds no text",
                "send a document with text in it, not only pictures or space",
            )
        chosen = _prose(title) or self._first_heading or (file_name or "").rsplit(".", 1)[0] or "Untitled document"
        return SourceDocument(
            title=chosen[:MAX_TITLE_CHARACTERS],
            text="".join(self._parts),
            blocks=tuple(self._blocks),
            media_type=media_type,
            file_name=file_name,
        )

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)
        if self._length > MAX_CHARACTERS:
            raise too_long()


def _prose(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(_UNWANTED.sub("", text).split()))


def _code(text: str) -> str:
    lines = (line.rstrip() for line in _UNWANTED.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).split("\n"))
    return "\n".join(lines).strip("\n")
