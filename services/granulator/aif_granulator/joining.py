"""Make a course smaller without losing a point: small neighbours go together, and modules that grew too long are cut.

Sections are joined first, then lessons, then modules, always the two neighbours that take the least study time together,
so that what is left is as even as it can be.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from aif_contracts.documents import Span
from aif_contracts.structures import Change, ChangeKind, Course, Lesson, Module
from aif_granulator.elements import element_count

_MOST_LESSONS = 12
"""In a module; a longer one is cut."""
_LONGEST_TITLE = 140
_LONGEST_SUMMARY = 800
_LONGEST_NAME = 200

_Part = TypeVar("_Part", Lesson, Module)


def shrunk(course: Course, most: int, changes: list[Change]) -> Course:
    """The course with at most `most` elements, as far as a course of one lesson can be smaller."""
    excess = element_count(course) - most
    if excess <= 0:
        return course
    modules, excess = _fewer_sections(list(course.modules), excess, changes)
    modules, excess = _fewer_lessons(modules, excess, changes)
    modules, excess = _fewer(modules, excess, _minutes_of, _join_modules, "module", changes)
    # Joined modules hold lessons that may go together now.
    modules, _ = _fewer_lessons(modules, excess, changes)
    return msgspec.structs.replace(course, modules=tuple(modules))


def split_evenly(course: Course, room: int, changes: list[Change]) -> Course:
    """Long modules cut into parts of equal length, as long as there is room for the modules that this adds."""
    modules: list[Module] = []
    for module in course.modules:
        parts = 1 + _cuts(module)
        if parts == 1 or parts - 1 > room:
            modules.append(module)
            continue
        room -= parts - 1
        cut = _parts(module, parts)
        names = titled("; ".join(part.title for part in cut))
        changes.append(Change(kind=ChangeKind.SPLIT, element="module", title=titled(module.title), into=names))
        modules.extend(cut)
    return msgspec.structs.replace(course, modules=tuple(modules))


def cuts_wanted(course: Course) -> int:
    """How many modules the course would have more, were every long one cut."""
    return sum(_cuts(module) for module in course.modules)


def join_lessons(one: Lesson, other: Lesson) -> Lesson:
    """Both in one, nothing lost: the points of both with their spans, the terms and objectives of both once."""
    return Lesson(
        title=_joint_title(one.title, other.title),
        summary=_joint_summary(one.summary, other.summary),
        key_points=tuple(dict.fromkeys((*one.key_points, *other.key_points))),
        objectives=tuple(dict.fromkeys((*one.objectives, *other.objectives))),
        terms=tuple(dict.fromkeys((*one.terms, *other.terms))),
        estimated_minutes=one.estimated_minutes + other.estimated_minutes,
        source=_hull(one.source, other.source),
        sections=(*one.sections, *other.sections),
    )


def titled(title: Any) -> str:
    """A name for a change: how it begins, never empty."""
    text = " ".join(str(title or "").split())
    return text if 0 < len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…" if text else "(without a title)"


def _fewer_sections(modules: list[Module], excess: int, changes: list[Change]) -> tuple[list[Module], int]:
    """From the lesson with the most sections on; a section that is left alone is the lesson itself."""
    lessons = [list(module.lessons) for module in modules]
    while excess > 0:
        finest = max(
            ((len(lesson.sections), -m, -n) for m, row in enumerate(lessons) for n, lesson in enumerate(row)),
            default=(0, 0, 0),
        )
        if finest[0] == 0:
            break
        m, n = -finest[1], -finest[2]
        lesson = lessons[m][n]
        left = len(lesson.sections) - 1 if len(lesson.sections) > 2 else 0
        excess -= len(lesson.sections) - left
        lessons[m][n] = _narrowed(lesson, left, changes)
    return [msgspec.structs.replace(module, lessons=tuple(row)) for module, row in zip(modules, lessons, strict=True)], excess


def _narrowed(lesson: Lesson, left: int, changes: list[Change]) -> Lesson:
    if left:
        sections, _ = _fewer(
            list(lesson.sections), 1, lambda section: section.estimated_minutes, join_lessons, "section", changes
        )
        return msgspec.structs.replace(lesson, sections=tuple(sections))
    for section in lesson.sections:
        changes.append(_joined("section", section.title, lesson.title))
    points = [point for section in lesson.sections for point in section.key_points]
    deeper = [inner for section in lesson.sections for inner in section.sections]
    return msgspec.structs.replace(
        lesson, key_points=tuple(dict.fromkeys((*lesson.key_points, *points))), sections=tuple(deeper)
    )


def _fewer_lessons(modules: list[Module], excess: int, changes: list[Change]) -> tuple[list[Module], int]:
    """From the module with the most lessons on, down to one lesson each."""
    lessons = [list(module.lessons) for module in modules]
    while excess > 0:
        longest = max(range(len(lessons)), key=lambda m: (len(lessons[m]), -m))
        if len(lessons[longest]) < 2:
            break
        lessons[longest], _ = _fewer(
            lessons[longest], 1, lambda lesson: lesson.estimated_minutes, join_lessons, "lesson", changes
        )
        excess -= 1
    return [msgspec.structs.replace(module, lessons=tuple(row)) for module, row in zip(modules, lessons, strict=True)], excess


def _fewer(
    parts: list[_Part],
    by: int,
    weight: Callable[[_Part], int],
    join: Callable[[_Part, _Part], _Part],
    element: str,
    changes: list[Change],
) -> tuple[list[_Part], int]:
    """The parts with up to `by` fewer of them, and what of `by` could not be had; one part always stays."""
    while by > 0 and len(parts) > 1:
        at = min(range(len(parts) - 1), key=lambda i: (weight(parts[i]) + weight(parts[i + 1]), i))
        joint = join(parts[at], parts[at + 1])
        changes.append(_joined(element, parts[at + 1].title, joint.title))
        parts[at : at + 2] = [joint]
        by -= 1
    return parts, by


def _join_modules(one: Module, other: Module) -> Module:
    return Module(
        title=_joint_title(one.title, other.title),
        summary=_joint_summary(one.summary, other.summary),
        lessons=(*one.lessons, *other.lessons),
        source=_hull(one.source, other.source),
    )


def _cuts(module: Module) -> int:
    return (len(module.lessons) - 1) // _MOST_LESSONS


def _parts(module: Module, count: int) -> list[Module]:
    total = len(module.lessons)
    rows = [module.lessons[total * i // count : total * (i + 1) // count] for i in range(count)]
    return [
        Module(
            title=f"{module.title[:_LONGEST_NAME]} ({number} of {count})",
            summary=module.summary if number == 1 else row[0].summary,
            lessons=row,
            source=_hull_of([lesson.source for lesson in row]) if module.source is not None else None,
        )
        for number, row in enumerate(rows, 1)
    ]


def _minutes_of(module: Module) -> int:
    return sum(lesson.estimated_minutes for lesson in module.lessons)


def _joint_title(one: str, other: str) -> str:
    title = f"{one}; {other}"
    return title if len(title) <= _LONGEST_TITLE else one


def _joint_summary(one: str, other: str) -> str:
    if other in one:
        return one
    summary = f"{one} {other}"
    return summary if len(summary) <= _LONGEST_SUMMARY else one


def _hull(one: Span | None, other: Span | None) -> Span | None:
    """From the first to the last of both; None when the place of one is not known."""
    return _hull_of([one, other])


def _hull_of(spans: Sequence[Span | None]) -> Span | None:
    known = [span for span in spans if span is not None]
    if len(known) < len(spans):
        return None
    return Span(start=min(span.start for span in known), end=max(span.end for span in known))


def _joined(element: str, title: str, into: str) -> Change:
    return Change(kind=ChangeKind.JOINED, element=element, title=titled(title), into=titled(into))
