"""What is found wrong with a definition before it ever runs."""

import datetime
import time
from decimal import Decimal
from typing import Any

import pytest

from aif_pipelines.checks import check_pipeline
from aif_pipelines.definition import (
    AddStage,
    Compensation,
    Fail,
    Output,
    OutputValidation,
    Pipeline,
    Refusal,
    RetryStage,
    SkipStage,
    Stage,
)

PARAMETERS = {
    "type": "object",
    "properties": {
        "topic": {"type": "string"},
        "granularityLevel": {"type": "integer", "default": 3},
        "tags": {"type": "array", "items": {"type": "string"}},
        "source": {"type": "object", "properties": {"size": {"type": "integer"}}, "additionalProperties": False},
    },
}


def stage(name: str = "a", **changes: Any) -> Stage:
    return Stage(**{"id": name, "worker": "w", "action": "x", **changes})


def mistakes_of(*stages: Stage, **changes: Any) -> list[tuple[str, str, str]]:
    pipeline = Pipeline(**{"name": "p", "version": "1.0.0", "parameters": PARAMETERS, "stages": stages, **changes})
    return [(mistake.path, mistake.message, mistake.mend) for mistake in check_pipeline(pipeline)]


def test_a_sound_pipeline_has_no_mistakes() -> None:
    assert mistakes_of(stage("a"), stage("b", input="{{a.text}}", depends_on=("a",))) == []


def test_a_cycle_is_shown_whole() -> None:
    found = mistakes_of(stage("a", depends_on=("c",)), stage("b", depends_on=("a",)), stage("c", depends_on=("b",)))

    assert found == [
        (
            "stages[0].depends_on",
            "the stages wait for each other: a → c → b → a",
            "Reading a stage means waiting for it. Remove one dependency or one reference.",
        )
    ]


def test_a_reference_to_a_later_stage_is_a_cycle_at_the_reference() -> None:
    found = mistakes_of(stage("a", when="b.score > 1"), stage("b", depends_on=("a",)))

    assert [(path, message) for path, message, _ in found] == [("stages[0].when", "the stages wait for each other: a → b → a")]


