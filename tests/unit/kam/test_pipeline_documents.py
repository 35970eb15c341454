"""The body of an uploaded pipeline: text of a known kind and size, or a refusal that names what to mend."""

import pytest

from aif_kam.failures import BodyTooLarge, KamFailure, MalformedBody, UnsupportedBody
from aif_kam.pipeline_documents import document_text


@pytest.mark.parametrize("kind", ["application/json", "application/yaml", "text/yaml", "Application/JSON; charset=utf-8"])
def test_a_document_is_taken_as_it_is(kind: str) -> None:
    assert document_text(b'{"name": "bees"}', kind) == '{"name": "bees"}'


def test_the_mark_at_the_beginning_of_a_utf_8_file_is_no_part_of_it() -> None:
    assert document_text(b"\xef\xbb\xbfname: bees", "text/yaml") == "name: bees"


def test_line_ends_and_tabs_are_text() -> None:
    assert document_text(b"a: 1\r\n# \t\n", "text/yaml") == "a: 1\r\n# \t\n"


@pytest.mark.parametrize(
    ("content", "kind", "failure", "words"),
    [
        (b"a: 1", "text/plain", UnsupportedBody, "text/plain"),
        (b"a: 1", "", UnsupportedBody, "of no media type"),
        (b"a: 1", "application/json", MalformedBody, "no valid JSON"),
        (b"[1]", "application/json", MalformedBody, "no object"),
        (b"[" * 100_000, "application/json", MalformedBody, "nested too deeply"),
        (b"  \n", "text/yaml", MalformedBody, "empty"),
        (b"a: \xff", "text/yaml", MalformedBody, "at byte 3"),
        (b"a: \x07", "text/yaml", MalformedBody, "control character"),
        (b"x" * 262_145, "text/yaml", BodyTooLarge, "256 Ki characters"),
        (b"x" * 524_289, "text/yaml", BodyTooLarge, "512 KiB"),
    ],
)
def test_what_is_no_document_is_refused_with_a_mend(content: bytes, kind: str, failure: type[KamFailure], words: str) -> None:
    with pytest.raises(failure, match=words) as refused:
        document_text(content, kind)

    assert refused.value.mistakes[0].mend
