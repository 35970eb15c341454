"""The document as titled stretches: what its headings cut, or where its subject changes when it has too few of them."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from aif_ai.extractive.outline import Section
from aif_ai.extractive.sentences import Sentence
from aif_ai.extractive.titles import distinct, titles_of
from aif_ai.extractive.topic_shifts import parts_by_topic
from aif_ai.extractive.words import plain

_CHAPTER_WORDS = 700
_MOST_TOPIC_CHAPTERS = 12
_OWN_LESSON_WORDS = 60
"""Text of a chapter before its first section makes a stretch of its own from here on."""
_INTRODUCTION_WORDS = 250
"""Text before the first chapter makes a chapter of its own from here on; otherwise it describes the whole."""
_LONGEST_JOINT_TITLE = 140


class Stretch(Struct, frozen=True, kw_only=True):
    """A titled run of sentences, at least one."""

    title: str
    sentences: tuple[Sentence, ...]
    parts: tuple["Stretch", ...] = ()
    """Its sub-sections by heading, when it has some."""

    @property
    def words(self) -> int:
        return sum(s.words for s in self.sentences)


def chapters_of(root: Section) -> tuple[list[Stretch], list[Sentence]]:
    """The chapters, and the sentences before the first of them. The root holds at least one sentence."""
    node, introduction = root, list(root.own)
    while len(node.children) == 1 and node.children[0].children:
        node = node.children[0]
        introduction.extend(node.own)
    if len(node.children) < 2:
        everything = list(root.sentences())
        wanted = min(_MOST_TOPIC_CHAPTERS, max(1, round(sum(s.words for s in everything) / _CHAPTER_WORDS)))
        return cut_by_topic(everything, wanted, root.title), []
    chapters = [_stretch(child) for child in node.children]
    if sum(s.words for s in introduction) >= _INTRODUCTION_WORDS:
        chapters.insert(0, Stretch(title=node.title, sentences=tuple(introduction)))
    return with_distinct_titles(chapters), introduction


def cut_by_topic(sentences: Sequence[Sentence], wanted: int, title: str) -> list[Stretch]:
    """At most `wanted` stretches by topic; one alone keeps the title."""
    parts = parts_by_topic(sentences, wanted)
    names = titles_of(parts) if len(parts) > 1 else [title]
    stretches = [
        Stretch(title=name if any(plain(s.text) != plain(name) for s in part) else f"{title}: {name}", sentences=tuple(part))
        for name, part in zip(names, parts, strict=True)
    ]
    return with_distinct_titles(stretches)


def with_distinct_titles(stretches: Sequence[Stretch]) -> list[Stretch]:
    titles = distinct([stretch.title for stretch in stretches])
    return [
        stretch if stretch.title == title else msgspec.structs.replace(stretch, title=title)
        for stretch, title in zip(stretches, titles, strict=True)
    ]


def join_stretches(one: Stretch, other: Stretch) -> Stretch:
    title = f"{one.title}; {other.title}"
    return Stretch(
        title=title if len(title) <= _LONGEST_JOINT_TITLE else one.title,
        sentences=(*one.sentences, *other.sentences),
        parts=(*(one.parts or (one,)), *(other.parts or (other,))),
    )


def _stretch(section: Section) -> Stretch:
    parts = tuple(_stretch(child) for child in section.children)
    if parts and section.own:
        if sum(s.words for s in section.own) >= _OWN_LESSON_WORDS:
            parts = (Stretch(title=section.title, sentences=tuple(section.own)), *parts)
        else:
            parts = (_with_opening(parts[0], section.own), *parts[1:])
    return Stretch(title=section.title, sentences=tuple(section.sentences()), parts=parts)


def _with_opening(stretch: Stretch, opening: Sequence[Sentence]) -> Stretch:
    parts = (_with_opening(stretch.parts[0], opening), *stretch.parts[1:]) if stretch.parts else ()
    return Stretch(title=stretch.title, sentences=(*opening, *stretch.sentences), parts=parts)
