"""The action `optimize_large_structure`: a structure in, the same structure smaller and tidier out, with what was changed.

No model and no source is asked, so it costs nothing: what is empty goes, what is said twice is said once, small neighbours are
joined until the wanted size is reached, overlong modules are cut evenly. Every point keeps its span; a quiz that is still too
long is thinned out. The number of elements never rises.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from aif_contracts.structures import Change, Course, Quiz
from aif_granulator.elements import element_count
from aif_granulator.joining import cuts_wanted, shrunk, split_evenly
from aif_granulator.quality import measure
from aif_granulator.tidying import (
    fewer_questions,
    without_broken_questions,
    without_empty_modules,
    without_repeated_questions,
    without_repetitions,
)
from aif_runtime.assignment import Assignment, Outcome, WorkFailure
from aif_runtime.cpu_meter import run_in_thread

_LARGE = 100


class _Options(Struct, frozen=True, kw_only=True, rename="camel"):
    max_elements: Annotated[int, Meta(ge=1, le=10_000)] = _LARGE


async def optimize_large_structure(assignment: Assignment) -> Outcome:
    """The input is a course or a quiz itself, or holds one under `structure`, beside `maxElements`."""
    fields, options = _read(assignment.input)
    await assignment.progress(10, "looking for what is empty, repeated or too small")
    structure, before = await run_in_thread(_optimized, fields, options.max_elements)
    # What a quiz was asked for is not known any more; its questions are whole when they are sound.
    quality = await run_in_thread(measure, structure, element_count(structure), None)
    return Outcome(
        output=structure,
        quality_score=quality.score,
        element_count=element_count(structure),
        summary=_summary(structure, before),
    )


def _read(fields: Mapping[str, Any]) -> tuple[dict[str, Any], _Options]:
    structure = fields.get("structure", fields)
    if not isinstance(structure, Mapping) or structure.get("structure_type") not in ("course", "quiz"):
        kind = structure.get("structure_type") if isinstance(structure, Mapping) else None
        raise WorkFailure(
            "invalid_input",
            f"structure is no course and no quiz (its structure_type is {kind!r}): "
            "hand over the whole output of a stage that makes one",
            retryable=False,
        )
    try:
        options = msgspec.convert({k: v for k, v in fields.items() if v is not None}, _Options)
    except msgspec.ValidationError as wrong:
        raise WorkFailure("invalid_input", f"the stage's input does not fit: {wrong}", retryable=False) from wrong
    return dict(structure), options


def _optimized(fields: dict[str, Any], most: int) -> tuple[Course | Quiz, int]:
    """The structure, and how many elements it had."""
    changes: list[Change] = []
    before = _count(fields)
    is_quiz = fields["structure_type"] == "quiz"
    listed, prune = ("questions", without_broken_questions) if is_quiz else ("modules", without_empty_modules)
    if isinstance(fields.get(listed), list):
        fields[listed] = prune(fields[listed], changes)
    structure: Course | Quiz = _converted(fields, Quiz if is_quiz else Course)
    if isinstance(structure, Quiz):
        tidy: Course | Quiz = fewer_questions(without_repeated_questions(structure, changes), most, changes)
    else:
        tidy = _smaller(without_repetitions(structure, changes), before, most, changes)
    return msgspec.structs.replace(tidy, changes=(*structure.changes, *changes)), before


def _converted(fields: dict[str, Any], kind: type[Course] | type[Quiz]) -> Course | Quiz:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as wrong:
        raise WorkFailure("invalid_input", f"the structure does not fit: {wrong}", retryable=False) from wrong


def _smaller(course: Course, before: int, most: int, changes: list[Change]) -> Course:
    course = shrunk(course, most, changes)
    if before > most:
        # Cutting modules adds elements, so room is made for that first.
        course = shrunk(course, most - cuts_wanted(course), changes)
    course = split_evenly(course, min(most, before) - element_count(course), changes)
    minutes = sum(lesson.estimated_minutes for module in course.modules for lesson in module.lessons)
    return msgspec.structs.replace(course, estimated_minutes=minutes)


def _count(fields: Any) -> int:
    """Elements of a structure as plain JSON, empty ones included."""
    inner = [item for name in ("modules", "lessons", "sections", "questions") for item in _listed(fields, name)]
    return sum(1 + _count(item) for item in inner)


def _listed(fields: Any, name: str) -> list[Any]:
    found = fields.get(name) if isinstance(fields, dict) else None
    return found if isinstance(found, list) else []


def _summary(structure: Course | Quiz, before: int) -> str:
    done = Counter(change.kind.value for change in structure.changes)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(done.items())) or "nothing to change"
    return f"{element_count(structure)} elements of {before}: {told}"
