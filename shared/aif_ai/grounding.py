"""Find a model's quotes in the source. What is found becomes a span that anyone can check."""

import re

from aif_contracts.documents import SourceDocument, Span

# ruff: noqa: RUF001
_ALIKE = {
    "'": "['’‘]",
    "’": "['’‘]",
    "‘": "['’‘]",
    '"': '["“”]',
    "“": '["“”]',
    "”": '["“”]',
    "-": "[-–—]",
    "–": "[-–—]",
    "—": "[-–—]",
}
_SHORTEST = 12
"""Characters. A shorter quote stands in many places and proves nothing."""


def locate(quote: str, source: SourceDocument) -> Span | None:
    """Where the source says it; differences of white space, quotation marks and dashes are forgiven, others are not."""
    wanted = quote.strip()
    if len(wanted) < _SHORTEST:
        return None
    start = source.text.find(wanted)
    if start >= 0:
        return Span(start=start, end=start + len(wanted))
    pattern = r"\s+".join("".join(_ALIKE.get(sign, re.escape(sign)) for sign in word) for word in wanted.split())
    found = re.search(pattern, source.text)
    return Span(start=found.start(), end=found.end()) if found else None
