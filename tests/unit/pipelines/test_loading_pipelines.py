"""Documents in, pipelines out, and back."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aif_pipelines.definition import (
    AddStage,
    Approve,
    Backoff,
    Compensation,
    Fail,
    Fallback,
    Output,
    OutputValidation,
    Pipeline,
    Refusal,
    Retry,
    RetryStage,
    SkipStage,
    Stage,
)
from aif_pipelines.failures import PipelineInvalid
from aif_pipelines.loading import dump_pipeline, load_pipeline, pipeline_digest, restore_pipeline

YAML = """
name: two_steps
version: "1.2.0"
timeout: 5m
parameters:
  type: object
  properties:
    topic: {type: string}
    rating: {type: number, default: 0.5}
stages:
  - id: research
    worker: topic_researcher
    action: research_topic
    timeout: 90s
    input: {topic: "{{params.topic?}}"}
    rules:
      - condition: "{{research.quality_score}} < 0.7"
        action: retry_stage
        max_retries: 2
  - id: write
    capability: llm_generation
    prefer_providers: [openai, anthropic]
    timeout: 1.5m
    input: "{{research}}"
    when: no_such_thing or true
output:
  - {name: text, stage: write}
"""


def mistakes_of(text: str | bytes) -> list[str]:
    with pytest.raises(PipelineInvalid) as failure:
        load_pipeline(text)
    return [str(mistake) for mistake in failure.value.mistakes]


def document(**changes: Any) -> str:
    whole: dict[str, Any] = {
        "name": "one",
        "version": "1.0.0",
        "stages": [{"id": "a", "worker": "w", "action": "x"}],
    }
    return json.dumps({**whole, **changes})


def test_yaml_becomes_the_definition_with_durations_in_seconds() -> None:
    pipeline = load_pipeline(YAML.replace("no_such_thing or true", "params.rating > 0.2"))

    assert pipeline.timeout_seconds == 300
    assert [stage.timeout_seconds for stage in pipeline.stages] == [90, 90]
    assert pipeline.stages[0].rules == (RetryStage(condition="{{research.quality_score}} < 0.7", max_retries=2),)
    assert pipeline.stages[1].prefer_providers == ("openai", "anthropic")
    assert pipeline.outputs == (Output(name="text", stage="write"),)


def test_a_mistake_carries_line_and_column_of_what_is_wrong() -> None:
    assert mistakes_of(YAML) == [
        "line 25, column 11, stages[1].when: no_such_thing is not known here (at column 1 of the text). "
        "Known: budget, execution, params, research, write."
    ]


def test_every_mistake_of_shape_is_told_at_once() -> None:
    text = document(
        nmae="x",
        version=1.0,
        stages=[
            {"id": "A", "worker": "w", "action": "x", "retry": {"max_attempts": "3"}},
            {"id": "b", "timeuot": 3, "optional": "yes", "rules": [{"action": "retry", "condition": "true"}, "retry_stage"]},
        ],
    )

    found = mistakes_of(text)

    assert [line.partition(", ")[2].partition(", ")[2] for line in found] == [
        "nmae: is not a known field. Did you mean name?",
        "version: must be text of at most 64 characters, not 1.0. Write it in quotes.",
        "stages[0].id: must be a name of lower-case letters, digits and _, starting with a letter, at most 40 long, "
        'not "A". Change it.',
        'stages[0].retry.max_attempts: must be a whole number from 1 to 10, not "3". Write it without quotes.',
        "stages[1].timeuot: is not a known field. Did you mean timeout?",
        'stages[1].optional: must be true or false, not "yes". Write true or false.',
        'stages[1].rules[0].action: "retry" is not known. Did you mean retry_stage?',
        'stages[1].rules[1]: must be an object, not "retry_stage". Write action and its fields.',
    ]


def test_nonsense_without_end_is_refused_quickly_with_a_hundred_mistakes() -> None:
    parameters = {"type": "object", "properties": {f"param_{number}": {} for number in range(2000)}}
    condition = " or ".join(f"params.parax_{number} > 1" for number in range(40))
    rules = [{"condition": condition, "action": "retry_stage"}] * 150
    stages = [{"id": "a", "worker": "w", "action": "x", "rules": rules, "depends_on": [f"b{number}" for number in range(5000)]}]
    started = time.process_time()

    found = mistakes_of(document(parameters=parameters, stages=stages))

    assert len(found) == 100
    assert time.process_time() - started < 10


def test_a_word_among_very_many_is_still_likened_to_those_that_begin_like_it() -> None:
    parameters = {"type": "object", "properties": {f"other_{number}": {} for number in range(500)} | {"granularityLevel": {}}}

    (mistake,) = mistakes_of(
        document(parameters=parameters, stages=[{"id": "a", "worker": "w", "action": "x", "when": "params.granularitylevel"}])
    )

    assert "Did you mean granularityLevel?" in mistake


@pytest.mark.parametrize("begin", ["", "---\n"], ids=["json", "yaml"])
def test_a_key_without_end_is_refused_before_it_is_repeated_in_every_mistake(begin: str) -> None:
    (mistake,) = mistakes_of(begin + json.dumps({"." * 100_000: {"a": 1, "b": 2}}))

    assert "has a key of more than 200 characters. Shorten it." in mistake
    assert len(mistake) < 200


def test_a_document_without_stages_is_told_to_list_them() -> None:
    assert mistakes_of("name: one\nversion: 1.0.0\n") == ["line 1, column 1, stages: is missing. Add it: a list."]


def test_a_missing_field_is_told_at_the_object_that_lacks_it() -> None:
    assert mistakes_of("name: one\nversion: '1.0.0'\nstages:\n  - worker: w\n    action: x\n") == [
        "line 4, column 5, stages[0].id: is missing. Add it: a name of lower-case letters, digits and _, "
        "starting with a letter, at most 40 long."
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# only a comment", "is empty"),
        ("a: 1\na: 2", "line 2, column 1, a: is there twice. Remove one."),
        ('{"a": 1, "a": 2}', "has the key 'a' twice in one object"),
        ('{"a": {"b": 1, "b": 2}}', "has the key 'b' twice in one object"),
        ('{"a": 1,}', "is not sound JSON"),
        ("a: [1, 2", "is not sound YAML"),
        ("a: b: c", "line 1, column 5, the document: is not sound YAML"),
        ("a: \x01", "the document: is not sound YAML: it holds a control character. Remove it."),
        ("a: 1\n---\nb: 2", "there is a second document"),
        ("? [a]\n: 1", "has a key that is not text"),
        ("a: !!python/object/apply:os.system ['id']", "has the tag tag:yaml.org,2002:python/object/apply:os.system"),
        ("a: !!binary aGk=", "has the tag"),
        ("a: &x [*x]", "the alias *x is not anchored before"),
        ('{"a": NaN}', "holds NaN"),
        ('{"a": ' + "9" * 5000 + "}", "too many digits"),
        (b"\xff\xfe", "is not UTF-8"),
        ("[" * 40 + "]" * 40, "nested deeper than 32 levels"),
        ('{"a":' * 40 + "1" + "}" * 40, "nested deeper than 32 levels"),
        ('{"a":' * 40_000 + "1" + "}" * 40_000, "nested deeper than 32 levels"),
        ("x" * 262_145, "the document: is larger than 256 KiB. Split it, or move long texts into parameters."),
        ("é" * 200_000, "the document: is larger than 256 KiB. Split it, or move long texts into parameters."),
        ("5", "must be an object, not 5"),
        ("- a", "must be an object, not a list of 1"),
    ],
)
def test_a_dangerous_or_broken_document_is_refused_with_its_reason(text: str | bytes, message: str) -> None:
    started = time.process_time()

    found = mistakes_of(text)

    assert message in found[0]
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("begin", ["", "---\n"], ids=["json", "yaml"])
@pytest.mark.parametrize("brackets", ["[]", '{"k":}'])
def test_what_is_nested_as_deep_as_is_allowed_is_read_and_one_level_more_is_not(begin: str, brackets: str) -> None:
    def nested(levels: int) -> str:
        value = brackets[:-1] * levels + "1" + brackets[-1] * levels
        return begin + document().replace('"action": "x"', f'"action": "x", "input": {value}')

    assert load_pipeline(nested(29)).stages[0].input
    assert "nested deeper than 32 levels" in mistakes_of(nested(30))[0]


def test_a_bomb_of_aliases_is_refused_before_it_opens() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 12):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")

    assert "has more than 20000 values" in mistakes_of("\n".join(lines))[0]


def test_an_alias_may_save_typing() -> None:
    text = """
