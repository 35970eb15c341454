"""Whoever waits for a structure from a long source is told how the work comes on."""

import threading

import pytest

from aif_ai.extractive.course import make_course
from aif_ai.extractive.provider import structure
from aif_ai.local_structuring import LocalStructuring
from aif_ai.provider import ModelCall
from aif_ai.requests import CallTrace, Capability, StructureKind, StructuringTask
from support.listeners import Notes
from support.source_documents import beekeeping


@pytest.mark.parametrize("kind", [StructureKind.COURSE, StructureKind.QUIZ, StructureKind.RESEARCH])
def test_the_share_rises_from_none_to_nearly_all(kind: StructureKind) -> None:
    told: list[tuple[float, str]] = []
    task = StructuringTask(kind=kind, target_audience="beginners", source=beekeeping())

    structure(task, threading.Event(), lambda share, doing: told.append((share, doing)))

    shares = [share for share, _ in told]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert 0.8 < shares[-1] < 1
    assert len({doing for _, doing in told}) == len(told) >= 5


def test_a_course_tells_of_every_lesson_before_it_is_made() -> None:
    told: list[str] = []

    course = make_course(
        beekeeping(),
        level=3,
        audience="beginners",
        made_by="local",
        checkpoint=lambda: None,
        tell=lambda _, doing: told.append(doing),
    )

    titles = [lesson.title for module in course.modules for lesson in module.lessons]
    assert told[1:] == [f"lesson {number} of {len(titles)}: {title}" for number, title in enumerate(titles, 1)]


async def test_the_listener_of_the_call_hears_of_it() -> None:
    notes = Notes()
    task = StructuringTask(kind=StructureKind.COURSE, target_audience="beginners", source=beekeeping())
    call = ModelCall(call_key="k", model="local", capability=Capability.STRUCTURING, input=task)

    await LocalStructuring().answer(call, CallTrace(), notes)

    assert len(notes.shares) >= 5
    assert notes.shares == sorted(notes.shares)
