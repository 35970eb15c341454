"""What an order says, checked in plain words."""

from typing import Any

import pytest

from aif_pipelines.mistakes import MOST_MISTAKES, Mistake
from aif_pipelines.parameters import check_parameters

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "topic": {"type": "string", "maxLength": 10},
        "granularityLevel": {"type": "integer", "minimum": 1, "maximum": 5, "default": 3},
        "validationEnabled": {"type": "boolean", "default": True},
        "kind": {"enum": ["short", "long"]},
        "structureType": {"const": "course", "default": "course"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2, "uniqueItems": True},
        "source": {
            "type": "object",
            "properties": {"key": {"type": "string"}, "part": {"type": "integer", "default": 1}},
            "required": ["key"],
        },
    },
}


def mistakes_of(values: Any, schema: dict[str, Any] = SCHEMA) -> list[str]:
    return [str(mistake) for mistake in check_parameters(schema, values).mistakes]


def test_defaults_are_filled_in_at_every_level() -> None:
    checked = check_parameters(SCHEMA, {"topic": "Bees", "source": {"key": "k"}})

    assert checked.mistakes == ()
    assert checked.values == {
        "topic": "Bees",
        "granularityLevel": 3,
        "validationEnabled": True,
        "structureType": "course",
        "source": {"key": "k", "part": 1},
    }


def test_what_was_sent_is_not_changed() -> None:
    sent: dict[str, Any] = {"source": {"key": "k"}}

    check_parameters(SCHEMA, sent)

    assert sent == {"source": {"key": "k"}}


def test_a_whole_number_written_with_a_point_is_a_whole_number() -> None:
    level = check_parameters(SCHEMA, {"granularityLevel": 4.0}).values["granularityLevel"]

    assert level == 4
    assert type(level) is int


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"granularityLevel": "four"},
            "parameters.granularityLevel: granularityLevel must be a whole number from 1 to 5; "
            'you sent "four". Send a number without quotes.',
        ),
        (
            {"granularityLevel": 9},
            "parameters.granularityLevel: granularityLevel must be a whole number from 1 to 5; "
            "you sent 9. Send a whole number from 1 to 5.",
        ),
        (
            {"granularityLevel": True},
            "parameters.granularityLevel: granularityLevel must be a whole number from 1 to 5; "
            "you sent true. Send a whole number from 1 to 5.",
        ),
        (
            {"validationEnabled": "yes"},
            'parameters.validationEnabled: validationEnabled must be true or false; you sent "yes". '
            "Send true or false without quotes.",
        ),
        (
            {"topic": 5},
            "parameters.topic: topic must be text of at most 10 characters; you sent 5. Send text in quotes.",
        ),
        (
            {"topic": "Beekeeping!"},
            'parameters.topic: topic must be text of at most 10 characters; you sent "Beekeeping!". Shorten it by 1 character.',
        ),
        (
            {"topik": "Bees"},
            "parameters.topik: topik is not a parameter of this template. Did you mean topic?",
        ),
        (
            {"granularity_level": 3},
            "parameters.granularity_level: granularity_level is not a parameter of this template. "
            "Did you mean granularityLevel?",
        ),
        (
            {"kind": "middle"},
            'parameters.kind: kind must be one of "short", "long"; you sent "middle". Send one of "short", "long".',
        ),
        (
            {"structureType": "quiz"},
            'parameters.structureType: structureType must be exactly "course"; you sent "quiz". Send exactly "course".',
        ),
        ({"source": {}}, "parameters.source.key: key is missing. Give text."),
        (
            {"tags": ["a", 1]},
            "parameters.tags[1]: tags[1] must be text; you sent 1. Send text in quotes.",
        ),
        ({"tags": ["a", "a"]}, 'parameters.tags: tags holds "a" more than once. Keep one of them.'),
        (
            {"tags": ["a", "b", "c"]},
            "parameters.tags: tags must be a list of at most 2 entries; you sent a list of 3. "
            "Send a list of at most 2 entries.",
        ),
        (
            {"topic": "a\0b"},
            "parameters.topic: holds a NUL character, which cannot be stored. Remove the character U+0000.",
        ),
        (
            {"source": {"a\0": 1}},
            "parameters.source.a\0: holds a NUL character, which cannot be stored. Remove the character U+0000.",
        ),
        (
            {"topic": "\ud800"},
            "parameters.topic: holds half of a surrogate pair, which is not a character. Write the character whole.",
        ),
        ([], 'parameters: the parameters must be an object. Send {"name": value, …}.'),
        (None, 'parameters: the parameters must be an object. Send {"name": value, …}.'),
    ],
)
def test_a_mistake_names_the_field_what_is_wrong_and_the_mend(values: Any, said: str) -> None:
    assert mistakes_of(values) == [said]


