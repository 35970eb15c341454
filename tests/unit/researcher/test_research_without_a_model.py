"""Research with the local provider: what the source says, word for word, and nothing else."""

from typing import Any

import pytest

from aif_contracts.documents import Block, BlockKind, SourceDocument
from aif_contracts.research import OriginKind, Research
from aif_researcher.rules import all_points
from aif_runtime.assignment import WorkFailure
from support.researcher_rig import ResearcherRig
from support.source_documents import beekeeping, from_markdown


async def test_a_source_becomes_an_outline_with_points_and_a_summary() -> None:
    rig = ResearcherRig()

    outcome = await rig.run(source=await rig.stored(beekeeping()), topic=None)

    research = outcome.output
    assert isinstance(research, Research)
    assert (research.topic, research.made_by) == ("Keeping bees: a first year", "local_extractive")
    assert [subtopic.title for subtopic in research.subtopics][:3] == [
        "The colony and its members",
        "The hive",
        "Preparing in winter",
    ]
    assert research.research_summary.startswith("A honey bee colony is a single family that lives, works and reproduces")
    assert len(research.research_summary) <= 2_000
    assert outcome.summary == "23 key points, 10 subtopics by local_extractive"
    assert (outcome.element_count, outcome.provider) == (33, "local_extractive")
    assert outcome.quality_score == 1.0


async def test_parts_of_one_name_are_numbered_and_no_point_is_said_twice() -> None:
    rig = ResearcherRig()
    source = from_markdown("# Overview\n\nWear gloves at the hive, always.\n\n# overview\n\nWEAR GLOVES AT THE HIVE, ALWAYS!")

    research = (await rig.run(source=await rig.stored(source))).output

    assert isinstance(research, Research)
    assert [subtopic.title for subtopic in research.subtopics] == ["Overview", "overview (2)"]
    assert [point.text for point in research.key_points] == ["Wear gloves at the hive, always."]


async def test_everything_stands_in_the_source_word_for_word() -> None:
    rig, document = ResearcherRig(), beekeeping()

    research = (await rig.run(source=await rig.stored(document), validationLevel=3)).output

    points = list(all_points(research))
    assert len(points) > 50
    assert all(point.source and document.text[point.source.start : point.source.end] == point.text for point in points)
    said = " ".join(document.text[span.start : span.end] for span in research.summary_source)
    assert said == research.research_summary
    assert [(origin.kind, origin.words) for origin in research.sources] == [(OriginKind.DOCUMENT, 3588)]


async def test_the_same_source_gives_the_same_research_at_no_cost() -> None:
    rig = ResearcherRig()
    source = await rig.stored(beekeeping())

    first = await rig.run(source=source)
    second = await rig.run(source=source)

    assert first == second
    [call] = rig.assignment.calls
    assert (call.provider, call.cost_usd, call.tokens.total_tokens) == ("local_extractive", "0", 0)


async def test_a_topic_brings_forward_what_the_source_says_about_it() -> None:
    rig = ResearcherRig()
    source = await rig.stored(beekeeping())

    plain = (await rig.run(source=source)).output
    asked = (await rig.run(source=source, topic="Varroa mites and their treatment")).output

    def about_mites(research: Research) -> int:
        return sum("mite" in point.text.lower() or "varroa" in point.text.lower() for point in research.key_points)

    assert asked.topic == "Varroa mites and their treatment"
    assert about_mites(asked) > about_mites(plain)


async def test_a_topic_alone_is_refused_and_names_what_to_configure() -> None:
    rig = ResearcherRig()

    with pytest.raises(WorkFailure) as refused:
        await rig.run(topic="Beekeeping")

    assert (refused.value.code, refused.value.retryable) == ("provider_not_configured", False)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AIF_OPENAI_BASE_URL", "source"):
        assert name in refused.value.message


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "neither topic nor source"),
        ({"topic": "  "}, "neither topic nor source"),
        ({"topic": ""}, "topic"),
        ({"source": "report.pdf"}, "source"),
        ({"topic": "x", "validationLevel": 4}, "validationLevel"),
    ],
)
async def test_a_field_that_does_not_fit_is_named(fields: dict[str, Any], complaint: str) -> None:
    rig = ResearcherRig()

    with pytest.raises(WorkFailure) as refused:
        await rig.run(**fields)

    assert refused.value.code == "invalid_input"
    assert complaint in refused.value.message


async def test_a_source_without_sentences_is_refused() -> None:
    rig = ResearcherRig()

    with pytest.raises(WorkFailure) as refused:
        await rig.run(source=await rig.stored(from_markdown("# Only\n\n## Headings")))

    assert refused.value.code == "source_too_thin"


async def test_a_source_that_is_mostly_code_gives_poor_research() -> None:
    rig = ResearcherRig()
    said = "A listing follows that explains itself. Read it before you go on with the next part."
    text = f"{said}\n\n" + "call(argument) + call(other) ;\n" * 400
    blocks = (
        Block(kind=BlockKind.PARAGRAPH, start=0, end=len(said)),
        Block(kind=BlockKind.CODE, start=len(said) + 2, end=len(text)),
    )
    source = SourceDocument(title="Listing", text=text, blocks=blocks, media_type="text/plain")

    outcome = await rig.run(source=await rig.stored(source))

    assert outcome.quality_score is not None
    assert outcome.quality_score < 0.7


def test_without_a_model_the_worker_is_free_and_says_what_it_can() -> None:
    spec = ResearcherRig().spec

    assert (spec.worker_name, spec.capabilities, spec.models) == ("topic_researcher", ("research",), ())
    assert {name: action.paid for name, action in spec.actions.items()} == {"research_topic": False}
