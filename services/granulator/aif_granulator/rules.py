"""What a structure must keep beyond its schema. Each complaint is worded so that a model can mend it.

Level 2 asks that the structure makes sense in itself, level 3 that the source proves it.
"""

from collections.abc import Iterator

from aif_ai.extractive.words import plain
from aif_contracts.documents import SourceDocument
from aif_contracts.structures import Course, Quiz
from aif_granulator.elements import cited_spans, lessons_of
from aif_granulator.granulation_order import GranulationOrder

_MOST_COMPLAINTS = 8
_GROUNDED_SHARE = 0.8
"""Of a course's key points. A quiz must prove every key."""


def complaints(structure: Course | Quiz, order: GranulationOrder, source: SourceDocument | None) -> tuple[str, ...]:
    """At most eight, the structure's own first; empty when the order's validation level is kept."""
    found: list[str] = []
    if order.effective_level >= 2:
        found.extend(_course_rules(structure) if isinstance(structure, Course) else _quiz_rules(structure, order))
    if order.effective_level >= 3 and source is not None:
        found.extend(_unproved(structure, source))
    return tuple(found[:_MOST_COMPLAINTS])


def _course_rules(course: Course) -> Iterator[str]:
    yield from _repeated("module title", [module.title for module in course.modules])
    for module in course.modules:
        yield from _repeated(f"lesson title in module {module.title!r}", [lesson.title for lesson in module.lessons])
    for lesson in lessons_of(course):
        yield from _repeated(f"key point in lesson {lesson.title!r}", [point.text for point in lesson.key_points])
        if plain(lesson.summary) == plain(lesson.title):
            yield f"the summary of lesson {lesson.title!r} only repeats its title"


def _quiz_rules(quiz: Quiz, order: GranulationOrder) -> Iterator[str]:
    if len(quiz.questions) > order.question_count:
        yield f"there are {len(quiz.questions)} questions, {order.question_count} were asked for"
    yield from _repeated("question", [question.question for question in quiz.questions])
    for number, question in enumerate(quiz.questions, 1):
        if question.answer_index >= len(question.options):
            yield f"question {number}: answer_index {question.answer_index} points past its {len(question.options)} options"
        yield from _repeated(f"option of question {number}", list(question.options))


def _unproved(structure: Course | Quiz, source: SourceDocument) -> Iterator[str]:
    spans = cited_spans(structure)
    if any(span is not None and not 0 <= span.start < span.end <= len(source.text) for span in spans):
        yield "a span lies outside the source"
    missing = [number for number, span in enumerate(spans, 1) if span is None]
    wanted = 1.0 if isinstance(structure, Quiz) else _GROUNDED_SHARE
    if len(spans) - len(missing) < wanted * len(spans):
        what = "questions" if isinstance(structure, Quiz) else "key points"
        yield (
            f"{len(missing)} of {len(spans)} {what} have a quote that is not in the source (the first: number {missing[0]}); "
            "copy each quote from the source character for character, at least 12 characters long"
        )


def _repeated(what: str, texts: list[str]) -> Iterator[str]:
    seen: set[str] = set()
    for text in texts:
        if plain(text) in seen:
            yield f"{what} occurs twice: {text[:80]!r}"
        seen.add(plain(text))