def test_of_several_reads_a_cycle_is_shown_at_the_one_that_closes_it() -> None:
    given = {"c": "{{c}}", "b": "{{b}}", "d": "{{c}}"}
    found = mistakes_of(stage("a", input=given), stage("b", depends_on=("a",)), stage("c"))

    assert [(path, message) for path, message, _ in found] == [
        ("stages[0].input.b", "the stages wait for each other: a → b → a")
    ]


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"depends_on": ("bb",)}, "stages[0].depends_on[0]", "there is no stage bb"),
        ({"depends_on": ("a",)}, "stages[0].depends_on[0]", "a stage cannot wait for itself"),
        ({"input": "{{a.x}}"}, "stages[0].input", "a cannot read itself before it ran"),
        ({"when": "a.x == 1"}, "stages[0].when", "a cannot read itself before it ran"),
        ({"input": {"k": ["{{nobody.x}}"]}}, "stages[0].input.k[0]", "nobody is not known here"),
        ({"input": {"k": ["x{{7}}"]}}, "stages[0].input.k[0]", "a path must start with a name"),
        ({"when": "params.granularitylevel > 2"}, "stages[0].when", "there is no granularitylevel"),
        ({"input": "{{params.source.length}}"}, "stages[0].input", "there is no length"),
        ({"when": "params.granularityLevel > '2'"}, "stages[0].when", "> takes two numbers or two texts"),
        ({"when": "params.topic == 3"}, "stages[0].when", "text is never equal to a number"),
        ({"when": "params.topic"}, "stages[0].when", "the condition gives text, never true or false"),
        ({"when": "params.topic and true"}, "stages[0].when", "and takes true or false"),
        ({"when": "len(params.granularityLevel) > 1"}, "stages[0].when", "len takes a text, a list or an object"),
        ({"when": "budget.remaining > 1"}, "stages[0].when", "Did you mean remaining_usd"),
        ({"when": "1 <"}, "stages[0].when", "the expression ends too early (at column 4 of the text)"),
        ({"worker": None, "action": None}, "stages[0].worker", "the stage does not say who does it"),
        ({"action": None}, "stages[0].action", "the stage does not say what w does"),
        ({"capability": "c"}, "stages[0].capability", "not both"),
        ({"prefer_providers": ("openai",)}, "stages[0].prefer_providers", "with a capability only"),
        ({"timeout_seconds": 601}, "stages[0].timeout", "the stage may take 601 s, the whole pipeline only 600 s"),
        ({"id": "params"}, "stages[0].id", "params is a word of the language"),
        ({"id": "A"}, "stages[0].id", "must be a name of lower-case letters"),
        ({"id": "a" * 41}, "stages[0].id", "at most 40 long"),
        ({"id": "a.b"}, "stages[0].id", "must be a name"),
        ({"id": "a*"}, "stages[0].id", "must be a name"),
        ({"id": "a>"}, "stages[0].id", "must be a name"),
        ({"id": "a\n"}, "stages[0].id", "must be a name"),
        (
            {"output_validation": OutputValidation(schema={"$ref": "https://example.org/s"})},
            "stages[0].output_validation.schema.$ref",
            "outside this schema",
        ),
        (
            {"output_validation": OutputValidation(schema={"type": "strin"})},
            "stages[0].output_validation.schema.type",
            "is not a sound JSON Schema",
        ),
        (
            {"output_validation": OutputValidation(schema={"type": ["string", "strin"]})},
            "stages[0].output_validation.schema.type",
            "Write string, number, integer, boolean, array, object or null, or a list of these.",
        ),
        (
            {"output_validation": OutputValidation(schema={"required": "title"})},
            "stages[0].output_validation.schema.required",
            "Correct it by JSON Schema draft 2020-12.",
        ),
        (
            {"output_validation": OutputValidation(schema={"allOf": [{"$dynamicRef": "other#x"}]})},
            "stages[0].output_validation.schema.allOf[0].$dynamicRef",
            "outside this schema",
        ),
        (
            {"output_validation": OutputValidation(schema={"$schema": "http://json-schema.org/draft-07/schema#"})},
            "stages[0].output_validation.schema.$schema",
            "names another dialect of JSON Schema",
        ),
        (
            {"output_validation": OutputValidation(schema={"items": {"$id": "https://example.org/s"}})},
            "stages[0].output_validation.schema.items.$id",
            "Leave $id out.",
        ),
        (
            {"output_validation": OutputValidation(min_quality_score=1.5)},
            "stages[0].output_validation.min_quality_score",
            "must be a number from 0 to 1, not 1.5",
        ),
        ({"input": {"cost": Decimal("1")}}, "stages[0].input.cost", "is of the type Decimal"),
        ({"input": datetime.date(2024, 1, 1)}, "stages[0].input", "is of the type date"),
        ({"input": float("inf")}, "stages[0].input", "is not a finite number"),
        ({"input": [{1: "x"}]}, "stages[0].input[0]", "has the key 1, which is not text"),
        ({"input": {"x" * 262_145: 1}}, "stages[0].input." + "x" * 262_145, "is longer than 262144 characters"),
        ({"timeout_seconds": float("nan")}, "stages[0].timeout", "must be a number above 0 and up to 86400, not nan"),
        ({"depends_on": {}}, "stages[0].depends_on", "must be a list, not an empty object"),
        (
            {"rules": (SkipStage(condition="true", stage="b"),)},
            "stages[0].rules[0].stage",
            "b may have run before a has ended",
        ),
        (
            {"rules": (SkipStage(condition="true", stage="zz"),)},
            "stages[0].rules[0].stage",
            "there is no stage zz",
        ),
        (
            {"rules": (Fail(condition="a.quality_score < 'x'", message="m"),)},
            "stages[0].rules[0].condition",
            "two numbers or two texts",
        ),
        (
            {"rules": (AddStage(condition="true", stage=stage("a")),)},
            "stages[0].rules[0].stage.id",
            "a is already the id of stages[0]",
        ),
        (
            {"rules": (AddStage(condition="true", stage=stage("c", input="{{b}}")),)},
            "stages[0].rules[0].stage.input",
            "b does not lie before a, behind which c is added",
        ),
        (
            {"compensate": Compensation(worker="w", action="undo", input="{{b.x}}")},
            "stages[0].compensate.input",
            "b does not lie before a",
        ),
    ],
)
def test_a_mistake_in_a_stage_is_found_where_it_is(changes: dict[str, Any], path: str, message: str) -> None:
    found = mistakes_of(stage(**changes), stage("b"))

    assert [where for where, _, _ in found] == [path]
    assert message in " ".join(found[0])


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"version": "1.0"}, "version", "'1.0' is not a semantic version"),
        ({"version": "01.0.0"}, "version", "is not a semantic version"),
        ({"version": "1.0.0\n"}, "version", "is not a semantic version"),
        ({"version": "1.0.0 beta"}, "version", "is not a semantic version"),
        (
            {"parameters": {"type": "object", "properties": {"a": {"pattern": "(a)\\1"}}}},
            "parameters.properties.a.pattern",
            "is not a sound JSON Schema",
        ),
        ({"name": "a.b"}, "name", "must be a name"),
        ({"name": "*"}, "name", "must be a name"),
        ({"stages": ()}, "stages", "needs at least 1 entry"),
        ({"stages": tuple(stage(f"s{n}") for n in range(101))}, "stages", "has 101 entries, at most 100 are allowed"),
        ({"parameters": {"type": "array"}}, "parameters.type", "must describe an object"),
        (
            {"parameters": {"type": "object", "properties": {"a": {"minimum": "x"}}}},
            "parameters.properties.a.minimum",
            "is not a sound JSON Schema",
        ),
        (
            {"parameters": {"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}}},
            "parameters.properties.a.$ref",
            "outside this schema",
        ),
        ({"outputs": (Output(name="o", stage="zz"),)}, "output[0].stage", "there is no stage zz"),
        (
            {"refusals": (Refusal(condition="params.topik == 1", field="topic", message="m"),)},
            "refusals[0].condition",
            "Did you mean topic?",
        ),
        (
            {"refusals": (Refusal(condition="params.topic ==", field="topic", message="m"),)},
            "refusals[0].condition",
            "the expression ends too early",
        ),
        (
            {"refusals": (Refusal(condition="a.x == 1", field="topic", message="m"),)},
            "refusals[0].condition",
            "a is not known here",
        ),
        (
            {"refusals": (Refusal(condition="true", field="topik", message="m"),)},
            "refusals[0].field",
            "there is no parameter topik",
        ),
        ({"timeout_seconds": 0}, "timeout", "must be a number above 0"),
    ],
)
def test_a_mistake_in_the_pipeline_is_found_where_it_is(changes: dict[str, Any], path: str, message: str) -> None:
    found = mistakes_of(**{"stages": (stage(),), **changes})

    assert found[0][0] == path
    assert message in " ".join(found[0])


