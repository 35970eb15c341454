"""One schema in each provider's language, and answers judged by the whole of it."""

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, Struct

from aif_ai.answer_check import AnswerCheck
from aif_ai.strict_schema import Dialect, TranslatedSchemas, translate


class Point(Struct, kw_only=True):
    text: Annotated[str, Meta(min_length=3, max_length=10)]
    weight: Annotated[int, Meta(ge=1, le=5)] = 1


class Answer(Struct, kw_only=True):
    points: Annotated[list[Point], Meta(min_length=2)]
    note: str | None = None


SCHEMA = msgspec.json.schema(Answer)


def test_openai_wants_closed_objects_with_every_property_required() -> None:
    translated = translate(SCHEMA, Dialect.OPENAI)

    assert translated["type"] == "object"
    assert translated["required"] == ["points", "note"]
    assert translated["additionalProperties"] is False
    point = translated["$defs"]["Point"]
    assert point["properties"]["weight"] == {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 5}, {"type": "null"}]}
    assert point["properties"]["text"] == {"type": "string"}


def test_anthropic_wants_no_bounds_and_keeps_what_is_optional() -> None:
    translated = translate(SCHEMA, Dialect.ANTHROPIC)

    assert translated["required"] == ["points"]
    assert "minItems" not in translated["properties"]["points"]
    assert translated["$defs"]["Point"]["properties"]["weight"] == {"type": "integer"}
    assert translated["$defs"]["Point"]["additionalProperties"] is False


def test_the_schema_that_was_given_stays_as_it_is() -> None:
    before = msgspec.json.encode(SCHEMA)

    translate(SCHEMA, Dialect.OPENAI)

    assert msgspec.json.encode(SCHEMA) == before


def test_nulls_that_stand_for_absent_properties_are_taken_out() -> None:
    text = '{"points": [{"text": "abc", "weight": null}, {"text": "def", "weight": 2}], "note": null}'

    output, complaints = AnswerCheck().checked_json(text, SCHEMA)

    assert complaints == ()
    assert msgspec.json.decode(output) == {"points": [{"text": "abc"}, {"text": "def", "weight": 2}]}


def test_bounds_that_the_provider_was_not_told_are_checked_all_the_same() -> None:
    _, complaints = AnswerCheck().checked_json('{"points": [{"text": "ab", "weight": 9}, {"text": "def"}]}', SCHEMA)

    assert any(complaint.startswith("points/0/text") for complaint in complaints)
    assert any(complaint.startswith("points/0/weight") for complaint in complaints)


def test_json_in_a_fence_is_read_as_json() -> None:
    output, complaints = AnswerCheck().checked_json('```json\n{"points": [{"text": "abc"}, {"text": "def"}]}\n```', SCHEMA)

    assert complaints == ()
    assert output.startswith(b"{")


def test_an_answer_that_is_no_json_is_said_to_be_none() -> None:
    output, (complaint,) = AnswerCheck().checked_json("Sure! Here is", SCHEMA)

    assert output == b""
    assert "not valid JSON" in complaint


@pytest.mark.parametrize("depth", [300, 800, 3_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"points": ', "}")])
def test_an_answer_nested_too_deeply_is_sent_back_like_any_other(depth: int, opening: str, closing: str) -> None:
    text = opening * depth + "1" + closing * depth

    assert AnswerCheck().checked_json(text, SCHEMA) == (b"", ("the answer is nested too deeply",))


def test_a_translation_is_made_once_and_anew_for_a_schema_that_was_changed() -> None:
    schemas = TranslatedSchemas(Dialect.OPENAI)
    schema: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}

    first, again = schemas.of(schema), schemas.of({**schema})
    schema["properties"]["a"] = {"type": "integer"}
    changed = schemas.of(schema)

    assert again is first
    assert msgspec.json.decode(changed) == {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }


def test_of_many_schemas_the_translations_of_the_last_ones_are_kept() -> None:
    schemas = TranslatedSchemas(Dialect.ANTHROPIC)
    first, second = schemas.of({"description": "0"}), schemas.of({"description": "1"})

    for number in range(2, 65):
        schemas.of({"description": "0"})
        schemas.of({"description": str(number)})

    assert schemas.of({"description": "0"}) is first
    assert schemas.of({"description": "1"}) is not second
