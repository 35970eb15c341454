"""Walks over a structure: its lessons at every depth, its key points, what it cites."""

from collections.abc import Iterator

from aif_contracts.documents import Span
from aif_contracts.structures import Course, KeyPoint, Lesson, Quiz


def lessons_of(course: Course) -> Iterator[Lesson]:
    """Lessons and the sections inside them."""
    for module in course.modules:
        for lesson in module.lessons:
            yield from _with_sections(lesson)


def key_points_of(course: Course) -> Iterator[KeyPoint]:
    for lesson in lessons_of(course):
        yield from lesson.key_points


def cited_spans(structure: Course | Quiz) -> list[Span | None]:
    """What each key point or question rests on; None for one without proof."""
    if isinstance(structure, Course):
        return [point.source for point in key_points_of(structure)]
    return [question.source for question in structure.questions]


def element_count(structure: Course | Quiz) -> int:
    """Modules, lessons and sections of a course; questions of a quiz."""
    if isinstance(structure, Course):
        return len(structure.modules) + sum(1 for _ in lessons_of(structure))
    return len(structure.questions)


def _with_sections(lesson: Lesson) -> Iterator[Lesson]:
    yield lesson
    for section in lesson.sections:
        yield from _with_sections(section)
