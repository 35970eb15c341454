"""Take out of a structure what is empty and what is said twice. Each change is noted."""

from collections.abc import Iterator
from typing import Any

import msgspec

from aif_contracts.structures import Change, ChangeKind, Course, KeyPoint, Lesson, Module, Quiz
from aif_granulator.joining import join_lessons, titled
from aif_granulator.likeness import first_alike

_ALIKE_POINTS = 0.85
_ALIKE_LESSONS = 0.8
_FEWEST_OPTIONS = 2


def without_empty_modules(modules: list[Any], changes: list[Change]) -> list[Any]:
    """The modules of a course as plain JSON, before they are held against the schema; what is odd in another way stays."""
    kept: list[Any] = []
    for module in modules:
        if not isinstance(module, dict) or not isinstance(module.get("lessons"), list):
            kept.append(module)
            continue
        lessons = _without_empty_lessons(module["lessons"], "lesson", changes)
        if lessons:
            kept.append({**module, "lessons": lessons})
        else:
            changes.append(_dropped("module", module.get("title")))
    return kept


def without_broken_questions(questions: list[Any], changes: list[Change]) -> list[Any]:
    """The questions of a quiz as plain JSON, without those that cannot be answered."""
    kept: list[Any] = []
    for question in questions:
        if isinstance(question, dict) and isinstance(options := question.get("options"), list):
            key = question.get("answer_index")
            if len(options) < _FEWEST_OPTIONS or (type(key) is int and not 0 <= key < len(options)):
                changes.append(_dropped("question", question.get("question")))
                continue
        kept.append(question)
    return kept


def without_repetitions(course: Course, changes: list[Change]) -> Course:
    """Modules of one name and lessons of one content become one; a point is said once."""
    modules = _modules_of_one_name(course.modules, changes)
    modules = _lessons_of_one_content(modules, changes)
    points = [(point, home) for module in modules for lesson in module.lessons for point, home in _points_of(lesson)]
    # Of two that say the same, the one with a proof is the first.
    points.sort(key=lambda entry: entry[0].source is None)
    firsts = first_alike([point.text for point, _ in points], _ALIKE_POINTS)
    repeated = {id(points[i][0]): points[first][1] for i, first in enumerate(firsts) if first != i}
    tidy = _Points(repeated, changes)
    return msgspec.structs.replace(
        course,
        modules=tuple(
            msgspec.structs.replace(module, lessons=tuple(tidy.lesson(lesson) for lesson in module.lessons))
            for module in modules
        ),
    )


def without_repeated_questions(quiz: Quiz, changes: list[Change]) -> Quiz:
    # The key belongs to what a question asks: one stem may be asked with another gap.
    said = [f"{question.question} {question.options[question.answer_index]}" for question in quiz.questions]
    firsts = first_alike(said, _ALIKE_POINTS)
    kept = []
    for number, question in enumerate(quiz.questions):
        if firsts[number] == number:
            kept.append(question)
        else:
            into = quiz.questions[firsts[number]].question
            changes.append(_merged("question", question.question, into))
    return msgspec.structs.replace(quiz, questions=tuple(kept))