@pytest.mark.parametrize(
    ("described", "default", "mend"),
    [
        ({"type": "integer", "maximum": 5}, 99, "Write a whole number of at most 5, or leave the default out."),
        ({"type": "string"}, 5, "Write text, or leave the default out."),
        ({"type": "array", "items": {"type": "string"}}, ["a", 1], "Write a list, or leave the default out."),
        ({"type": "object", "required": ["x"]}, {}, "Write an object, or leave the default out."),
    ],
)
def test_a_default_that_its_own_schema_refuses_is_found_before_any_order(described: Any, default: Any, mend: str) -> None:
    properties = {"wrong.one": {**described, "default": default}, "needed": {"type": "string"}, "right": {"default": 3}}
    schema = {"type": "object", "properties": properties, "required": ["needed"]}

    ((path, message, told),) = mistakes_of(stage(), parameters=schema)

    assert path == "parameters.properties.wrong.one.default"
    assert "does not fit the parameter's own schema" in message
    assert told == mend


def test_what_stands_in_plain_data_of_a_schema_is_no_reference() -> None:
    data = {"$ref": "https://example.org/s", "$id": "x"}
    described = {"default": data, "examples": [data], "enum": [data]}
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema#", "type": "object", "properties": {"a": described}}

    assert mistakes_of(stage(), parameters=schema) == []


def test_a_parameter_that_is_required_and_that_no_order_may_give_is_found() -> None:
    schema = {"type": "object", "properties": {"topic": {}}, "required": ["topic", "topik"]}

    assert mistakes_of(stage(), parameters=schema) == [
        ("parameters.required[1]", "topik is required and not described, so no order can give it", "Did you mean topic?")
    ]
    assert mistakes_of(stage(), parameters={**schema, "additionalProperties": True}) == []


