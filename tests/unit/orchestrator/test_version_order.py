"""The order of versions, and what a search looks into."""

import random

import msgspec
import pytest

from aif_orchestrator.engine.versions import version_rank
from aif_orchestrator.pages import MOST_BYTES, fitting
from aif_orchestrator.store.searched import search_pattern, searched_text
from support.execution_story import Story, pipeline, schema_of, stage

ASCENDING = [
    "0.1.0",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.0+build.7",
    "1.0.10",
    "1.2.0",
    "1.10.0",
    "10.0.0-x-y-z.4",
    "10.0.0",
]


def test_versions_are_ordered_as_their_standard_says() -> None:
    shuffled = list(ASCENDING)
    random.Random(7).shuffle(shuffled)

    assert sorted(shuffled, key=version_rank) == ASCENDING


def test_a_search_finds_the_id_the_template_and_short_texts_before_long_ones() -> None:
    definition = pipeline(stage("only"), name="tea_line", parameters=schema_of("source", "topic"))
    story = Story(definition, parameters={"source": "S" * 9_000, "topic": "Green Tea", "more": {"of": ["Oolong", 7]}})

    text = searched_text(story.execution)

    assert text.startswith("exec_1\ntea_line\noolong\ngreen tea\nsss")
    assert len(text) == 500


def test_a_search_looks_four_levels_deep_and_no_deeper() -> None:
    of_four = {"one": {"two": [{"four": "found"}, ["found too"], {"four": {"five": "hidden"}}]}}
    story = Story(pipeline(stage("only"), name="tea_line", parameters=schema_of("one")), parameters=of_four)

    assert searched_text(story.execution) == "exec_1\ntea_line\nfound\nfound too"


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("Tea", "%tea%"), ("100%", "%100\\%%"), ("a_b", "%a\\_b%"), ("\\", "%\\\\%")],
)
def test_a_search_takes_signs_as_they_are(text: str, pattern: str) -> None:
    assert search_pattern(text) == pattern


class Item(msgspec.Struct, frozen=True):
    text: str


def test_a_page_holds_what_fits_into_a_message_and_one_item_at_least() -> None:
    third, whole = Item("x" * (MOST_BYTES // 3)), Item("x" * (2 * MOST_BYTES))

    assert fitting([third] * 5) == (third,) * 2
    assert fitting([whole, third]) == (whole,)
    assert fitting([third]) == (third,)
    assert fitting([]) == ()
