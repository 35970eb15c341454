"""Bytes of a text file to text: UTF-8, UTF-16 with its mark, or what an HTML page declares. Nothing is guessed."""

import codecs
import re

from aif_kam.sources.unreadable import Unreadable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_HTML_ENCODINGS = frozenset(
    {"utf-8", "ascii", "iso8859-1", "iso8859-2", "iso8859-9", "iso8859-15", "cp1250", "cp1251", "cp1252", "koi8-r", "shift_jis"}
    | {"euc_jp", "gb2312", "gbk", "gb18030", "big5", "euc_kr"}
)


def decode_text(content: bytes) -> str:
    """Text of a Markdown or plain text file. Raises Unreadable for other encodings and for NUL characters."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _decoded(content[len(mark) :], encoding)
    return _decoded(content, "utf-8")


def decode_html(content: bytes) -> str:
    """Text of an HTML page, by its mark, else by the encoding that it declares near its start, else UTF-8."""
    declared = _DECLARED.search(content[:4096])
    if declared is None or content.startswith(tuple(mark for mark, _ in _MARKS)):
        return decode_text(content)
    try:
        encoding = codecs.lookup(declared.group(1).decode("ascii")).name
    except LookupError:
        encoding = ""
    if encoding not in _HTML_ENCODINGS:
        named = declared.group(1).decode("ascii")
        raise Unreadable("source_encoding", f"the page declares the unknown encoding {named!r}", "save the page as UTF-8")
    # Browsers read a page that calls itself Latin 1 as Windows 1252, and so do those who write such pages.
    return _decoded(content, "cp1252" if encoding in ("iso8859-1", "ascii") else encoding)


def _decoded(content: bytes, encoding: str) -> str:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable(
            "source_encoding", f"the text is not valid {encoding.upper()} at byte {error.start}", "save the file as UTF-8"
        ) from error
    if "\x00" in text:
        raise Unreadable(
            "source_with_nul",
            f"the text has a NUL character at position {text.index(chr(0))}",
            "remove NUL characters from the file",
        )
    return text