def test_paths_that_a_pattern_or_a_place_in_a_list_may_describe_are_not_refused() -> None:
    patterned = {"type": "object", "patternProperties": {"^x_": {}}, "additionalProperties": False}
    pair = {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"}}
    schema = {"type": "object", "properties": {"map": patterned, "pair": pair}}

    assert mistakes_of(stage(input="{{params.map.x_1}}", when="params.pair[0] == 'a'"), parameters=schema) == []


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "object", "properties": ["topic"]}, "parameters.properties"),
        ({"type": "object", "properties": "topic"}, "parameters.properties"),
        ({"type": "object", "properties": None}, "parameters.properties"),
        ({"type": "object", "properties": {"topic": {}}, "required": 5}, "parameters.required"),
        ({"type": "object", "properties": {"topic": {"type": "text"}}}, "parameters.properties.topic.type"),
        ({"type": "object", "properties": {"topic": {"properties": ["x"]}}}, "parameters.properties.topic.properties"),
    ],
)
def test_an_unsound_schema_is_the_only_mistake_and_not_what_is_read_by_it(schema: dict[str, Any], path: str) -> None:
    refusal = Refusal(condition="params.topic.x == 1", field="topic", message="no")
    reader = stage(input="{{params.topic.x}}", when="params.topic.x > 1")
    validated = stage("b", output_validation=OutputValidation(schema=schema))

    of_parameters = mistakes_of(reader, parameters=schema, refusals=(refusal,))
    of_output = mistakes_of(validated, stage("c", input="{{b.topic.x}}"))

    assert [where for where, _, _ in of_parameters] == [path]
    assert [where for where, _, _ in of_output] == [path.replace("parameters", "stages[0].output_validation.schema")]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("not params.topic", "not takes true or false, and params.topic is text (at column 5 of the text)"),
        ("true and params.topic", "and takes true or false, and params.topic is text (at column 10 of the text)"),
        ("params.topic or true", "or takes true or false, and params.topic is text"),
        ("(not true) == 1", "true or false is never equal to a number"),
        ("-params.topic < 1", "minus takes a number, and params.topic is text"),
        ("-params.granularityLevel == 'x'", "a number is never equal to text"),
        ("params.topic + 1 == 2", "+ takes two numbers or two texts, not text and a number"),
        ("1 + 2 == 'x'", "a number is never equal to text"),
        ("params.topic * 2 > 1", "* takes numbers, and params.topic is text"),
        ("2 - params.topic > 1", "- takes numbers, and params.topic is text"),
        (
            "1 in params.granularityLevel",
            "one can look in a list, an object or a text, and params.granularityLevel is a number",
        ),
        ("params.topik in params.tags", "params.topik does not exist"),
        ("params.tags[0] > 1", "> takes two numbers or two texts, not text and a number"),
        ("len(params.topic) == 'x'", "a number is never equal to text"),
        ("lower(params.granularityLevel) == 'x'", "lower takes a text, and params.granularityLevel is a number"),
        ("lower(params.topic) == 1", "text is never equal to a number"),
        ("contains(params.granularityLevel, 1)", "contains looks in a list, an object or a text"),
        ("contains(params.topic, params.topik)", "params.topik does not exist"),
        ("contains(params.topic, 'x') == 1", "true or false is never equal to a number"),
        ("max(params.topic, 1) > 1", "max takes numbers, and params.topic is text"),
        ("min(1, params.tags) < 1", "min takes numbers, and params.tags is a list"),
        ("min(params.tags)", "the condition gives a number, never true or false"),
        ("round(1.5, params.topic) > 1", "round takes numbers, and params.topic is text"),
        ("round(1.5)", "the condition gives a number, never true or false"),
        ("json(params.topik) == 'x'", "params.topik does not exist"),
        ("json(params.topic)", "the condition gives text, never true or false"),
        ("params.topic ?? 'x' > 1", "> takes two numbers or two texts, not text and a number"),
    ],
)
def test_a_condition_that_can_never_work_is_refused_and_says_why(condition: str, message: str) -> None:
    ((path, said, _),) = mistakes_of(stage("a", when=condition))

    assert path == "stages[0].when"
    assert said.startswith(message)


@pytest.mark.parametrize(
    "condition",
    [
        "not (params.topic == null)",
        "params.topic == null",
        "params.topic + 'x' == 'y'",
        "1 + params.granularityLevel > -2",
        "max(params.tags) > 1",
        "lower(params.topic) in params.tags",
        "len(params.tags) + len(params.source) > round(0.5)",
        "json(params.source) == '{}'",
        "params.topic ?? 0 == 1",
    ],
)
def test_a_condition_that_may_work_passes(condition: str) -> None:
    assert mistakes_of(stage("a", when=condition)) == []


