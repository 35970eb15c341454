"""HTML to a source document: what a reader would read, without navigation, scripts and forms."""

from selectolax.lexbor import LexborHTMLParser, LexborNode

from aif_contracts.documents import BlockKind, SourceDocument
from aif_kam.sources.document_builder import DocumentBuilder
from aif_kam.sources.unreadable import Unreadable

MEDIA_TYPE = "text/html"
MAX_DEPTH = 200
UNREAD = ("script", "style", "noscript", "template", "svg", "nav", "form", "iframe", "object", "head", "button", "select")
"""Elements whose content no reader sees as text."""
_LEVELS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
_BLOCKS = frozenset(
    {
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
    }
    | {"figure", "footer", "header", "hgroup", "hr", "html", "li", "main", "menu", "ol", "p", "pre", "section", "summary"}
    | {"table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul", "h1", "h2", "h3", "h4", "h5", "h6"}
)


def read_html(text: str, file_name: str | None) -> SourceDocument:
    page = LexborHTMLParser(text)
    title = page.css_first("title")
    title_text = title.text() if title is not None else ""
    page.strip_tags(list(UNREAD))
    root = page.css_first("main") or page.css_first("article:only-of-type") or page.body
    builder = DocumentBuilder()
    if root is not None:
        _Reader(builder).read(root)
    return builder.build(title=title_text, media_type=MEDIA_TYPE, file_name=file_name)


class _Reader:
    """Walks the tree; text between block elements gathers until the next block begins."""

    def __init__(self, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._loose: list[str] = []
        self._kind = BlockKind.PARAGRAPH
        self._list_depth = 0

    def read(self, node: LexborNode, depth: int = 0) -> None:
        if depth > MAX_DEPTH:
            raise Unreadable("source_too_deep", f"elements are nested more than {MAX_DEPTH} deep", "simplify the page")
        for child in node.iter(include_text=True):
            tag = child.tag or ""
            if tag in _BLOCKS:
                self._flush()
                self._block(child, tag, depth)
                self._flush()
            elif tag == "-text":
                self._loose.append(child.text_content or "")
            elif tag == "br":
                self._loose.append(" ")
            elif _holds_block(child):
                self.read(child, depth + 1)
            elif not tag.startswith(("-", "_", "!")):
                self._loose.append(child.text(deep=True))
        if depth == 0:
            self._flush()

    def _block(self, node: LexborNode, tag: str, depth: int) -> None:
        if tag in _LEVELS:
            self._builder.add(BlockKind.HEADING, node.text(deep=True), level=_LEVELS[tag])
        elif tag == "pre":
            self._builder.add(BlockKind.CODE, node.text(deep=True))
        elif tag == "tr":
            cells = [cell.text(deep=True, separator=" ").strip() for cell in node.iter() if cell.tag in ("td", "th")]
            self._builder.add(BlockKind.TABLE_ROW, " | ".join(cells))
        elif tag in ("ul", "ol", "menu"):
            self._list_depth += 1
            self.read(node, depth + 1)
            self._list_depth -= 1
        elif tag in ("li", "dt"):
            self._kind = BlockKind.LIST_ITEM
            self.read(node, depth + 1)
            self._flush()
            self._kind = BlockKind.PARAGRAPH
        else:
            self.read(node, depth + 1)

    def _flush(self) -> None:
        text = "".join(self._loose)
        self._loose.clear()
        if not text.strip():
            return
        if self._kind is BlockKind.LIST_ITEM:
            self._builder.add(BlockKind.LIST_ITEM, text, level=max(self._list_depth, 1))
            # What follows inside the same item is a paragraph of it, not an item of its own.
            self._kind = BlockKind.PARAGRAPH
        else:
            self._builder.add(BlockKind.PARAGRAPH, text)


def _holds_block(node: LexborNode) -> bool:
    return any(child.tag in _BLOCKS for child in node.traverse())
