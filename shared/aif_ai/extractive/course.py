"""A course from a source document, every summary and key point word for word from it.

Headings become modules and lessons. How fine the lessons are is the granularity level:

1  one lesson for each module
2  neighbouring short sections joined to lessons of some 350 words
3  one lesson for each section; long ones are cut where their subject changes
4  as 3, with sections of about 160 words inside the lessons
5  as 3, with sections of about 70 words
A document without headings is cut into modules where its subject changes.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from aif_ai.extractive.digest import Digest, digest, lead
from aif_ai.extractive.facts import definitions_in
from aif_ai.extractive.objectives import objectives_for
from aif_ai.extractive.outline import Section, outline_of
from aif_ai.extractive.sentences import Sentence
from aif_ai.extractive.titles import titles_of
from aif_ai.extractive.topic_shifts import parts_by_topic
from aif_ai.extractive.words import STUDY_WORDS_PER_MINUTE, is_english, study_minutes
from aif_ai.failures import SourceTooThin
from aif_contracts.documents import SourceDocument, Span
from aif_contracts.structures import Course, KeyPoint, Lesson, Module

_MODULE_WORDS = 700
_MOST_TOPIC_MODULES = 12
_OWN_LESSON_WORDS = 60
"""Text of a module before its first section makes a lesson of its own from here on."""
_INTRODUCTION_WORDS = 250
"""Text before the first module makes a module of its own from here on; otherwise it describes the course."""
_MOST_TERMS = 8
_SHORT_TEXT = 500


class _Level(Struct, frozen=True, kw_only=True):
    lesson_words: tuple[int, int]
    """Sections below the first are joined to their neighbour, above the second are cut."""
    key_points: int
    section_words: int | None = None


_LEVELS = {
    1: _Level(lesson_words=(10**9, 10**9), key_points=4),
    2: _Level(lesson_words=(350, 1_500), key_points=4),
    3: _Level(lesson_words=(45, 900), key_points=4),
    4: _Level(lesson_words=(45, 900), key_points=4, section_words=160),
    5: _Level(lesson_words=(45, 900), key_points=5, section_words=70),
}


class _Stretch(Struct, frozen=True, kw_only=True):
    """A titled run of sentences on its way to become a lesson."""

    title: str
    sentences: tuple[Sentence, ...]
    parts: tuple["_Stretch", ...] = ()
    """Its sub-sections by heading, when it has some."""

    @property
    def words(self) -> int:
        return sum(s.words for s in self.sentences)


def make_course(document: SourceDocument, *, level: int, audience: str, made_by: str, checkpoint: Callable[[], None]) -> Course:
    """Raises SourceTooThin when the document has no sentence. `checkpoint` is called often and may raise to stop the work."""
    root = outline_of(document, checkpoint)
    if next(root.sentences(), None) is None:
        raise SourceTooThin("the source has no sentences to teach from, only headings or nothing at all")
    chapters, introduction = _chapters(root)
    english = is_english(document.text)
    grain = _LEVELS[level]
    modules: list[Module] = []
    for chapter in chapters:
        checkpoint()
        modules.append(_module(document.text, chapter, grain, english, checkpoint))
    minutes = sum(lesson.estimated_minutes for module in modules for lesson in module.lessons)
    rate = f" Study time at {STUDY_WORDS_PER_MINUTE} words a minute." if english else ""
    return Course(
        title=root.title,
        description=lead(document.text, introduction or chapters[0].sentences) + rate,
        target_audience=audience,
        granularity_level=level,
        modules=tuple(modules),
        estimated_minutes=minutes,
        made_by=made_by,
    )


def _chapters(root: Section) -> tuple[list[_Stretch], list[Sentence]]:
    """The future modules, and the sentences before the first of them."""
    node, introduction = root, list(root.own)
    while len(node.children) == 1 and node.children[0].children:
        node = node.children[0]
        introduction.extend(node.own)
    if len(node.children) < 2:
        everything = list(root.sentences())
        wanted = min(_MOST_TOPIC_MODULES, max(1, round(sum(s.words for s in everything) / _MODULE_WORDS)))
        return _cut(everything, wanted, root.title), []
    chapters = [_stretch(child) for child in node.children]
    if sum(s.words for s in introduction) >= _INTRODUCTION_WORDS:
        return [_Stretch(title=node.title, sentences=tuple(introduction)), *chapters], introduction
    return chapters, introduction


def _stretch(section: Section) -> _Stretch:
    parts = tuple(_stretch(child) for child in section.children)
    if parts and section.own:
        if sum(s.words for s in section.own) >= _OWN_LESSON_WORDS:
            parts = (_Stretch(title=section.title, sentences=tuple(section.own)), *parts)
        else:
            parts = (_with_opening(parts[0], section.own), *parts[1:])
    return _Stretch(title=section.title, sentences=tuple(section.sentences()), parts=parts)


def _with_opening(stretch: _Stretch, opening: Sequence[Sentence]) -> _Stretch:
    parts = (_with_opening(stretch.parts[0], opening), *stretch.parts[1:]) if stretch.parts else ()
    return _Stretch(title=stretch.title, sentences=(*opening, *stretch.sentences), parts=parts)


def _module(text: str, chapter: _Stretch, grain: _Level, english: bool, checkpoint: Callable[[], None]) -> Module:
    lessons: list[Lesson] = []
    for stretch in _lessons_of(chapter, grain):
        checkpoint()
        lessons.append(_lesson(text, stretch, grain, english, grain.section_words))
    return Module(
        title=chapter.title,
        summary=digest(text, chapter.sentences, key_points=1).summary,
        lessons=tuple(lessons),
        source=_span(chapter.sentences),
    )


def _lessons_of(chapter: _Stretch, grain: _Level) -> list[_Stretch]:
    shortest, longest = grain.lesson_words
    if shortest >= 10**9:
        return [chapter]
    joined: list[_Stretch] = []
    for part in chapter.parts or (chapter,):
        if joined and joined[-1].words < shortest:
            joined[-1] = _join(joined[-1], part)
        else:
            joined.append(part)
    if len(joined) > 1 and joined[-1].words < shortest // 2:
        last = joined.pop()
        joined[-1] = _join(joined[-1], last)
    lessons: list[_Stretch] = []
    for stretch in joined:
        if stretch.words <= longest:
            lessons.append(stretch)
        elif len(stretch.parts) > 1:
            lessons.extend(_lessons_of(stretch, grain))
        else:
            lessons.extend(_cut(stretch.sentences, round(stretch.words / (longest * 2 / 3)), stretch.title))
    return lessons


def _join(one: _Stretch, other: _Stretch) -> _Stretch:
    title = f"{one.title}; {other.title}"
    return _Stretch(
        title=title if len(title) <= 140 else one.title,
        sentences=(*one.sentences, *other.sentences),
        parts=(*(one.parts or (one,)), *(other.parts or (other,))),
    )


def _cut(sentences: Sequence[Sentence], wanted: int, title: str) -> list[_Stretch]:
    parts = parts_by_topic(sentences, wanted)
    names = titles_of(parts) if len(parts) > 1 else [title]
    return [_Stretch(title=name, sentences=tuple(part)) for name, part in zip(names, parts, strict=True)]


def _lesson(text: str, stretch: _Stretch, grain: _Level, english: bool, section_words: int | None) -> Lesson:
    essence = digest(text, stretch.sentences, key_points=grain.key_points + stretch.words // 400)
    terms = [definition.term for definition in definitions_in(stretch.sentences)][:_MOST_TERMS] if english else []
    sections = [_lesson(text, part, grain, english, None) for part in _sections(stretch, section_words)]
    return Lesson(
        title=stretch.title[:_SHORT_TEXT],
        summary=essence.summary,
        key_points=_key_points(essence),
        objectives=tuple(objectives_for(stretch.title, terms)) if english else (),
        terms=tuple(terms),
        estimated_minutes=study_minutes(stretch.words),
        source=_span(stretch.sentences),
        sections=tuple(sections),
    )


def _sections(stretch: _Stretch, section_words: int | None) -> list[_Stretch]:
    if section_words is None:
        return []
    pieces = list(stretch.parts) or [stretch]
    sections = [
        cut for piece in pieces for cut in _cut(piece.sentences, max(1, round(piece.words / section_words)), piece.title)
    ]
    return sections if len(sections) > 1 else []


def _key_points(essence: Digest) -> tuple[KeyPoint, ...]:
    return tuple(KeyPoint(text=s.text, source=Span(start=s.start, end=s.end)) for s in essence.key_points)


def _span(sentences: Sequence[Sentence]) -> Span:
    return Span(start=sentences[0].start, end=sentences[-1].end)
