"""A mistake in something that a person wrote: where it is, what is wrong and how to mend it."""

import difflib
from collections.abc import Iterable

from msgspec import Struct


class Mistake(Struct, frozen=True, kw_only=True):
    path: str
    """Where, as in `stages[1].when`; empty for the whole document."""
    message: str
    """What is wrong, readable after the path."""
    mend: str
    """What to do about it, a sentence."""
    line: int | None = None
    """From 1; None when the document did not come as text."""
    column: int | None = None
    """From 1."""

    def __str__(self) -> str:
        where = f"line {self.line}, column {self.column}, " if self.line is not None else ""
        return f"{where}{self.path or 'the document'}: {self.message}. {self.mend}"


def did_you_mean(wrong: str, known: Iterable[str], otherwise: str) -> str:
    """A mend for a misspelt word: the nearest known one, else the list, else `otherwise`."""
    words = sorted(known)
    nearest = difflib.get_close_matches(wrong[:80], words, n=1, cutoff=0.6)
    if not nearest:
        folded = {word.replace("_", "").lower(): word for word in words}
        same = folded.get(wrong.replace("_", "").lower())
        nearest = [same] if same else []
    if nearest:
        return f"Did you mean {nearest[0]}?"
    if words and len(words) <= 20:
        return f"Known: {', '.join(words)}."
    return otherwise
