"""Lines of one paragraph to running text."""

import re
from collections.abc import Sequence

_SUSPENDED = re.compile(r"(?:and|or|und|oder|bis)\b")
"""Of `pre- and postwar` the hyphen belongs to the word and not to the end of the line."""


def joined(lines: Sequence[str]) -> str:
    """Lines to running text; a word broken at the end of a line is made whole."""
    parts = list(lines[:1])
    for line in lines[1:]:
        last = parts[-1]
        if last.endswith("-") and last[-2:-1].isalpha() and line[:1].islower() and not _SUSPENDED.match(line):
            parts[-1] = last[:-1]
            parts.append(line)
        else:
            parts.extend((" ", line))
    return "".join(parts)
