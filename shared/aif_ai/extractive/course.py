"""A course from a source document, every summary and key point word for word from it.

Headings become modules and lessons. How fine the lessons are is the granularity level:

1  one lesson for each module
2  neighbouring short sections joined to lessons of some 350 words
3  one lesson for each section; long ones are cut where their subject changes
4  as 3, with sections of about 160 words inside the lessons
5  as 3, with sections of about 70 words
A document without headings is cut into modules where its subject changes.
"""

# Typographic signs are meant as such.
# ruff: noqa: RUF001

from collections.abc import Callable, Sequence

from msgspec import Struct

from aif_ai.extractive.chapters import Stretch, chapters_of, cut_by_topic, join_stretches, with_distinct_titles
from aif_ai.extractive.digest import SENTENCE_ENDS, Digest, digest, lead
from aif_ai.extractive.facts import definitions_in
from aif_ai.extractive.objectives import objectives_for
from aif_ai.extractive.outline import outline_of, says_something
from aif_ai.extractive.sentences import Sentence
from aif_ai.extractive.telling import Tell, tell_nobody
from aif_ai.extractive.words import STUDY_WORDS_PER_MINUTE, is_english, study_minutes
from aif_ai.failures import SourceTooThin
from aif_contracts.documents import SourceDocument, Span
from aif_contracts.structures import Course, KeyPoint, Lesson, Module

_OUTLINED = 0.2
"""The share of the work that is done when the lessons begin."""
_MOST_TERMS = 8
_SHORT_TEXT = 500
_CLOSING = "\"'”’»)]"


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


def make_course(
    document: SourceDocument,
    *,
    level: int,
    audience: str,
    made_by: str,
    checkpoint: Callable[[], None],
    tell: Tell = tell_nobody,
) -> Course:
    """Raises SourceTooThin when the document has no sentence. `checkpoint` is called often and may raise to stop the work."""
    tell(0.0, "outlining the source")
    root = outline_of(document, checkpoint)
    if not says_something(root):
        raise SourceTooThin("the source has no sentences to teach from, only headings or nothing at all")
    chapters, introduction = chapters_of(root)
    english = is_english(document.text)
    grain = _LEVELS[level]
    plan = [(chapter, with_distinct_titles(_lessons_of(chapter, grain))) for chapter in chapters]
    wanted = sum(len(stretches) for _, stretches in plan)
    modules: list[Module] = []
    made = 0
    for chapter, stretches in plan:
        lessons: list[Lesson] = []
        for stretch in stretches:
            checkpoint()
            tell(_OUTLINED + (1 - _OUTLINED) * made / wanted, f"lesson {made + 1} of {wanted}: {stretch.title}")
            lessons.append(_lesson(document.text, stretch, grain, english, grain.section_words))
            made += 1
        modules.append(_module(document.text, chapter, lessons))
    minutes = sum(lesson.estimated_minutes for module in modules for lesson in module.lessons)
    opening = lead(document.text, introduction or chapters[0].sentences)
    if english:
        ended = opening if opening.rstrip(_CLOSING).endswith(SENTENCE_ENDS) else f"{opening}."
        opening = f"{ended} Study time at {STUDY_WORDS_PER_MINUTE} words a minute."
    return Course(
        title=root.title,
        description=opening,
        target_audience=audience,
        granularity_level=level,
        modules=tuple(modules),
        estimated_minutes=minutes,
        made_by=made_by,
    )


def _module(text: str, chapter: Stretch, lessons: Sequence[Lesson]) -> Module:
    return Module(
        title=chapter.title,
        summary=digest(text, chapter.sentences, key_points=1, title=chapter.title).summary,
        lessons=tuple(lessons),
        source=_span(chapter.sentences),
    )


def _lessons_of(chapter: Stretch, grain: _Level) -> list[Stretch]:
    shortest, longest = grain.lesson_words
    if shortest >= 10**9:
        return [chapter]
    joined: list[Stretch] = []
    for part in chapter.parts or (chapter,):
        if joined and joined[-1].words < shortest:
            joined[-1] = join_stretches(joined[-1], part)
        else:
            joined.append(part)
    if len(joined) > 1 and joined[-1].words < shortest // 2:
        last = joined.pop()
        joined[-1] = join_stretches(joined[-1], last)
    lessons: list[Stretch] = []
    for stretch in joined:
        if stretch.words <= longest:
            lessons.append(stretch)
        elif len(stretch.parts) > 1:
            lessons.extend(_lessons_of(stretch, grain))
        else:
            lessons.extend(cut_by_topic(stretch.sentences, round(stretch.words / (longest * 2 / 3)), stretch.title))
    return lessons


def _lesson(text: str, stretch: Stretch, grain: _Level, english: bool, section_words: int | None) -> Lesson:
    essence = digest(text, stretch.sentences, key_points=grain.key_points + stretch.words // 400, title=stretch.title)
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


def _sections(stretch: Stretch, section_words: int | None) -> list[Stretch]:
    if section_words is None:
        return []
    pieces = list(stretch.parts) or [stretch]
    sections = [
        part
        for piece in pieces
        for part in cut_by_topic(piece.sentences, max(1, round(piece.words / section_words)), piece.title)
    ]
    return with_distinct_titles(sections) if len(sections) > 1 else []


def _key_points(essence: Digest) -> tuple[KeyPoint, ...]:
    return tuple(KeyPoint(text=s.text, source=Span(start=s.start, end=s.end)) for s in essence.key_points)


def _span(sentences: Sequence[Sentence]) -> Span:
    return Span(start=sentences[0].start, end=sentences[-1].end)
