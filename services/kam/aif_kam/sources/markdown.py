"""Markdown (CommonMark with tables) to a source document."""

import gc
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from markdown_it import MarkdownIt
from markdown_it.token import Token
from selectolax.lexbor import LexborHTMLParser

from aif_contracts.documents import BlockKind, SourceDocument
from aif_kam.sources.document_builder import DocumentBuilder
from aif_kam.sources.html import UNREAD

MEDIA_TYPE = "text/markdown"
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.{0,20000}?)\r?\n(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)")
_TITLE_LINE = re.compile(r"^title[ \t]*:[ \t]*[\"']?(.*?)[\"']?[ \t]*$", re.MULTILINE | re.IGNORECASE)


def read_markdown(text: str, file_name: str | None) -> SourceDocument:
    title, body = _without_front_matter(text)
    builder = DocumentBuilder()
    with _uncollected():
        _Reader(builder).read(MarkdownIt("commonmark").enable("table").parse(body))
    return builder.build(title=title, media_type=MEDIA_TYPE, file_name=file_name)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles, which would look through all tokens again and again as they become more: hundreds of
    thousands of them, and all are needed to the end."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Reader:
    """Walks the flat token list and remembers in which list, heading or table row it stands."""

    def __init__(self, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._list_depth = 0
        self._item_is_new = False
        self._heading_level = 0
        self._cells: list[str] | None = None

    def read(self, tokens: Sequence[Token]) -> None:
        for token in tokens:
            match token.type:
                case "heading_open":
                    self._heading_level = int(token.tag[1])
                case "heading_close":
                    self._heading_level = 0
                case "bullet_list_open" | "ordered_list_open":
                    self._list_depth += 1
                case "bullet_list_close" | "ordered_list_close":
                    self._list_depth -= 1
                case "list_item_open":
                    self._item_is_new = True
                case "tr_open":
                    self._cells = []
                case "tr_close":
                    self._builder.add(BlockKind.TABLE_ROW, " | ".join(self._cells or ()))
                    self._cells = None
                case "fence" | "code_block":
                    self._builder.add(BlockKind.CODE, token.content)
                case "html_block":
                    page = LexborHTMLParser(token.content)
                    page.strip_tags(list(UNREAD))
                    self._builder.add(BlockKind.PARAGRAPH, page.text(separator=" "))
                case "inline":
                    self._inline(_plain(token.children or ()))
                case _:
                    pass

    def _inline(self, text: str) -> None:
        if self._cells is not None:
            self._cells.append(text)
        elif self._heading_level:
            self._builder.add(BlockKind.HEADING, text, level=self._heading_level)
        elif self._list_depth and self._item_is_new:
            self._item_is_new = False
            self._builder.add(BlockKind.LIST_ITEM, text, level=self._list_depth)
        else:
            self._builder.add(BlockKind.PARAGRAPH, text)


def _plain(tokens: Sequence[Token]) -> str:
    parts: list[str] = []
    unread = ""
    for token in tokens:
        if token.type == "html_inline" and (tag := _TAG.match(token.content)):
            closes, name = bool(tag.group(1)), tag.group(2).lower()
            if name == "br":
                parts.append(" ")
            elif not closes and not unread and name in ("script", "style"):
                unread = name
            elif closes and name == unread:
                unread = ""
        elif unread:
            continue
        elif token.type in ("text", "code_inline", "text_special"):
            parts.append(token.content)
        elif token.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif token.type == "image":
            parts.append(_plain(token.children or ()))
    return "".join(parts)


def _without_front_matter(text: str) -> tuple[str, str]:
    front = _FRONT_MATTER.match(text)
    if front is None or ":" not in front.group(1):
        return "", text
    title = _TITLE_LINE.search(front.group(1))
    return (title.group(1) if title else ""), text[front.end() :]