name: twice
version: "1.0.0"
stages:
  - {id: a, worker: w, action: x, retry: &patient {max_attempts: 5}}
  - {id: b, worker: w, action: x, retry: *patient}
"""

    assert [stage.retry.max_attempts for stage in load_pipeline(text).stages] == [5, 5]


def test_a_merge_is_refused_because_it_would_become_a_field() -> None:
    start = "name: one\nversion: '1.0.0'\nstages:\n  - {id: a, worker: w, action: x, input: "

    merged = mistakes_of(start + "{<<: {a: 1}, b: 2}}")
    quoted = load_pipeline(start + "{'<<': 1}}")

    assert "stages[0].input.<<: is YAML 1.1's way to merge, which is not read" in merged[0]
    assert quoted.stages[0].input == {"<<": 1}


def test_yaml_words_of_old_are_text_and_not_booleans_or_dates() -> None:
    text = """
name: words
version: "1.0.0"
stages:
  - id: a
    worker: w
    action: x
    input: {country: no, day: 2024-01-01, time: 12:30, answer: yes, one: 1, real: 0.5, none: null, big: "1"}
"""

    assert load_pipeline(text).stages[0].input == {
        "country": "no",
        "day": "2024-01-01",
        "time": "12:30",
        "answer": "yes",
        "one": 1,
        "real": 0.5,
        "none": None,
        "big": "1",
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\\u0000b", "holds a NUL character"),
        ("\\ud800", "half of a surrogate pair"),
    ],
)
def test_text_that_cannot_be_stored_is_refused(value: str, message: str) -> None:
    text = document().replace('"action": "x"', f'"action": "x", "input": {{"k": ["{value}"]}}')

    assert message in mistakes_of(text)[0]
    assert "stages[0].input.k[0]" in mistakes_of(text)[0]


def test_half_a_character_in_the_text_itself_is_refused_at_its_place() -> None:
    mistakes = mistakes_of('name: one\nversion: "1.0.0"\ntitle: \ud800\n')

    assert mistakes == [
        "line 3, column 8, the document: holds half of a surrogate pair, which is not a character. Write the character whole."
    ]


@pytest.mark.parametrize("number", ["1e999", str(2**63), str(-(2**63) - 1), "12345678901234567890", "9" * 4000])
@pytest.mark.parametrize("begin", ["", "---\n"], ids=["json", "yaml"])
def test_numbers_that_json_cannot_carry_are_refused(begin: str, number: str) -> None:
    text = document().replace('"action": "x"', f'"action": "x", "input": {number}')

    assert "stages[0].input" in mistakes_of(begin + text)[0]


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_the_largest_whole_numbers_of_64_bits_are_kept_exactly(number: int) -> None:
    text = document().replace('"action": "x"', f'"action": "x", "input": {number}')

    assert load_pipeline(f"---\n{text}").stages[0].input == number
    assert load_pipeline(text).stages[0].input == number


@pytest.mark.parametrize(
    ("written", "seconds"), [("120s", 120), ("5m", 300), ("1h", 3600), ("250ms", 0.25), (7, 7), (0.5, 0.5)]
)
def test_a_timeout_is_a_number_of_seconds_or_a_duration(written: Any, seconds: float) -> None:
    text = document(timeout=written, stages=[{"id": "a", "worker": "w", "action": "x", "timeout": written}])

    assert load_pipeline(text).timeout_seconds == seconds


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("timeout: 1h30m", 'Write seconds, or text such as "90s", "5m" or "1h".'),
        ("timeout: '300'", "Write it without quotes."),
        ("optional: yes", "Write true or false."),
        ("optional: 'true'", "Write it without quotes."),
        ("retry: {max_attempts: three}", "Write a whole number from 1 to 10."),
        ("retry: {max_attempts: '3'}", "Write it without quotes."),
        ("retry: {max_attempts: '30'}", "Write a whole number from 1 to 10."),
    ],
)
def test_a_text_is_to_lose_its_quotes_only_when_it_fits_without(text: str, mend: str) -> None:
    (mistake,) = mistakes_of(f"name: one\nversion: '1.0.0'\nstages:\n  - id: a\n    worker: w\n    action: x\n    {text}\n")

    assert mistake.endswith(f". {mend}")


@pytest.mark.parametrize("written", ["5 minutes", "-1s", 0, -1, 86_401, "25h", True, "s"])
def test_other_timeouts_are_refused(written: Any) -> None:
    assert "timeout: must be a number above 0 and up to 86400" in mistakes_of(document(timeout=written))[0]


@pytest.mark.parametrize("written", [-1, 0, 10**400])
def test_a_wrong_timeout_of_the_pipeline_is_told_once_and_not_of_each_stage(written: int) -> None:
    assert ["stages" in mistake for mistake in mistakes_of(document(timeout=written))] == [False]


def test_a_stage_that_says_nothing_has_120_seconds_but_never_more_than_the_pipeline() -> None:
    assert load_pipeline(document()).stages[0].timeout_seconds == 120
    assert load_pipeline(document(timeout="1m")).stages[0].timeout_seconds == 60


def test_equal_pipelines_have_one_canonical_text_and_one_digest() -> None:
    one = load_pipeline(document(timeout=600, description="d"))
    other = load_pipeline("description: d\nstages: [{action: x, worker: w, id: a}]\nversion: '1.0.0'\nname: one\n")

    assert one == other
    assert dump_pipeline(one) == dump_pipeline(other)
    assert pipeline_digest(one) == pipeline_digest(other)
    assert pipeline_digest(one) != pipeline_digest(load_pipeline(document(description="e")))


def test_a_dump_writes_every_default_so_that_a_version_keeps_its_meaning() -> None:
    dumped = json.loads(dump_pipeline(load_pipeline(document())))

    assert dumped["timeout"] == 600
    assert dumped["stages"][0]["retry"] == {
        "max_attempts": 3,
        "backoff": {"initial_ms": 500, "factor": 2.0, "max_ms": 30000, "jitter": 0.2},
    }
    assert dumped["stages"][0]["timeout"] == 120


def test_a_stored_version_can_be_read_without_todays_checks() -> None:
    pipeline = Pipeline(name="old", version="not checked", stages=(Stage(id="a", worker="w", action="x", when="zz > 1"),))

    assert restore_pipeline(dump_pipeline(pipeline)) == pipeline


texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0{"), min_size=1, max_size=20)
inputs = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
words = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
conditions = st.sampled_from(["a.quality_score < 0.7", "{{a.x}} > 3 and params.z != null", "len(a.text) > 5"])
added = st.builds(Stage, id=st.just("added"), worker=words, action=words, input=inputs)
rules = st.one_of(
    st.builds(RetryStage, condition=conditions, max_retries=st.integers(1, 10)),
    st.builds(SkipStage, condition=conditions, stage=st.just("b")),
    st.builds(Fail, condition=conditions, message=texts),
    st.builds(Approve, condition=conditions, message=texts),
)
stages = st.builds(
    Stage,
    id=st.just("a"),
    worker=words,
    action=words,
    input=inputs,
    output_validation=st.none()
    | st.builds(
        OutputValidation,
        required_fields=st.lists(texts, max_size=2).map(tuple),
        min_quality_score=st.none() | st.floats(0, 1),
        schema=st.none() | st.just({"type": "object"}),
    ),
    retry=st.builds(Retry, max_attempts=st.integers(1, 10), backoff=st.builds(Backoff, jitter=st.floats(0, 1))),
    timeout_seconds=st.floats(0.001, 100) | st.integers(1, 100),
    optional=st.booleans(),
    fallback=st.none() | st.builds(Fallback, max_fallbacks=st.integers(0, 10)),
    compensate=st.none() | st.builds(Compensation, worker=words, action=words, input=inputs),
    cache=st.booleans(),
    rules=st.tuples(rules) | st.tuples(rules, st.builds(AddStage, condition=conditions, stage=added)),
)
pipelines = st.builds(
    lambda stage, **fields: Pipeline(
        name="generated",
        version="1.0.0",
        parameters={"type": "object", "additionalProperties": True, "properties": {"p": {}}},
        stages=(stage, Stage(id="b", capability="c", prefer_providers=("p",), depends_on=("a",))),
        outputs=(Output(name="out", stage="b", title="Out"),),
        **fields,
    ),
    stages,
    title=st.just("") | texts,
    description=st.just("") | texts,
    timeout_seconds=st.floats(200, 86_400),
    refusals=st.just(()) | st.tuples(st.builds(Refusal, condition=st.just("params.p == 1"), field=st.just("p"), message=texts)),
    structure_type=st.none() | words,
    offered=st.booleans(),
)


@given(pipelines)
@settings(max_examples=150, deadline=None)
def test_loading_what_was_dumped_gives_the_same_pipeline(pipeline: Pipeline) -> None:
    dumped = dump_pipeline(pipeline)

    assert load_pipeline(dumped) == pipeline
    assert dump_pipeline(load_pipeline(dumped)) == dumped


@given(st.text(max_size=200) | st.binary(max_size=200) | st.text(alphabet="{}[]:,-&*!?|> \n\"'ab#%", max_size=80))
@settings(max_examples=800, deadline=None)
def test_any_text_is_a_pipeline_or_a_list_of_mistakes(text: str | bytes) -> None:
    with pytest.raises(PipelineInvalid) as failure:
        load_pipeline(text)

    assert all(mistake.message and mistake.mend for mistake in failure.value.mistakes)
    assert failure.value.mistakes
