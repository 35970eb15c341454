"""Courses made from a source: word for word, the same every time, finer with each level."""

import threading
import time
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aif_ai.extractive.course import make_course
from aif_ai.extractive.provider import structure
from aif_ai.failures import ProviderNotConfigured, SourceTooThin
from aif_ai.requests import StructureKind, StructuringTask
from aif_contracts.documents import SourceDocument
from aif_contracts.structures import Course, Lesson
from support.random_documents import DOCUMENTS
from support.source_documents import beekeeping, from_markdown


def _course(document: SourceDocument, level: int = 3) -> Course:
    return make_course(document, level=level, audience="beginners", made_by="local_extractive", checkpoint=lambda: None)


def _all_lessons(lessons: tuple[Lesson, ...]) -> Iterator[Lesson]:
    for lesson in lessons:
        yield lesson
        yield from _all_lessons(lesson.sections)


def _lessons(course: Course) -> list[Lesson]:
    return [lesson for module in course.modules for lesson in _all_lessons(module.lessons)]


@settings(max_examples=150, deadline=None)
@given(document=DOCUMENTS, level=st.integers(1, 5))
def test_every_span_is_word_for_word_and_the_structure_keeps_its_contract(document: SourceDocument, level: int) -> None:
    try:
        course = _course(document, level)
    except SourceTooThin:
        return

    for lesson in _lessons(course):
        assert lesson.source is not None
        assert lesson.summary in document.text[lesson.source.start : lesson.source.end]
        for point in lesson.key_points:
            assert point.source is not None
            assert document.text[point.source.start : point.source.end] == point.text
    for module in course.modules:
        assert module.summary in document.text
    assert msgspec.json.decode(msgspec.json.encode(course), type=Course) == course
    assert _course(document, level) == course


def test_the_headings_of_a_guide_become_its_modules_and_lessons() -> None:
    course = _course(beekeeping())

    assert course.title == "Keeping bees: a first year"
    outline = [(module.title, [lesson.title for lesson in module.lessons]) for module in course.modules]
    assert outline[:4] == [
        ("The colony and its members", ["The colony and its members", "The queen", "The workers", "The drones"]),
        ("The hive", ["The hive", "Parts from bottom to top", "Choosing a type"]),
        ("Preparing in winter", ["Learning and legal duties", "The site", "Equipment"]),
        ("Spring: the bees arrive", ["Nucleus or swarm", "Feeding", "The first inspections"]),
    ]
    queen = course.modules[0].lessons[1]
    assert queen.summary.startswith("The queen is the only fertile female in the colony.")
    assert queen.terms == ("queen",)


def test_terms_are_those_that_the_source_defines() -> None:
    lessons = {lesson.title: lesson for lesson in _lessons(_course(beekeeping()))}

    assert lessons["How honey is made"].terms == ("nectar", "Invertase")
    assert lessons["The site"].terms == ("apiary",)
    assert lessons["How honey is made"].objectives[0] == "Explain how honey is made."


def test_each_level_is_at_least_as_fine_as_the_one_before() -> None:
    counts = [len(_lessons(_course(beekeeping(), level))) for level in (1, 2, 3, 4, 5)]

    assert counts == sorted(counts)
    assert counts[0] < counts[2] < counts[4]


def test_a_text_without_headings_is_cut_into_balanced_modules() -> None:
    source = beekeeping()
    prose = from_markdown(
        "\n\n".join(source.text[b.start : b.end] for b in source.blocks if b.kind == "paragraph"), title="Bees"
    )

    course = _course(prose)

    minutes = [sum(lesson.estimated_minutes for lesson in module.lessons) for module in course.modules]
    assert course.title == "Bees"
    assert 3 <= len(course.modules) <= 8
    assert max(minutes) <= 3 * min(minutes)
    assert len({module.title for module in course.modules}) == len(course.modules)


def test_one_paragraph_makes_one_module_with_one_lesson() -> None:
    course = _course(from_markdown("Wax is a fat that bees sweat. It melts at 62 degrees.", title="Wax"))

    assert [(m.title, [e.title for e in m.lessons]) for m in course.modules] == [("Wax", ["Wax"])]


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        ("- use the two screws of the kit on the left", "use the two screws of the kit on the left."),
        ("He said that it is the queen of the hive: “It is.”", "He said that it is the queen of the hive: “It is.”"),
    ],
)
def test_the_study_time_follows_a_description_that_has_ended(text: str, opening: str) -> None:
    assert _course(from_markdown(text)).description == f"{opening} Study time at 130 words a minute."


def test_a_text_in_japanese_is_structured_in_its_own_words() -> None:
    bees = "蜜蜂は花の蜜を集める昆虫である。女王蜂は一日に約1500個の卵を産む。働き蜂は巣を守る。"
    text = f"## 蜂\n\n{bees}\n\n## 巣箱\n\n巣箱は木で作られる。巣箱の中には十枚の枠がある。"

    course = _course(from_markdown(text, title="養蜂"))

    assert [module.title for module in course.modules] == ["蜂", "巣箱"]
    assert course.modules[0].lessons[0].objectives == ()
    assert "Study time" not in course.description


def test_headings_alone_are_refused() -> None:
    with pytest.raises(SourceTooThin, match="only headings"):
        _course(from_markdown("# One\n\n## Two\n\n## Three"))


@pytest.mark.parametrize("kind", list(StructureKind))
def test_a_topic_without_a_source_is_refused_with_what_to_configure(kind: StructureKind) -> None:
    task = StructuringTask(kind=kind, target_audience="all", topic="Beekeeping")

    with pytest.raises(ProviderNotConfigured) as refused:
        structure(task, threading.Event())

    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AIF_OPENAI_BASE_URL", "source"):
        assert name in refused.value.message


def test_an_empty_source_is_refused() -> None:
    task = StructuringTask(kind=StructureKind.COURSE, target_audience="all", source=from_markdown("", title="Nothing"))

    with pytest.raises(SourceTooThin, match="empty"):
        structure(task, threading.Event())


def test_a_hundred_thousand_words_take_a_few_seconds() -> None:
    body = beekeeping().text
    chapters = "\n\n".join(f"## Chapter of the year {n}\n\n{body}" for n in range(28))
    document = from_markdown(chapters, title="A library of bees")
    assert len(document.text.split()) > 100_000

    began = time.process_time()
    _course(document, 5)

    assert time.process_time() - began < 8
