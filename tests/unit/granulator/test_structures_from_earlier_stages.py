"""A quiz out of a course, a course out of findings: made of their words, proved by the source they came from."""

from typing import Any

import msgspec
import pytest

from aif_ai.extractive.research import make_research
from aif_contracts.documents import SourceDocument, Span
from aif_contracts.research import Research
from aif_contracts.structures import Course, Quiz
from aif_granulator.elements import key_points_of
from aif_runtime.assignment import WorkFailure
from support.granulator_rig import GranulatorRig
from support.source_documents import beekeeping, from_markdown


async def test_a_course_becomes_a_quiz_about_its_lessons() -> None:
    rig = GranulatorRig()
    course = await _course(rig)

    outcome = await rig.run("structure_quiz", course=_plain(course), questionCount=8, targetAudience="gardeners")

    quiz = outcome.output
    assert isinstance(quiz, Quiz)
    lessons = {(module.title, lesson.title) for module in course.modules for lesson in module.lessons}
    assert len(quiz.questions) == 8
    assert {(question.module, question.lesson) for question in quiz.questions} <= lessons
    assert len({question.module for question in quiz.questions}) >= 5
    assert (quiz.title, quiz.made_by) == (course.title, "local_extractive")
    assert all(question.explanation.startswith("The course says: “") for question in quiz.questions)
    assert outcome.quality_score is not None
    assert outcome.quality_score > 0.8


async def test_a_question_keeps_the_place_in_the_source_that_proves_it() -> None:
    rig, document = GranulatorRig(), beekeeping()
    course = await _course(rig)

    quiz = (await rig.run("structure_quiz", course=_plain(course), questionCount=20)).output

    proved = [question for question in quiz.questions if question.source is not None]
    assert len(proved) >= 10
    assert all(_said(document, question.source) == _quoted(question.explanation) for question in proved)


async def test_with_the_source_at_hand_every_question_is_proved_by_it() -> None:
    rig, document = GranulatorRig(), beekeeping()
    source = await rig.stored(document)
    course = await _course(rig)

    quiz = (await rig.run("structure_quiz", course=_plain(course), source=source, questionCount=20, validationLevel=3)).output

    assert all(_said(document, question.source) == _quoted(question.explanation) for question in quiz.questions)


async def test_nothing_is_asked_that_the_course_does_not_teach() -> None:
    rig = GranulatorRig()
    course = await _course(rig)
    first = msgspec.structs.replace(course, modules=course.modules[:1])

    quiz = (await rig.run("structure_quiz", course=_plain(first), source=await rig.stored(beekeeping()))).output

    assert {question.module for question in quiz.questions} == {"The colony and its members"}


async def test_a_course_handed_over_as_the_whole_input_is_taken_as_such() -> None:
    rig = GranulatorRig()
    course = await _course(rig)

    named = await rig.run("structure_quiz", course=_plain(course))
    whole = await rig.run("structure_quiz", **_plain(course))

    assert whole.output == named.output


async def test_a_course_that_a_model_worded_still_leads_back_to_the_quotes_behind_it() -> None:
    rig = GranulatorRig()
    course = _plain(await _course(rig))
    worded = course["modules"][0]["lessons"][1]
    worded["summary"], worded["sections"] = "What she does.", []
    worded["key_points"] = [
        {
            "text": f"Point {n}: a frame holds {n} kilograms of honey when it is full and capped.",
            "source": {"start": n, "end": n + 40},
        }
        for n in range(3, 9)
    ]
    course["modules"] = [{**course["modules"][0], "summary": "What they do.", "lessons": [worded]}]

    quiz = (await rig.run("structure_quiz", course=course)).output

    assert quiz.questions
    assert all(q.source is not None and q.source.end - q.source.start == 40 for q in quiz.questions)
    assert {q.lesson for q in quiz.questions} == {worded["title"]}


