"""A large structure becomes smaller and tidier: nothing said is lost, nothing is said twice, every change is told."""

from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aif_contracts.structures import Change, ChangeKind, Course, Quiz
from aif_granulator.elements import element_count, key_points_of, lessons_of
from aif_granulator.likeness import first_alike
from aif_granulator.optimizing import optimize_large_structure
from aif_runtime.assignment import Outcome, WorkFailure
from support.granulator_rig import GranulatorRig
from support.recording_assignment import RecordingAssignment
from support.source_documents import beekeeping

WORDS = (
    *("queen", "drone", "worker", "hive", "frame", "comb", "wax", "honey", "nectar"),
    *("pollen", "swarm", "brood", "mite", "smoker", "super", "cluster", "sugar", "winter"),
)


async def test_a_course_comes_down_to_the_wanted_size_with_every_point_proved() -> None:
    document = beekeeping()
    fine = await _fine_course()

    outcome = await _optimized(fine, maxElements=30)

    course = outcome.output
    assert isinstance(course, Course)
    assert (element_count(fine), outcome.element_count, element_count(course)) == (78, 30, 30)
    assert all(
        point.source and document.text[point.source.start : point.source.end] == point.text for point in key_points_of(course)
    )
    assert {point.text for point in key_points_of(course)} == {point.text for point in key_points_of(fine)}
    assert outcome.summary == "30 elements of 78: 34 joined, 37 merged"
    assert (outcome.provider, course.made_by) == (None, "local_extractive")


async def test_a_course_that_is_small_and_tidy_stays_as_it_is() -> None:
    rig = GranulatorRig()
    course = (await rig.run("structure_course", source=await rig.stored(beekeeping()), granularityLevel=2)).output

    outcome = await _optimized(course)

    assert outcome.output == course
    assert outcome.summary == "20 elements of 20: nothing to change"


async def test_the_structure_may_be_the_whole_input() -> None:
    fine = await _fine_course()

    named = await _optimized(fine)
    whole = await _run(_plain(fine))

    assert whole == named


def test_what_is_said_in_almost_the_same_words_is_found() -> None:
    texts = [
        "A worker takes 21 days to develop.",
        "Each worker takes 21 days to develop.",
        "A worker takes 24 days to develop.",
        "A worker does not take 21 days to develop.",
        "Drones are driven out in autumn.",
    ]

    assert first_alike(texts, 0.8) == [0, 0, 2, 3, 4]


async def test_two_points_that_say_the_same_become_the_one_with_a_proof() -> None:
    said = "A worker takes 21 days to develop from the egg."
    lesson = _lesson("Workers", [{"text": said}, {"text": "They clean cells in the first three days."}])
    other = _lesson("Brood", [{"text": said, "source": {"start": 5, "end": 52}}, {"text": "Brood is kept warm by all."}])

    outcome = await _run(_course([_module("Bees", [lesson, other])]))

    assert [(point.text, point.source is not None) for point in key_points_of(outcome.output)] == [
        ("They clean cells in the first three days.", False),
        (said, True),
        ("Brood is kept warm by all.", False),
    ]
    assert outcome.output.changes == (Change(kind=ChangeKind.MERGED, element="key_point", title=said, into="Brood"),)


async def test_two_lessons_of_one_content_become_one() -> None:
    points = [{"text": f"The {word} has a purpose of its own in every hive."} for word in WORDS[:6]]
    course = _course([_module("One", [_lesson("Parts", points)]), _module("Two", [_lesson("Parts", points)])])

    outcome = await _run(course)

    assert [(module.title, len(module.lessons)) for module in outcome.output.modules] == [("One", 1)]
    assert [(change.element, change.title, change.into) for change in outcome.output.changes] == [
        ("lesson", "Parts", "Parts"),
        ("module", "Two", "One"),
    ]
    assert outcome.element_count == 2


async def test_what_is_empty_is_dropped_before_anything_is_counted_against_the_schema() -> None:
    shell = _lesson("Shell", [{"text": " "}], sections=[_lesson("Core", [{"text": "A core holds what matters."}])])
    course = _course([_module("Nothing", []), _module("Something", [_lesson("Void", []), shell])])

    outcome = await _run(course)

    assert [lesson.title for lesson in lessons_of(outcome.output)] == ["Core"]
    assert {(change.kind.value, change.element, change.title) for change in outcome.output.changes} == {
        ("dropped", "module", "Nothing"),
        ("dropped", "lesson", "Void"),
        ("dropped", "lesson", "Shell"),
        ("dropped", "key_point", "(without a title)"),
    }
    assert outcome.element_count == 2


async def test_an_overlong_module_is_cut_into_even_parts_when_there_is_room() -> None:
    lessons = [_lesson(word, [{"text": f"The {word} number {n} stands alone in its box."}]) for n, word in enumerate(WORDS, 1)]
    twins = [
        _lesson(f"{word} again", [{"text": f"The {word} number {n} stands alone in its box."}])
        for n, word in enumerate(WORDS, 1)
    ]

    outcome = await _run(_course([_module("Everything", [*lessons, *twins])]))

    assert [(module.title, len(module.lessons)) for module in outcome.output.modules] == [
        ("Everything (1 of 2)", 9),
        ("Everything (2 of 2)", 9),
    ]
    assert outcome.output.changes[-1] == Change(
        kind=ChangeKind.SPLIT, element="module", title="Everything", into="Everything (1 of 2); Everything (2 of 2)"
    )
    assert outcome.element_count == 20


async def test_a_module_is_not_cut_when_that_would_add_elements() -> None:
    lessons = [_lesson(word, [{"text": f"The {word} number {n} stands alone in its box."}]) for n, word in enumerate(WORDS, 1)]

    outcome = await _run(_course([_module("Everything", lessons)]))

    assert [len(module.lessons) for module in outcome.output.modules] == [18]
    assert outcome.element_count == 19


