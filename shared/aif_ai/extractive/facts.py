"""Facts that a sentence states by its form: what a term means, and figures.

Only forms that leave no doubt are taken. A fact that is missed costs a question; a wrong one teaches something false.
Definitions are recognised in English; figures in every script with the digits 0 to 9.
"""

# Typographic signs are meant as such, and word lists read best as running text.
# ruff: noqa: RUF001, SIM905

import re
from collections.abc import Iterable

from msgspec import Struct

from aif_ai.extractive.sentences import Sentence
from aif_ai.extractive.words import STOPWORDS, folded, meaningful, tokens
from aif_contracts.documents import BlockKind
from aif_contracts.word_count import SPACELESS, count_words

_NAME = r"[^\W\d_](?:[\w'’\-/]| (?=[\w'’]))*?"
_IS = re.compile(
    rf"^(?P<lead>(?:A|An|The|Each|Every) )?(?P<term>{_NAME})(?:, or (?P<short>{_NAME}),| \([\w\-]{{2,12}}\))? "
    r"(?:is|are) (?P<meaning>(?:a|an|the|any|one of|what|when|those|females|males)\b.{12,})$",
    re.DOTALL,
)
_MEANS = re.compile(rf"^(?P<lead>(?:A|An|The) )?(?P<term>{_NAME}) means (?:that )?(?P<meaning>.{{12,}})$", re.DOTALL)
_CALLED = re.compile(
    rf"^(?P<meaning>(?:A|An|The) [^,;:]{{12,}}?) (?:is|are) (?:also )?(?:called|known as|named) (?:an? |the )?(?P<term>{_NAME})"
    rf"(?:, or (?P<short>[\w\-]+))?[.]$",
    re.DOTALL,
)
_AFTERTHOUGHT = re.compile(
    r"(?:, (?:and|but|so|because|since|while|whereas|though|although)\b|, (?:it|they|he|she)\b|; |: | – | — )", re.DOTALL
)
_SUPERLATIVE = re.compile(r"^the (?:most|least) ")
"""Praise and comparison say how something is and not what it is."""
_NO_TERM = frozenset(
    """result reason problem first second third next last goal idea aim way other one answer example thing part rest point
    purpose difference advantage disadvantage cause effect question task rule key question main best worst simplest surest
    usual common good bad normal only same most least it this that these those there they he she we you i what which who here
    such both all some any many each none everything nothing something anyone half number higher lower great case
    former latter following above below time figure""".split()
)
_VERBISH = frozenset(
    """is are was were has have had do does did can will may must shall should would could not if when where which that
    who""".split()
)
_DANGLING = frozenset(
    """it its this that these those they them their he she his her him such here there then thus hence therefore however also
    but and or so yet instead otherwise both either neither another similarly likewise consequently moreover furthermore
    meanwhile""".split()
)
_REFERS_ELSEWHERE = re.compile(
    r"\b(?:the following|as follows|(?:as|described|shown|listed|mentioned|see) (?:above|below)|(?:above|below)(?=[.,;:])"
    r"|previous(?:ly)?|later in|(?:this|next|last) (?:chapter|section|guide|text|book|page)"
    r"|figure \d|table \d|see (?:also|page|chapter|section))\b",
    re.IGNORECASE,
)
_CLOSE_BY = rf"{SPACELESS}\uac00-\ud7af"
"""Scripts that write a number and its neighbours without a space between them."""
_NUMBER = re.compile(
    rf"(?<![^\W{_CLOSE_BY}])(?<![.,:/\-–+#第제])(?<!\d )"
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]{1,3}(?: [0-9]{3})+|[0-9]+(?:\.[0-9]+)?)"
    rf"(?![^\W{_CLOSE_BY}]|[/:\-–]|[.,]\d| \d{{3}}(?!\d))"
)
_UNIT = re.compile(rf"\s?(%|°\s?[CF]|per cent|percent|degrees(?: [A-Z][a-z]+)?|[^\W\d_]+(?= |[.,;:)!?]|$)|[{SPACELESS}])")
_COUNTS_ON = re.compile(r", \d")
_LABELS = frozenset(
    "type chapter section figure table page part step days day version layer port rfc level number no item volume line".split()
)
_LONGEST_MEANING = 220
_MOST_DIGITS = 15
_MOST_WORDS = 42
_FEWEST_WORDS = 6


class Definition(Struct, frozen=True, kw_only=True):
    term: str
    """As the source writes it, without its article."""
    names: frozenset[str]
    """Folded words of the term and of its short form."""
    meaning: str
    """Word for word from the sentence."""
    sentence: Sentence
    term_start: int
    """Offset in the source text."""


class Figure(Struct, frozen=True, kw_only=True):
    """A number in a sentence, at `[start, end)` of the source text."""

    text: str
    value: str
    """Digits only, so that 1,500, 1 500 and 1500 are one."""
    unit: str
    shape: str
    """`year`, `grouped`, `decimal` or `whole`."""
    start: int
    end: int
    sentence: Sentence