async def test_findings_alone_become_a_course_with_a_module_for_each_subtopic() -> None:
    rig, document = GranulatorRig(), beekeeping()
    research = _research(document)

    outcome = await rig.run("structure_course", context=_plain(research))

    course = outcome.output
    assert isinstance(course, Course)
    assert course.title == "Keeping bees: a first year"
    assert [module.title for module in course.modules] == [subtopic.title for subtopic in research.subtopics]
    proved = [point for point in key_points_of(course) if point.source is not None]
    assert len(proved) >= 0.8 * len(list(key_points_of(course)))
    assert all(_said(document, point.source) == point.text for point in proved)


async def test_a_summary_as_topic_and_points_as_context_are_enough() -> None:
    rig, document = GranulatorRig(), beekeeping()
    research = _research(document)

    course = (await rig.run("structure_course", topic=research.research_summary, context=_plain(research)["key_points"])).output

    assert list(key_points_of(course))
    assert all(_said(document, point.source) == point.text for point in key_points_of(course))


async def test_a_source_goes_before_findings_about_it() -> None:
    rig = GranulatorRig()
    source = await rig.stored(beekeeping())

    alone = await rig.run("structure_course", source=source)
    both = await rig.run("structure_course", source=source, context=_plain(_research(beekeeping())))

    assert both.output == alone.output


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"course": {"title": "Bees"}}, "$.course"),
        ({"course": []}, "$.course"),
        ({"context": [{"source": None}]}, "$.context"),
        ({"context": 5}, "$.context"),
        ({"context": []}, "neither topic nor source"),
        ({"structure_type": "course", "title": "Bees"}, "$.course"),
    ],
)
async def test_a_broken_structure_of_an_earlier_stage_is_named(fields: dict[str, Any], complaint: str) -> None:
    rig = GranulatorRig()

    with pytest.raises(WorkFailure) as refused:
        await rig.run("structure_quiz", **fields)

    assert refused.value.code == "invalid_input"
    assert complaint in refused.value.message


async def test_a_course_without_facts_is_refused_in_the_words_of_a_course() -> None:
    rig = GranulatorRig()
    lesson = {"title": "Nothing", "summary": "Nothing.", "key_points": [{"text": "Nothing at all."}]}
    course = {
        "title": "Empty",
        "description": "Nothing in it.",
        "target_audience": "nobody",
        "granularity_level": 1,
        "estimated_minutes": 1,
        "modules": [{"title": "Nothing", "summary": "Nothing.", "lessons": [lesson]}],
    }

    with pytest.raises(WorkFailure, match="the course has too few facts") as refused:
        await rig.run("structure_quiz", course=course)

    assert refused.value.code == "source_too_thin"


async def test_a_text_that_is_said_in_two_lessons_is_asked_for_once() -> None:
    rig = GranulatorRig()
    weights = {"small": 11, "middle": 22, "large": 33, "double": 44, "upper": 55, "lower": 66}
    text = "\n\n".join(f"The {name} box weighs about {kilograms} kilograms in summer." for name, kilograms in weights.items())
    course = _plain((await rig.run("structure_course", source=await rig.stored(from_markdown(f"# Frames\n\n{text}")))).output)
    module = course["modules"][0]
    course["modules"] = [module, {**module, "title": "The same again"}]

    quiz = (await rig.run("structure_quiz", course=course, questionCount=50)).output

    asked = [_quoted(question.explanation) for question in quiz.questions]
    assert len(set(asked)) == len(asked)


async def _course(rig: GranulatorRig) -> Course:
    course = (await rig.run("structure_course", source=await rig.stored(beekeeping()), granularityLevel=5)).output
    assert isinstance(course, Course)
    return course


def _research(document: SourceDocument) -> Research:
    return make_research(document, topic=None, made_by="local_extractive", checkpoint=lambda: None)


def _plain(structure: Course | Research) -> Any:
    """As the next stage gets it."""
    return msgspec.json.decode(msgspec.json.encode(structure))


def _said(document: SourceDocument, span: Span | None) -> str:
    assert span is not None
    return document.text[span.start : span.end]


def _quoted(explanation: str) -> str:
    return explanation.split("“", 1)[1].removesuffix("”")
