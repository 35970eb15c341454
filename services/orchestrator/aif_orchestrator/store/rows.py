"""Rows for one statement, as an array of composites in Postgres' own words.

The driver looks closely at each item of a list, and the server at each array: one text with all rows costs both of them least.
The words are those of Postgres' documentation, 8.15.6 and 8.16.6.
"""

import re
from collections.abc import Iterable, Sequence

Value = str | int | float | None

_is_plain = re.compile(r"[\w.:+-]+").fullmatch
"""Ids, numbers and times: nothing in them has to be quoted, nor then the row for its quotes."""


def rows_text(rows: Iterable[Sequence[Value]]) -> str:
    """To be cast to an array of a composite type whose columns come in this order."""
    return "{" + ",".join([_quoted("(" + ",".join(_words(row)) + ")") for row in rows]) + "}"


def _words(row: Sequence[Value]) -> list[str]:
    return ["" if value is None else _word(value) if isinstance(value, str) else str(value) for value in row]


def _word(text: str) -> str:
    return text if text.isidentifier() or _is_plain(text) else _quoted(text)


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