@pytest.mark.parametrize("condition", ["a == 'yes'", "a[0] == 1", "len(a) > 2", "a.tokens > 5", "a.tokens < 0.7"])
def test_what_an_output_is_is_not_known_without_a_schema(condition: str) -> None:
    assert mistakes_of(stage("a"), stage("b", when=condition)) == []


def test_a_schema_says_what_an_output_is_and_figures_come_before_its_fields() -> None:
    says = OutputValidation(schema={"type": "object", "properties": {"tokens": {"type": "array"}, "title": {"type": "string"}}})
    found = [
        mistakes_of(stage("a", output_validation=says), stage("b", when=when)) for when in ("a == 'x'", "len(a.tokens) > 1")
    ]

    assert [mistake.partition(" (at")[0] for [(_, mistake, _)] in found] == [
        "an object is never equal to text",
        "len takes a text, a list or an object, and a.tokens is a number",
    ]


def test_of_many_placeholders_the_wrong_one_is_shown() -> None:
    given = {"good": "{{params.topic}}", "list": ["{{a}}", {"deep": "{{a.x}} {{params.topik}}"}]}

    assert [path for path, _, _ in mistakes_of(stage("a"), stage("b", input=given))] == ["stages[1].input.list[1].deep"]


def test_a_cycle_through_a_rule_is_shown_at_the_first_text_that_closes_it() -> None:
    rules = (RetryStage(condition="a.quality_score < 0.5"), Fail(condition="b.score < 1 or b.text == ''", message="m"))
    reading_twice = stage("a", when="true", rules=(*rules, RetryStage(condition="b.score > 2")))

    found = mistakes_of(reading_twice, stage("b", depends_on=("a",)))

    assert [(path, message) for path, message, _ in found] == [
        ("stages[0].rules[1].condition", "the stages wait for each other: a → b → a")
    ]


def test_stages_that_fork_and_meet_again_and_again_are_checked_at_once() -> None:
    layers = [(f"a{level}", f"b{level}") for level in range(50)]
    before = [(), *layers]
    stages = [stage(name, depends_on=waits) for pair, waits in zip(layers, before, strict=False) for name in pair]
    started = time.process_time()

    assert mistakes_of(*stages) == []
    assert time.process_time() - started < 5


@pytest.mark.parametrize("times", [9, 10])
def test_a_pipeline_may_grow_to_a_hundred_stages_and_no_further(times: int) -> None:
    adding = tuple(AddStage(condition="true", stage=stage(f"added_{n}"), max_times=10) for n in range(9))
    last = AddStage(condition="true", stage=stage("last"), max_times=times)

    found = mistakes_of(stage("a", rules=(*adding, last)))

    assert [message.partition(",")[0] for _, message, _ in found] == (
        [] if times == 9 else ["the rules could let it grow to 101 stages"]
    )


def test_an_added_stage_is_told_what_it_cannot_wait_for() -> None:
    added = stage("polish", depends_on=("a", "researh", "b"))

    found = mistakes_of(
        stage("research"), stage("a", depends_on=("research",), rules=(AddStage(condition="true", stage=added),)), stage("b")
    )

    assert found == [
        ("stages[1].rules[0].stage.depends_on[1]", "researh has not surely ended then", "Did you mean research?"),
        ("stages[1].rules[0].stage.depends_on[2]", "b has not surely ended then", "Known: a, research."),
    ]


@pytest.mark.parametrize(
    ("words", "wrong", "mend"),
    [
        (["topic", "max_words"], "TOPIC", "Did you mean topic?"),
        (["topic", "max_words"], "MaxWords", "Did you mean max_words?"),
        (["topic", "max_words"], "zzz", "Known: max_words, topic."),
        ([f"param_{number}" for number in range(21)], "zzz", "Name a parameter."),
    ],
)
def test_a_wrong_word_is_mended_by_the_one_that_was_meant_else_by_all_of_a_few(words: list[str], wrong: str, mend: str) -> None:
    parameters = {"type": "object", "properties": {word: {} for word in words}}
    refusal = Refusal(condition="true", field=wrong, message="m")

    assert [told for _, _, told in mistakes_of(stage(), parameters=parameters, refusals=(refusal,))] == [mend]