def fewer_questions(quiz: Quiz, most: int, changes: list[Change]) -> Quiz:
    """At most so many, taken evenly from the whole quiz."""
    total = len(quiz.questions)
    if total <= most:
        return quiz
    taken = {total * i // most for i in range(most)}
    changes.extend(_dropped("question", q.question) for i, q in enumerate(quiz.questions) if i not in taken)
    return msgspec.structs.replace(quiz, questions=tuple(q for i, q in enumerate(quiz.questions) if i in taken))


class _Points:
    """Removes repeated points; no lesson loses its last one."""

    def __init__(self, repeated: dict[int, str], changes: list[Change]) -> None:
        self._repeated = repeated
        """By the point's id, the lesson or section that says it as well."""
        self._changes = changes

    def lesson(self, lesson: Lesson) -> Lesson:
        own = tuple(point for point in lesson.key_points if id(point) not in self._repeated) or lesson.key_points[:1]
        self._note(lesson.key_points, own)
        sections: list[Lesson] = []
        for section in lesson.sections:
            if all(id(point) in self._repeated for point, _ in _points_of(section)):
                self._changes.append(_merged("section", section.title, lesson.title))
            else:
                sections.append(self.lesson(section))
        return msgspec.structs.replace(lesson, key_points=own, sections=tuple(sections))

    def _note(self, before: tuple[KeyPoint, ...], after: tuple[KeyPoint, ...]) -> None:
        for point in before:
            if point not in after:
                self._changes.append(_merged("key_point", point.text, self._repeated[id(point)]))


def _without_empty_lessons(lessons: list[Any], element: str, changes: list[Change]) -> list[Any]:
    kept: list[Any] = []
    for lesson in lessons:
        if not isinstance(lesson, dict) or not isinstance(lesson.get("key_points"), list):
            kept.append(lesson)
            continue
        points = [point for point in lesson["key_points"] if not _is_blank(point)]
        changes.extend(_dropped("key_point", None) for _ in range(len(lesson["key_points"]) - len(points)))
        inside = lesson.get("sections")
        sections = _without_empty_lessons(inside, "section", changes) if isinstance(inside, list) else []
        if points:
            kept.append({**lesson, "key_points": points, "sections": sections})
            continue
        # A shell around sections: they take its place.
        changes.append(_dropped(element, lesson.get("title")))
        kept.extend(sections)
    return kept


def _is_blank(point: Any) -> bool:
    return isinstance(point, dict) and isinstance(text := point.get("text"), str) and not text.strip()


def _modules_of_one_name(modules: tuple[Module, ...], changes: list[Change]) -> list[Module]:
    kept: dict[str, Module] = {}
    for module in modules:
        name = " ".join(module.title.casefold().split())
        first = kept.get(name)
        if first is None:
            kept[name] = module
            continue
        changes.append(_merged("module", module.title, first.title))
        # What lies between the two belongs to neither, so the joint module has no stretch of its own.
        kept[name] = msgspec.structs.replace(first, lessons=(*first.lessons, *module.lessons), source=None)
    return list(kept.values())


def _lessons_of_one_content(modules: list[Module], changes: list[Change]) -> list[Module]:
    lessons = [lesson for module in modules for lesson in module.lessons]
    firsts = first_alike([_content(lesson) for lesson in lessons], _ALIKE_LESSONS)
    joint = list(lessons)
    for number, first in enumerate(firsts):
        if first != number:
            changes.append(_merged("lesson", lessons[number].title, lessons[first].title))
            joint[first] = msgspec.structs.replace(
                join_lessons(joint[first], lessons[number]),
                title=joint[first].title,
                summary=joint[first].summary,
                estimated_minutes=max(joint[first].estimated_minutes, lessons[number].estimated_minutes),
            )
    kept: list[Module] = []
    numbers = iter(range(len(lessons)))
    for module in modules:
        own = [number for _, number in zip(module.lessons, numbers, strict=False)]
        left = tuple(joint[number] for number in own if firsts[number] == number)
        if left:
            kept.append(msgspec.structs.replace(module, lessons=left))
        else:
            home = _home(firsts[own[0]], modules)
            changes.append(_merged("module", module.title, home))
    return kept


def _home(number: int, modules: list[Module]) -> str:
    """The title of the module that holds the lesson of this number."""
    for module in modules:
        if number < len(module.lessons):
            return module.title
        number -= len(module.lessons)
    raise AssertionError("every lesson stands in a module")


def _content(lesson: Lesson) -> str:
    return " ".join((lesson.title, *(point.text for point, _ in _points_of(lesson))))


def _points_of(lesson: Lesson) -> Iterator[tuple[KeyPoint, str]]:
    """Each point with the title of what holds it, sections included."""
    yield from ((point, lesson.title) for point in lesson.key_points)
    for section in lesson.sections:
        yield from _points_of(section)


def _dropped(element: str, title: Any) -> Change:
    return Change(kind=ChangeKind.DROPPED, element=element, title=titled(title))


def _merged(element: str, title: str, into: str) -> Change:
    return Change(kind=ChangeKind.MERGED, element=element, title=titled(title), into=titled(into))