def stands_alone(sentence: Sentence) -> bool:
    """Whether a reader understands it without its neighbours: a whole statement that refers to nothing outside."""
    text = sentence.text
    first = tokens(text[:60])[:1]
    return (
        sentence.kind in (BlockKind.PARAGRAPH, BlockKind.LIST_ITEM)
        and text.endswith((".", "。", "!", "．", "！", "।", "۔"))
        and _FEWEST_WORDS <= sentence.words <= _MOST_WORDS
        and bool(first)
        and first[0].lower() not in _DANGLING
        and (text[0].isupper() or not text[0].isascii())
        and not _REFERS_ELSEWHERE.search(text)
    )


def definitions_in(sentences: Iterable[Sentence]) -> list[Definition]:
    """The first definition of each term, in reading order."""
    sentences = list(sentences)
    written = " ".join(sentence.text for sentence in sentences)
    found: list[Definition] = []
    known: set[frozenset[str]] = set()
    for sentence in sentences:
        definition = _definition(sentence, written)
        if definition is not None and definition.names not in known:
            known.add(definition.names)
            found.append(definition)
    return found


def figures_in(sentence: Sentence) -> list[Figure]:
    """The numbers that count or measure something; labels such as `layer 2` are left out."""
    figures: list[Figure] = []
    for match in _NUMBER.finditer(sentence.text):
        before = tokens(sentence.text[max(0, match.start() - 24) : match.start()])[-1:]
        if (
            len(match.group()) > _MOST_DIGITS
            or (before and before[0].lower() in _LABELS)
            or _COUNTS_ON.match(sentence.text, match.end())
        ):
            continue
        unit = _UNIT.match(sentence.text, match.end())
        word = unit.group(1).lower() if unit else ""
        text = match.group()
        digits = text.replace(",", "").replace(" ", "")
        figures.append(
            Figure(
                text=text,
                value=digits.rstrip("0").rstrip(".") if "." in text else digits,
                unit=folded(word) if word not in STOPWORDS else "",
                shape=_shape(text, word),
                start=sentence.start + match.start(),
                end=sentence.start + match.end(),
                sentence=sentence,
            )
        )
    return figures


def _shape(text: str, unit: str) -> str:
    if "," in text or " " in text:
        return "grouped"
    if "." in text:
        return "decimal"
    if len(text) == 4 and text[0] in "12" and (not unit or unit in STOPWORDS):
        return "year"
    return "whole"


def _definition(sentence: Sentence, written: str) -> Definition | None:
    if sentence.kind is BlockKind.TABLE_ROW or not sentence.text.endswith(".") or sentence.words > 60:
        return None
    for form in (_CALLED, _MEANS, _IS):
        match = form.match(sentence.text)
        if match is None or not _may_be_term(match["term"], capital=form is not _CALLED and not match.groupdict().get("lead")):
            continue
        meaning = match["meaning"].rstrip(".") if form is not _CALLED else match["meaning"]
        if form is not _CALLED:
            meaning = _core(meaning)
        if not 8 <= len(meaning) <= _LONGEST_MEANING or count_words(meaning) < 3 or _REFERS_ELSEWHERE.search(meaning):
            continue
        term = match["term"] if form is _CALLED or match["lead"] else _plain_start(match["term"], written)
        names = frozenset(meaningful(" ".join(filter(None, (match["term"], match.groupdict().get("short"))))))
        if not names or match["term"].lower() in meaning.lower() or _SUPERLATIVE.match(meaning):
            continue
        return Definition(
            term=term, names=names, meaning=meaning, sentence=sentence, term_start=sentence.start + match.start("term")
        )
    return None


def _core(meaning: str) -> str:
    """The part of the clause that defines; what is added after a comma is no part of the meaning."""
    for stop in _AFTERTHOUGHT.finditer(meaning):
        if count_words(meaning[: stop.start()]) >= 3:
            return meaning[: stop.start()]
    return meaning


def _plain_start(term: str, written: str) -> str:
    """Lower the capital that a word has only because it opens the sentence: one that stands elsewhere in lower case."""
    lowered = term[0].lower() + term[1:]
    return lowered if f" {lowered}" in written else term


def _may_be_term(term: str, *, capital: bool) -> bool:
    words = term.split(" ")
    lowered = [word.lower() for word in words]
    if not 1 <= len(words) <= 4 or len(term) < 3 or len(term) > 50:
        return False
    if lowered[0] in _NO_TERM or lowered[-1] in _NO_TERM or lowered[0] in STOPWORDS:
        return False
    if any(word in _VERBISH for word in lowered) or any(
        word in ("and", "or", "in", "on", "for", "by", "with", "to", "from") for word in lowered
    ):
        return False
    return not capital or term[0].isupper()