def test_all_mistakes_are_told_at_once() -> None:
    found = mistakes_of({"topik": 1, "granularityLevel": 0, "validationEnabled": 1})

    assert [line.partition(":")[0] for line in found] == [
        "parameters.topik",
        "parameters.granularityLevel",
        "parameters.validationEnabled",
    ]


def test_a_missing_parameter_says_what_it_is_where_its_schema_does() -> None:
    described = {
        "type": "object",
        "description": "A stored document. Upload a file and the gateway puts this here.\nSince 1.2.",
    }
    schema = {"type": "object", "properties": {"source": described}, "required": ["source"]}

    assert mistakes_of({}, schema) == [
        "parameters.source: source is missing. Give an object: A stored document. Upload a file and the gateway puts this here."
    ]


@pytest.mark.parametrize(
    ("schema", "sent", "said"),
    [
        ({"type": "integer", "minimum": 1}, 0, "a must be a whole number of at least 1; you sent 0. Send"),
        ({"type": "integer"}, 2.5, "a must be a whole number; you sent 2.5. Send a whole number."),
        ({"type": ["number", "null"], "maximum": 2}, 2.5, "a must be a number of at most 2 or null; you sent 2.5. Send"),
        ({"type": "string", "minLength": 2}, "x", 'a must be text of at least 2 characters; you sent "x". Send'),
        ({"type": "string", "minLength": 2, "maxLength": 3}, "12345", "Shorten it by 2 characters."),
        ({"type": "array", "minItems": 2}, [], "a must be a list of at least 2 entries; you sent an empty list. Send"),
        (
            {"type": "array", "minItems": 2, "maxItems": 3},
            [1],
            "a must be a list of 2 to 3 entries; you sent a list of 1. Send",
        ),
        ({"type": "string", "pattern": "^x"}, "y", 'a must be text like ^x; you sent "y". Send text like ^x.'),
        ({"type": "boolean"}, {}, "a must be true or false; you sent an empty object. Send true or false."),
        ({"type": "string"}, {"x": 1}, "a must be text; you sent an object. Send text in quotes."),
        ({"type": "null"}, "x" * 70, f'a must be null; you sent "{"x" * 58}…. Send null.'),
        ({"minimum": 1}, 0, "a is refused: 0 is less than the minimum of 1. See its schema at minimum."),
        (
            {"type": "number", "exclusiveMinimum": 0},
            0,
            "a is refused: 0 is less than or equal to the minimum of 0. See its schema",
        ),
        ({"type": "integer", "multipleOf": 2}, 3, "a is refused: 3 is not a multiple of 2. See its schema at multipleOf."),
        ({"type": "object", "minProperties": 1}, {}, "a is refused: {} has less than 1 property. See its schema"),
        (False, 1, "a is not allowed here. Leave it out."),
        ({"type": "object", "additionalProperties": False}, {"x": 1}, "a may hold no fields. Send an empty object."),
        ({"oneOf": [{"type": "null"}, {"const": 1}]}, 2, "See its schema at oneOf."),
        ({"uniqueItems": True}, [{"x": 1, "y": 2}, 3, {"y": 2, "x": 1}], "a holds an object more than once. Keep one of them."),
        ({"uniqueItems": True}, [1, 1.0, 2], "a holds an entry more than once. Keep one of them."),
        ({"$ref": "#/$defs/level"}, 6, "a must be a whole number from 1 to 5; you sent 6."),
        ({"allOf": [True, {"$ref": "#/$defs/level"}]}, 6, "a must be a whole number from 1 to 5; you sent 6."),
    ],
)
def test_what_a_schema_asks_for_is_said_in_words(schema: Any, sent: Any, said: str) -> None:
    level = {"type": "integer", "minimum": 1, "maximum": 5}

    (told,) = mistakes_of({"a": sent}, {"type": "object", "properties": {"a": schema}, "$defs": {"level": level}})

    assert told.startswith("parameters.a: a ")
    assert said in told


