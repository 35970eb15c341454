"""All that rules and library find in a text, and the redaction of it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated

from msgspec import Meta, Struct

from aif_ai.local.pii.finding import Finding
from aif_ai.local.pii.library import found_by_library
from aif_ai.local.pii.redacting import redact
from aif_ai.local.pii.rules import RULES
from aif_ai.requests import TextInput
from aif_contracts.analysis import PiiKind, Redaction, Turn

BY_RULES = tuple(kind for kind in PiiKind if kind not in (PiiKind.PLACE, PiiKind.ORGANISATION))
USUAL = tuple(kind for kind in BY_RULES if kind not in (PiiKind.DATE, PiiKind.POSTAL_CODE))
"""Dates and five digits are in every text, and rarely lead to a person."""
NOTE = (
    "Rules found this: what has a shape or a checksum, and names that are announced as such. Other names, places and "
    "organisations were not looked for, nor numbers that are written out as words."
)
_PLAIN = str.maketrans(
    {**dict.fromkeys("\u00a0\u2007\u2009\u202f", " "), **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-")}
    | {chr(wide): chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)}
)
"""Spaces, hyphens and wide letters that typesetting puts in place of the plain ones; each is one character as before."""


class PiiOptions(Struct, frozen=True, kw_only=True):
    kinds: Annotated[tuple[PiiKind, ...], Meta(min_length=1)] = USUAL
    numbered: bool = False
    turns: tuple[Turn, ...] = ()


def find(text: str, kinds: tuple[PiiKind, ...], language: str | None, checkpoint: Callable[[], None]) -> Iterator[Finding]:
    """The rules' findings first: a checksum is surer than a shape."""
    text = text.translate(_PLAIN)
    for kind, rules in _wanted(kinds).items():
        for rule in rules:
            checkpoint()
            yield from (finding for finding in rule(text) if finding.kind is kind)
    checkpoint()
    yield from found_by_library(text, kinds, language, checkpoint)


def redaction_of(task: TextInput, options: PiiOptions, checkpoint: Callable[[], None], made_by: str) -> Redaction:
    kinds = tuple(kind for kind in options.kinds if kind in BY_RULES)
    return redact(
        task.text,
        find(task.text, kinds, task.language, checkpoint),
        turns=options.turns,
        looked_for=kinds,
        numbered=options.numbered,
        note=NOTE,
        made_by=made_by,
    )


def _wanted(kinds: tuple[PiiKind, ...]) -> Mapping[PiiKind, tuple[Callable[[str], Iterator[Finding]], ...]]:
    return {kind: rules for kind, rules in RULES.items() if kind in kinds}
