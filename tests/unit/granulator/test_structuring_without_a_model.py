"""The actions with the local provider: an order in, a checked and scored structure out."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings

from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.documents import Block, BlockKind, SourceDocument
from aif_contracts.structures import Course, Quiz
from aif_runtime.assignment import WorkFailure
from support.granulator_rig import GranulatorRig
from support.random_documents import DOCUMENTS
from support.source_documents import beekeeping, from_markdown

SENTENCES = " ".join(f"The bees of hive {name} fly to the old {name} field on each warm day of the month." for name in "abcd")

REPEATING = f"""# Overview

{SENTENCES} The tall hive holds 40,000 bees in spring. The bee tree holds 30,000 bees. The skep holds 20,000 bees.

# The hive

## Exercises

{SENTENCES} THE TALL HIVE HOLDS 40,000 BEES IN SPRING.

## exercises

{SENTENCES} It is. It is! No one. no one!

# Overview

{SENTENCES}

# Safety first!

Safety first.

A veil keeps bees out of the face.

# Said already.

Said already
"""


async def test_a_source_becomes_a_course_with_a_score_and_a_count() -> None:
    rig = GranulatorRig()
    source = await rig.stored(beekeeping())

    outcome = await rig.run("structure_course", source=source, targetAudience="gardeners", granularityLevel=3, topic=None)

    course = outcome.output
    assert isinstance(course, Course)
    assert (course.target_audience, course.made_by, course.structure_type) == ("gardeners", "local_extractive", "course")
    assert (outcome.provider, outcome.model) == ("local_extractive", "extractive-2")
    assert outcome.quality_score is not None
    assert outcome.quality_score > 0.9
    assert outcome.element_count == 10 + 27
    assert outcome.summary == "10 modules, 27 lessons, 80 key points by local_extractive"


async def test_a_source_becomes_a_quiz() -> None:
    rig = GranulatorRig()

    outcome = await rig.run("structure_quiz", source=await rig.stored(beekeeping()), questionCount=8, validationLevel=3)

    assert isinstance(outcome.output, Quiz)
    assert outcome.element_count == 8
    assert outcome.quality_score is not None
    assert outcome.quality_score > 0.8


@settings(max_examples=60, deadline=None)
@given(document=DOCUMENTS)
@example(document=from_markdown(REPEATING))
async def test_what_the_local_provider_makes_keeps_the_rules_whatever_the_source_repeats(document: SourceDocument) -> None:
    rig = GranulatorRig()
    source = await rig.stored(document)

    for action in ("structure_course", "structure_quiz"):
        try:
            await rig.run(action, source=source, granularityLevel=4, validationLevel=3, questionCount=100)
        except WorkFailure as refused:
            if refused.code != "source_too_thin":
                raise


async def test_sections_of_one_name_are_numbered() -> None:
    rig = GranulatorRig()

    course = (await rig.run("structure_course", source=await rig.stored(from_markdown(REPEATING)))).output

    assert isinstance(course, Course)
    assert [(module.title, [lesson.title for lesson in module.lessons]) for module in course.modules] == [
        ("Overview", ["Overview"]),
        ("The hive", ["Exercises", "exercises (2)"]),
        ("Overview (2)", ["Overview (2)"]),
        ("Safety first!", ["Safety first!"]),
    ]
    assert course.modules[-1].lessons[0].summary == "A veil keeps bees out of the face."


async def test_progress_rises_and_the_time_is_broken_down() -> None:
    rig = GranulatorRig()

    await rig.run("structure_course", source=await rig.stored(beekeeping()))

    percents, messages = zip(*rig.assignment.messages, strict=True)
    assert list(percents) == sorted(percents)
    assert messages[:3] == ("reading the source", "structuring the course", "outlining the source")
    assert messages[-1] == "checking the structure"
    assert messages[3].startswith("lesson 1 of ")
    assert (percents[2], percents[-1]) == (15, 88)
    assert set(rig.assignment.seconds) == {"storage", "ai_generation", "validation"}
    assert len(rig.assignment.calls) == 1


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"granularityLevel": 6, "topic": "x"}, "granularityLevel"),
        ({"granularityLevel": "3", "topic": "x"}, "granularityLevel"),
        ({"questionCount": 0, "topic": "x"}, "questionCount"),
        ({"validationLevel": 4, "topic": "x"}, "validationLevel"),
        ({"source": "report.pdf"}, "source"),
        ({"structureType": "novel", "topic": "x"}, "structureType"),
        ({}, "neither topic nor source"),
        ({"topic": " "}, "neither topic nor source"),
    ],
)
async def test_a_field_that_does_not_fit_is_named(fields: dict[str, Any], complaint: str) -> None:
    rig = GranulatorRig()

    with pytest.raises(WorkFailure) as refused:
        await rig.run("structure_course", **fields)

    assert refused.value.code == "invalid_input"
    assert complaint in refused.value.message
    assert not refused.value.retryable


async def test_a_topic_alone_names_what_to_configure() -> None:
    rig = GranulatorRig()

    with pytest.raises(WorkFailure) as refused:
        await rig.run("structure_course", topic="Beekeeping")

    assert refused.value.code == "provider_not_configured"
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AIF_OPENAI_BASE_URL"):
        assert name in refused.value.message


async def test_a_source_without_sentences_is_refused() -> None:
    rig = GranulatorRig()

    with pytest.raises(WorkFailure) as refused:
        await rig.run("structure_course", source=await rig.stored(from_markdown("# Only\n\n## Headings")))

    assert refused.value.code == "source_too_thin"


async def test_a_blob_that_is_no_source_document_is_refused() -> None:
    rig = GranulatorRig()
    ref: BlobRef = await rig.blobs.put("sources/client_1/s1", b'{"title": "no text"}')

    with pytest.raises(WorkFailure) as refused:
        await rig.run("structure_course", source=msgspec.to_builtins(ref))

    assert ref.storage_type is StorageType.INLINE
    assert refused.value.code == "invalid_source"


async def test_a_recording_is_refused_as_one() -> None:
    rig = GranulatorRig()
    ref = await rig.blobs.put("sources/client_1/s1", b"RIFF\x24\x00\x00\x00WAVEfmt ", media_type="audio/wav")

    with pytest.raises(WorkFailure, match=r"source is a recording \(audio/wav\), and this stage works on documents") as refused:
        await rig.run("structure_course", source=msgspec.to_builtins(ref))

    assert refused.value.code == "invalid_source"


async def test_blocks_that_leave_the_text_are_refused() -> None:
    rig = GranulatorRig()
    block = Block(kind=BlockKind.PARAGRAPH, start=0, end=99)
    broken = SourceDocument(title="t", text="Short text.", blocks=(block,), media_type="text/plain")

    with pytest.raises(WorkFailure, match=r"blocks\[0\]") as refused:
        await rig.run("structure_course", source=await rig.stored(broken))

    assert refused.value.code == "invalid_source"


def test_without_a_model_the_worker_is_free_and_says_what_it_can() -> None:
    spec = GranulatorRig().spec

    assert spec.worker_name == "content_granulator"
    assert (spec.capabilities, spec.models) == (("structuring",), ())
    assert {name: action.paid for name, action in spec.actions.items()} == {"structure_course": False, "structure_quiz": False}
