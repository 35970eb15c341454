"""The instructions of a description: the items of its lists and the sentences that tell to do something."""

# Typographic signs are meant as such.
# ruff: noqa: RUF001

import re

from msgspec import Struct

from aif_ai.extractive.sentences import split
from aif_ai.local.workflow.verbs import kind_within, leading_kind

_ITEM = re.compile(r"(?:[ \t]*(?:[-*•·‣–]|(?:step[ \t]+)?\(?\d{1,3}[.):]|\(?[a-z]\))[ \t]+)+", re.IGNORECASE)
_NUMBER_IN_A_LINE = re.compile(r"(?:^|(?<=\s))\(?(\d{1,2})[.)]\s+")
_LEAD_IN = re.compile(
    r"(?:(?:please|then|firstly|first|secondly|second|next|finally|lastly|also|now|and|afterwards|after that)\b[,:]?\s+"
    r"|(?:i|we)\s+(?:want|need|would like)\s+(?:you\s+)?to\s+"
    r"|(?:you|it|(?:the|this)\s+(?:workflow|system|agent|pipeline|factory))\s+"
    r"(?:should|must|shall|has to|have to|needs? to)\s+)",
    re.IGNORECASE,
)
_WITHIN = re.compile(
    r"[,;]?\s+(?=(?:otherwise|else|or else)\b[,\s])"
    r"|;\s+(?=(?:if|when|whenever|unless|once|as soon as|in case)\s)"
    r"|(?P<doing_first>[,;]?\s+(?:and\s+then|and|then)\b,?\s+)(?=(?:if|when|whenever|unless|once|as soon as|in case)\s)",
    re.IGNORECASE,
)
"""Where another instruction begins within a sentence: the other case, or a condition after something to do."""
_CONDITION = re.compile(
    r"\b(?:if|when|whenever|unless|once|as soon as|in case|every time|each time|otherwise|else)\b", re.IGNORECASE
)
_OPENS_A_STATEMENT = re.compile(
    r"(?:i|we|you|he|she|it|they|there|here|this|that|these|those|the|a|an|our|my|your|their|its|today|currently|usually)\b",
    re.IGNORECASE,
)


class _Piece(Struct, frozen=True):
    text: str
    is_item: bool
    """Stood in a list."""


def instructions_of(text: str) -> list[str]:
    """In their order, each one a sentence or less, without words that only lead in. All sentences where none tells to do
    anything; empty for a text without words."""
    said = [
        _Piece(instruction, piece.is_item)
        for piece in _pieces(text)
        for first, last in split(piece.text, 0, len(piece.text))
        for part in _parts(piece.text[first:last])
        if any(map(str.isalpha, instruction := without_lead_in(part)))
    ]
    told = [piece.text for piece in said if piece.is_item or _tells(piece.text)]
    return told or [piece.text for piece in said]


def _parts(sentence: str) -> list[str]:
    parts: list[str] = []
    begin = 0
    for joint in _WITHIN.finditer(sentence):
        # Of two conditions the second one only goes on with the first.
        if joint["doing_first"] is None or not _CONDITION.search(sentence, begin, joint.start()):
            parts.append(sentence[begin : joint.start()])
            begin = joint.end()
    return [*parts, sentence[begin:]]


def without_lead_in(text: str) -> str:
    """Without `Then`, `Please`, `You should` and the like."""
    text = text.strip()
    while (lead := _LEAD_IN.match(text)) and lead.end() < len(text):
        text = text[lead.end() :]
    return text


def _pieces(text: str) -> list[_Piece]:
    """Items of lists and paragraphs. Headings, and lines that announce a list, are none."""
    pieces: list[_Piece] = []
    is_open = False
    for line in text.splitlines():
        marker = _ITEM.match(line)
        content = (line[marker.end() :] if marker else line).strip()
        if not content or line.lstrip().startswith("#"):
            is_open = False
            continue
        goes_on = is_open and not marker and (not pieces[-1].is_item or line[0].isspace() or content[0].islower())
        if goes_on:
            pieces[-1] = _Piece(f"{pieces[-1].text} {content}", pieces[-1].is_item)
        else:
            pieces.append(_Piece(content if marker is None else line.strip(), marker is not None))
        is_open = True
    return [part for piece in pieces for part in _numbered(piece) if not part.text.endswith(":")]


def _numbered(piece: _Piece) -> list[_Piece]:
    """The items of a list that stands in one line, `1) fetch it 2) send it`; else the piece without its marker."""
    marks = list(_NUMBER_IN_A_LINE.finditer(piece.text))
    numbers = [int(mark.group(1)) for mark in marks]
    if len(marks) > 1 and numbers == list(range(1, len(marks) + 1)):
        ends = [*(mark.start() for mark in marks[1:]), len(piece.text)]
        items = [_Piece(piece.text[mark.end() : end].strip(), True) for mark, end in zip(marks, ends, strict=True)]
        return [_Piece(piece.text[: marks[0].start()].strip(), piece.is_item), *items]
    marker = _ITEM.match(piece.text) if piece.is_item else None
    return [_Piece(piece.text[marker.end() :] if marker else piece.text, piece.is_item)]


def _tells(sentence: str) -> bool:
    if _CONDITION.match(sentence) or leading_kind(sentence) is not None:
        return True
    return not _OPENS_A_STATEMENT.match(sentence) or kind_within(sentence) is not None
