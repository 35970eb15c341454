"""Cut the text of a block into sentences, by offsets, so that every sentence is a slice of the source."""

# Typographic signs are meant as such, and word lists read best as running text.
# ruff: noqa: RUF001, SIM905

import re

from msgspec import Struct

from aif_ai.extractive.words import meaningful
from aif_contracts.documents import Block, BlockKind
from aif_contracts.word_count import count_words

_ENDING = re.compile(r"[.!?…؟۔।॥]+(?:[\"'”’»)\]]| [»›](?=\s|$))*(?=\s|$)|[。！？｡][」』”’）】]*")
"""French sets a space before its closing quotation mark."""
_CLOSING = "」』”’"
_OPENING = "「『“‘"
_MARKER = re.compile(r"\s*(?:[-*•·‣–]\s+|\(?\d{1,3}[.)]\s+|\(?[a-z]\)\s+)")
_LAST_TOKEN = re.compile(r"[^\s(\[\"'“‘]+$")
_LETTERS_WITH_DOTS = re.compile(r"^(?:[^\W\d_]\.)+[^\W\d_]?$|^[A-Z]$")
_ABBREVIATIONS = frozenset(
    """abs adj al approx apr art aug av bd bspw bzgl bzw ca cf ch chap col corp dec dept dr dra ed eds ehem eq est etc evtl ex
    feb fig figs geb gen gest ggf gov hon hrsg inc inkl jan jh jhdt jr jul jun lt ltd mar max mfg min mio mr mrd mrs ms mt no
    nos nov nr núm oct op pág pl pp prof pt ref rev sec sect sen sep sept sog sr sra st std tab tel tsd u usw vgl vol vs z.b
    zzgl""".split()
)
_BEFORE_A_NUMBER = frozenset("no nos nr fig figs vol pp p ch chap sec sect art eq tab ca approx pt ref op".split())
_MAY_END_A_SENTENCE = frozenset("etc al inc ltd corp jr sr usw co jh jhdt".split())
_BEFORE_AN_ORDINAL = re.compile(
    r"(?:^|[\s(])(?:(?<!\bI )am|im|vom|zum|zur|beim|der|das|dem|den|des|dieser|diesem|jeder|jedem|seit|ab)\s+$", re.IGNORECASE
)
_AFTER_AN_ORDINAL = re.compile(
    r"\s+(?:Januar|Jänner|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember|Jahrhundert|Jahrtausend|Jh)"
)
"""German writes the first of May as `1. Mai`, and its nouns with a capital, as the beginning of a sentence is written."""
_LONGEST_TOKEN = 64
"""Characters to look back for an abbreviation; looking back to the beginning would make rows of dots take quadratic time."""
LONGEST_CHARACTERS = 1_200
"""Longer runs without an end mark are no sentence; they are cut at a comma or a space."""


class Sentence(Struct, frozen=True, kw_only=True):
    """`[start, end)` of the source text, trimmed of surrounding space."""

    start: int
    end: int
    text: str
    kind: BlockKind
    block: int
    """Number of its block in the document."""
    place: int
    """Position in its block, from 0."""
    words: int
    meaning: tuple[str, ...]
    """Folded words that carry meaning, repetitions kept."""


def sentences_of(text: str, block: Block, number: int) -> list[Sentence]:
    """The sentences of one block; a table row is one whole."""
    start = block.start
    if block.kind is BlockKind.LIST_ITEM and (marker := _MARKER.match(text, start, block.end)):
        start = marker.end()
    spans = [(start, block.end)] if block.kind is BlockKind.TABLE_ROW else split(text, start, block.end)
    found: list[Sentence] = []
    for first, last in spans:
        piece = text[first:last]
        words = count_words(piece)
        if words:
            found.append(
                Sentence(
                    start=first,
                    end=last,
                    text=piece,
                    kind=block.kind,
                    block=number,
                    place=len(found),
                    words=words,
                    meaning=tuple(meaningful(piece)),
                )
            )
    return found


def split(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Spans of the sentences in `text[start:end]`, in order, trimmed, never empty."""
    spans: list[tuple[int, int]] = []
    begin = start
    for mark in _ENDING.finditer(text, start, end):
        if _ends_a_sentence(text, begin, mark, end):
            spans.extend(_bounded(text, begin, mark.end()))
            begin = mark.end()
    spans.extend(_bounded(text, begin, end))
    return spans


def _ends_a_sentence(text: str, begin: int, mark: re.Match[str], end: int) -> bool:
    following = _next_character(text, mark.end(), end)
    if mark.group()[-1] in _CLOSING and mark.group()[0] in "。！？｡":
        # What was said goes on into who said it, unless another speech or a space begins.
        return mark.end() >= end or text[mark.end()].isspace() or text[mark.end()] in _OPENING
    if mark.group()[0] not in ".…":
        return not following.islower() and following not in (",", ";")
    if following == "":
        return True
    if following.islower() or following in ",;:)":
        return False
    # A newline is no sign by itself: plain text and PDF break lines anywhere.
    before = _LAST_TOKEN.search(text, max(begin, mark.start() - _LONGEST_TOKEN), mark.start())
    token = before.group() if before else ""
    if not token:
        return False
    word = token.lower().rstrip(".")
    if before is not None and before.start() == _skip_space(text, begin) and token.isdigit() and len(token) <= 3:
        return False
    if token.isdigit() and len(token) <= 2 and before is not None and _is_ordinal(text, begin, before.start(), mark.end()):
        return False
    if following.isdigit() and word in _BEFORE_A_NUMBER:
        return False
    if word in _ABBREVIATIONS or _LETTERS_WITH_DOTS.match(token):
        return word in _MAY_END_A_SENTENCE and following.isupper()
    return True


def _is_ordinal(text: str, begin: int, start: int, end: int) -> bool:
    leading = text[max(begin, start - 16) : start]
    return bool(_BEFORE_AN_ORDINAL.search(leading) or _AFTER_AN_ORDINAL.match(text, end))


def _next_character(text: str, position: int, end: int) -> str:
    while position < end and (text[position].isspace() or text[position] in "\"'“‘«("):
        position += 1
    return text[position] if position < end else ""


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _bounded(text: str, start: int, end: int) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    while (trimmed := _trimmed(text, start, end)) is not None:
        first, last = trimmed
        if last - first <= LONGEST_CHARACTERS:
            spans.append((first, last))
            break
        window = text[first : first + LONGEST_CHARACTERS]
        cut = max(window.rfind(sign) for sign in ("; ", ", ", "；", "，", "、"))
        cut = cut + 1 if cut > LONGEST_CHARACTERS // 3 else window.rfind(" ")
        cut = cut if cut > LONGEST_CHARACTERS // 3 else LONGEST_CHARACTERS
        start = first + cut
        piece = _trimmed(text, first, start)
        if piece is not None:
            spans.append(piece)
    return spans


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return (start, end) if start < end else None