@pytest.mark.parametrize("word", ["type", "enum", "const", "pattern", "properties"])
def test_what_is_never_allowed_is_told_beside_parameters_that_are_called_like_words_of_schemas(word: str) -> None:
    schema = {"type": "object", "properties": {"never": False, word: {"type": "string"}}}

    assert mistakes_of({"never": 1, word: "x"}, schema) == ["parameters.never: never is not allowed here. Leave it out."]


def test_a_text_in_the_place_of_an_object_is_told_and_gets_no_defaults() -> None:
    inner = {"type": "object", "properties": {"size": {"type": "integer", "default": 1}}}

    assert mistakes_of({"source": "x"}, {"type": "object", "properties": {"source": inner}}) == [
        'parameters.source: source must be an object; you sent "x". Send an object.'
    ]


def test_a_parameter_may_be_called_by_a_number() -> None:
    schema = {"type": "object", "properties": {"7": {"type": "integer"}}}

    assert "must be a whole number" in mistakes_of({"7": "x"}, schema)[0]


def test_a_field_that_is_not_known_inside_a_parameter_is_likened_to_those_that_are() -> None:
    inner = {"type": "object", "properties": {"title": {}}, "additionalProperties": False}

    assert mistakes_of({"a": {"titel": 1}}, {"type": "object", "properties": {"a": inner}}) == [
        "parameters.a.titel: titel is not known here. Did you mean title?"
    ]


def test_text_of_a_wrong_form_is_mended_by_the_description_and_not_by_a_regular_expression() -> None:
    described = {"type": "string", "pattern": "^[A-Za-z]{2,3}$", "description": "What is spoken, as in en or de."}
    schema = {"type": "object", "properties": {"language": described}}

    assert mistakes_of({"language": "English"}, schema) == [
        'parameters.language: language must be text of the form that is described for it; you sent "English". '
        "Send text: What is spoken, as in en or de."
    ]


@pytest.mark.parametrize("described", [True, {}, {"description": " "}])
def test_a_missing_parameter_of_which_nothing_is_said_is_told_as_missing(described: Any) -> None:
    schema = {"type": "object", "properties": {"topic": described}, "required": ["topic"]}

    assert mistakes_of({}, schema) == ["parameters.topic: topic is missing. Give another value."]


def test_a_missing_required_parameter_says_what_to_give() -> None:
    schema = {"type": "object", "properties": {"topic": {"type": "string", "maxLength": 300}}, "required": ["topic"]}

    assert mistakes_of({}, schema) == ["parameters.topic: topic is missing. Give text of at most 300 characters."]


def test_unknown_parameters_pass_only_when_the_schema_says_so() -> None:
    schema = {"type": "object", "additionalProperties": True}

    assert mistakes_of({"anything": 1}, schema) == []
    assert mistakes_of({"x_1": 1}, {"type": "object", "patternProperties": {"^x_": {}}}) == []
    assert mistakes_of({"anything": 1}, {"type": "object"}) != []


def test_a_number_beyond_json_is_refused() -> None:
    assert "not a finite number" in mistakes_of({"topic": float("nan")})[0]
    assert "beyond 64 bits" in mistakes_of({"granularityLevel": 2**70})[0]


def test_a_deep_value_is_refused() -> None:
    value: Any = 1
    for _ in range(5000):
        value = [value]

    assert "nested deeper than 32 levels" in mistakes_of({"source": value})[0]


def test_a_hostile_pattern_does_not_take_long() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}

    assert "like ^(a+)+$" in mistakes_of({"a": "a" * 50_000 + "b"}, schema)[0]


@pytest.mark.parametrize(
    "values",
    [
        {f"unknown_{number}": number for number in range(50_000)},
        {"title": "x", "tags": list(range(50_000))},
        {"title": "\ud800", "tags": ["\ud800"] * 50_000},
    ],
    ids=["unknown names", "wrong values", "no JSON"],
)
def test_an_order_that_is_nothing_but_mistakes_is_told_the_first_hundred(values: Any) -> None:
    schema = {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}}, "title": {}}}

    checked = check_parameters(schema, values)

    assert len(checked.mistakes) == MOST_MISTAKES + 1
    assert checked.mistakes[-1] == Mistake(path="parameters", message="more is wrong than these 100", mend="Mend these first.")