async def test_a_quiz_asks_nothing_twice_and_nothing_broken() -> None:
    questions = [
        _question("Which box holds the brood of the colony?", ["brood box", "super"], 0),
        _question("Which box does hold the brood of the colony?", ["super", "brood box"], 1),
        _question("Which box holds the brood of the colony?", ["super", "brood box"], 0),
        _question("What points past its options?", ["a", "b"], 5),
        _question("What has one option?", ["a"], 0),
    ]

    outcome = await _run(_quiz(questions))

    assert [q.options[q.answer_index] for q in outcome.output.questions] == ["brood box", "super"]
    assert [(change.kind.value, change.title[:20]) for change in outcome.output.changes] == [
        ("dropped", "What points past its"),
        ("dropped", "What has one option?"),
        ("merged", "Which box does hold "),
    ]


async def test_a_quiz_that_is_too_long_is_thinned_out_evenly() -> None:
    questions = [
        _question(f"What does the {one} do with {other}?", [one, other], 0) for one in WORDS for other in WORDS if one != other
    ]

    outcome = await _run({"structure": _quiz(questions), "maxElements": 10})

    kept = [question.question for question in outcome.output.questions]
    assert len(kept) == 10
    assert kept[0] == questions[0]["question"]
    assert len({question.split()[3] for question in kept}) >= 9


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "no course and no quiz"),
        ({"structure_type": "research"}, "'research'"),
        ({"structure": []}, "no course and no quiz"),
        ({"structure": {"structure_type": "course", "title": "x"}}, "missing required field"),
        ({"structure": {"structure_type": "course", "modules": "x"}}, "the structure does not fit"),
        ({"structure": {"structure_type": "course", "modules": [{"lessons": [5]}]}}, "the structure does not fit"),
        ({"structure": {"structure_type": "quiz", "questions": [5]}}, "the structure does not fit"),
        ({"structure": {"structure_type": "quiz"}, "maxElements": 0}, "maxElements"),
    ],
)
async def test_what_is_no_structure_is_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(WorkFailure) as refused:
        await _run(fields)

    assert (refused.value.code, refused.value.retryable) == ("invalid_input", False)
    assert complaint in refused.value.message


_points = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join), max_size=4)
_lessons = st.recursive(
    st.builds(lambda title, points: _lesson(title, [{"text": p} for p in points]), st.sampled_from(WORDS), _points),
    lambda inner: st.builds(
        lambda title, points, sections: _lesson(title, [{"text": p} for p in points], sections=sections),
        st.sampled_from(WORDS),
        _points,
        st.lists(inner, max_size=4),
    ),
    max_leaves=3,
)
_modules = st.lists(
    st.builds(lambda title, lessons: _module(title, lessons), st.text(min_size=1, max_size=5), st.lists(_lessons, max_size=5)),
    max_size=6,
)


@given(modules=_modules, most=st.integers(1, 40))
@settings(max_examples=100, deadline=None)
async def test_whatever_course_comes_it_never_grows_and_no_point_is_lost(modules: list[Any], most: int) -> None:
    before = sum(1 + _count(module["lessons"]) for module in modules)
    said = {point["text"] for module in modules for point in _all_points(module["lessons"])}
    assume(said)

    outcome = await _run({"structure": _course(modules), "maxElements": most})

    course = outcome.output
    kept = {point.text for point in key_points_of(course)}
    assert outcome.element_count == element_count(course) <= max(2, min(before, most))
    assert msgspec.json.decode(msgspec.json.encode(course), type=Course) == course
    assert kept <= said
    assert all(any(_shared(text, other) >= 0.85 for other in kept) for text in said)


async def _fine_course() -> Course:
    rig = GranulatorRig()
    course = (await rig.run("structure_course", source=await rig.stored(beekeeping()), granularityLevel=5)).output
    assert isinstance(course, Course)
    return course


async def _optimized(structure: Course | Quiz, **options: Any) -> Outcome:
    return await _run({"structure": _plain(structure), **options})


async def _run(fields: dict[str, Any]) -> Outcome:
    return await optimize_large_structure(RecordingAssignment(action="optimize_large_structure", input=fields))


def _plain(structure: Course | Quiz) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(structure))
    return plain


def _course(modules: list[Any]) -> dict[str, Any]:
    return {
        "structure_type": "course",
        "title": "Bees",
        "description": "All about them.",
        "target_audience": "beginners",
        "granularity_level": 3,
        "estimated_minutes": 60,
        "modules": modules,
    }


def _module(title: str, lessons: list[Any]) -> dict[str, Any]:
    return {"title": title, "summary": "What it is about.", "lessons": lessons}


def _lesson(title: str, points: list[Any], sections: list[Any] | None = None) -> dict[str, Any]:
    return {"title": title, "summary": f"About {title}.", "key_points": points, "sections": sections or []}


def _quiz(questions: list[Any]) -> dict[str, Any]:
    return {"structure_type": "quiz", "title": "Bees", "description": "All.", "target_audience": "all", "questions": questions}


def _question(text: str, options: list[str], key: int) -> dict[str, Any]:
    return {"question": text, "options": options, "answer_index": key, "explanation": "It is so."}


def _count(lessons: list[Any]) -> int:
    return sum(1 + _count(lesson["sections"]) for lesson in lessons)


def _all_points(lessons: list[Any]) -> list[Any]:
    return [point for lesson in lessons for point in [*lesson["key_points"], *_all_points(lesson["sections"])]]


def _shared(one: str, other: str) -> float:
    a, b = set(one.split()), set(other.split())
    return len(a & b) / len(a | b)
