"""A source document, read once by the gateway into plain text with a shape.

`text` is the whole document as plain text. Blocks name slices of it by character offset, so a span `[start, end)` quoted
anywhere in the factory can be checked against `text[start:end]`.
"""

import enum

from msgspec import Struct


class BlockKind(enum.StrEnum):
    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list_item"
    TABLE_ROW = "table_row"
    CODE = "code"


class Block(Struct, frozen=True, kw_only=True):
    kind: BlockKind
    start: int
    end: int
    level: int = 0
    """Of a heading 1 to 6, of a list item its depth from 1; 0 otherwise."""


class SourceDocument(Struct, frozen=True, kw_only=True):
    title: str
    text: str
    blocks: tuple[Block, ...]
    """In reading order, not overlapping."""
    media_type: str
    """Of the original file."""
    file_name: str | None = None


class Span(Struct, frozen=True, kw_only=True):
    """Characters `[start, end)` of the source document's text."""

    start: int
    end: int
