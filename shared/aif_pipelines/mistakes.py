"""A mistake in something that a person wrote: where it is, what is wrong and how to mend it."""

import difflib
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Final

from msgspec import Struct

MOST_MISTAKES: Final = 100
"""So many are told of one thing: nobody reads more, and to word each costs time that a sender of nonsense must not take."""
_COMPARED: Final = 100
"""Words that one wrong word is compared with; of more, those that begin like it."""


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


def did_you_mean(wrong: str, known: Collection[str], otherwise: str) -> str:
    """A mend for a misspelt word: the nearest known one, else the list, else `otherwise`."""
    words = sorted(_worth_comparing(wrong, known))
    nearest = difflib.get_close_matches(wrong[:80], words, n=1, cutoff=0.6)
    if not nearest:
        folded = {word.replace("_", "").lower(): word for word in words}
        same = folded.get(wrong.replace("_", "").lower())
        nearest = [same] if same else []
    if nearest:
        return f"Did you mean {nearest[0]}?"
    if 0 < len(known) <= 20:
        return f"Known: {', '.join(words)}."
    return otherwise


def _worth_comparing(wrong: str, known: Collection[str]) -> Iterable[str]:
    if len(known) <= _COMPARED:
        return known
    begin = wrong[:3].lower()
    return islice((word for word in known if word[:3].lower() == begin), _COMPARED)