def test_a_schema_may_refer_to_itself() -> None:
    schema = {"type": "object", "properties": {"level": {"$ref": "#/$defs/level"}}, "$defs": {"level": {"type": "integer"}}}
    validated = stage("a", output_validation=OutputValidation(schema=schema))

    assert mistakes_of(validated, stage("b", input="{{params.level}} {{a.level}}"), parameters=schema) == []


def test_two_stages_cannot_share_an_id_nor_two_outputs_a_name() -> None:
    found = mistakes_of(stage("a"), stage("a"), outputs=(Output(name="o", stage="a"), Output(name="o", stage="a")))

    assert [path for path, _, _ in found] == ["stages[1].id", "output[0].name", "output[1].name"]


def test_rules_that_let_a_pipeline_grow_too_far_are_refused() -> None:
    inner = stage("inner")
    middle = stage("middle", rules=(AddStage(condition="true", stage=inner, max_times=10),))
    outer = stage("outer", rules=(AddStage(condition="true", stage=middle, max_times=10),))

    found = mistakes_of(outer)

    assert found == [
        (
            "stages",
            "the rules could let it grow to 111 stages, at most 100 are allowed",
            "Lower max_times of the add_stage rules, or max_retries of the stages that they add.",
        )
    ]


def test_an_added_stage_may_read_the_stage_that_adds_it_and_those_before() -> None:
    added = stage("c", input={"x": "{{b.x}}", "y": "{{a.y}}"}, rules=(RetryStage(condition="c.quality_score < 0.5"),))

    assert mistakes_of(stage("a"), stage("b", depends_on=("a",), rules=(AddStage(condition="b.n > 100", stage=added),))) == []


def test_a_rule_may_leave_out_what_comes_after_other_stages_that_come_after() -> None:
    skipping = stage("a", rules=(SkipStage(condition="true", stage="c"),))

    assert mistakes_of(skipping, stage("b", depends_on=("a",)), stage("c", depends_on=("b",))) == []


def test_a_compensation_may_read_its_own_stage_and_those_before() -> None:
    undo = Compensation(worker="w", action="undo", input={"own": "{{b.key}}", "before": "{{a}}"})

    assert mistakes_of(stage("a"), stage("b", depends_on=("a",), compensate=undo)) == []


def test_workers_and_actions_are_checked_when_they_are_known() -> None:
    pipeline = Pipeline(
        name="p",
        version="1.0.0",
        stages=(
            stage("a", worker="content_granulater", action="structure_course"),
            stage("b", worker="content_granulator", action="structure_coarse"),
            stage(
                "c",
                worker="content_granulator",
                action="structure_quiz",
                compensate=Compensation(worker="content_granulator", action="structure_quit"),
            ),
        ),
    )
    known = {"content_granulator": frozenset({"structure_course", "structure_quiz"})}

    assert [str(mistake) for mistake in check_pipeline(pipeline, known)] == [
        "stages[0].worker: no worker is called content_granulater. Did you mean content_granulator? "
        "One of your own has to run first.",
        "stages[1].action: content_granulator has no action structure_coarse. Did you mean structure_course?",
        "stages[2].compensate.action: content_granulator has no action structure_quit. Did you mean structure_quiz?",
    ]
    assert check_pipeline(pipeline) == []


@pytest.mark.parametrize(
    ("known", "mend"),
    [
        ({}, "One of your own has to run first."),
        ({"analyst": frozenset({"summarize"})}, "Known: analyst. One of your own has to run first."),
    ],
)
def test_who_names_a_worker_of_his_own_that_does_not_run_hears_that_it_has_to(
    known: dict[str, frozenset[str]], mend: str
) -> None:
    pipeline = Pipeline(name="p", version="1.0.0", stages=(stage("a", worker="word_counter", action="count"),))

    assert [mistake.mend for mistake in check_pipeline(pipeline, known)] == [mend]


def test_many_mistakes_are_told_at_once() -> None:
    found = mistakes_of(
        stage("a", when="1 +", depends_on=("zz",)), stage("b", action=None), version="x", outputs=(Output(name="o", stage="q"),)
    )

    assert {path for path, _, _ in found} == {
        "version",
        "stages[0].when",
        "stages[0].depends_on[0]",
        "stages[1].action",
        "output[0].stage",
    }
