"""Research without a model: outline, points and summary, all word for word, of whatever document comes."""

import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aif_ai.extractive.research import make_research
from aif_ai.failures import SourceTooThin
from aif_contracts.documents import SourceDocument
from aif_contracts.research import Research
from support.random_documents import DOCUMENTS
from support.source_documents import SAMPLES, from_markdown


def research(document: SourceDocument, topic: str | None = None) -> Research:
    return make_research(document, topic=topic, made_by="local", checkpoint=lambda: None)


@given(document=DOCUMENTS, topic=st.none() | st.text(min_size=1, max_size=30))
@settings(max_examples=150, deadline=None)
def test_every_point_and_summary_is_word_for_word_and_the_findings_keep_their_contract(
    document: SourceDocument, topic: str | None
) -> None:
    try:
        found = research(document, topic)
    except SourceTooThin:
        return

    points = [*found.key_points, *(point for subtopic in found.subtopics for point in subtopic.key_points)]
    assert all(point.source and document.text[point.source.start : point.source.end] == point.text for point in points)
    assert all(subtopic.summary in document.text for subtopic in found.subtopics)
    assert found.research_summary == " ".join(document.text[span.start : span.end] for span in found.summary_source)
    assert len({point.text for point in found.key_points}) == len(found.key_points) <= 30
    assert msgspec.json.decode(msgspec.json.encode(found), type=Research) == found == research(document, topic)


def test_every_subtopic_has_its_say_among_the_key_points() -> None:
    document = from_markdown((SAMPLES / "beekeeping.md").read_text())

    found = research(document)

    for subtopic in found.subtopics:
        assert {point.text for point in subtopic.key_points} & {point.text for point in found.key_points}, subtopic.title


def test_a_document_without_headings_is_divided_by_what_it_speaks_of() -> None:
    bees = "A hive holds one colony. The queen of a colony lays eggs. Workers of the colony feed the brood in the hive. "
    bread = "Sourdough is a dough with wild yeast. The dough rises slowly. A baker folds the dough and bakes the bread. "

    found = research(from_markdown((bees * 12 + "\n\n") * 4 + (bread * 12 + "\n\n") * 4))

    assert len(found.subtopics) >= 2
    assert "colony" in found.subtopics[0].summary
    assert "dough" in found.subtopics[-1].summary


def test_a_document_of_headings_alone_is_too_thin() -> None:
    with pytest.raises(SourceTooThin, match="no sentences"):
        research(from_markdown("# Only\n\n## Headings"))


def test_a_hundred_thousand_words_take_a_few_seconds() -> None:
    text = (SAMPLES / "beekeeping.md").read_text()
    document = from_markdown("\n\n".join(text.replace("# ", f"# {n} ") for n in range(28)))
    assert len(document.text.split()) > 95_000

    began = time.process_time()
    found = research(document)

    assert time.process_time() - began < 10
    assert len(found.subtopics) == 28
