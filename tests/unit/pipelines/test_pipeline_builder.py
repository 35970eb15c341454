"""Pipelines written in Python."""

import copy
import re
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest

from aif_pipelines.builder import Pipeline, ref
from aif_pipelines.conditions import Condition
from aif_pipelines.definition import (
    AddStage,
    Approve,
    Compensation,
    Fail,
    Fallback,
    Output,
    OutputValidation,
    Refusal,
    Retry,
    RetryStage,
    SkipStage,
    Stage,
)
from aif_pipelines.expressions import compile_expression
from aif_pipelines.failures import PipelineInvalid
from aif_pipelines.loading import dump_pipeline, load_pipeline
from aif_pipelines.plan import compile_pipeline


class Capability(StrEnum):
    TRANSCRIPTION_DIARIZATION = "transcription_diarization"
    PII_REDACTION = "pii_redaction"
    SUMMARIZATION = "summarization"


def call_analysis(condition: Any) -> Any:
    return (
        Pipeline("call_analysis")
        .version("1.0.0")
        .description("Full call analysis with insights")
        .timeout(600)
        .step("transcribe")
        .capability(Capability.TRANSCRIPTION_DIARIZATION)
        .prefer_providers("deepgram", "openai")
        .output_as("transcript")
        .with_fallback(max_fallbacks=2)
        .with_retry(max_attempts=3)
        .done()
        .step("redact")
        .capability(Capability.PII_REDACTION)
        .input_from("transcript")
        .output_as("redacted")
        .done()
        .step("summarize")
        .capability(Capability.SUMMARIZATION)
        .when(condition)
        .input_from("redacted")
        .output_as("summary")
        .optional()
        .done()
        .build()
    )


def test_the_call_analysis_of_the_documents_builds() -> None:
    pipeline = call_analysis("len(redacted.text) > 500")

    transcribe, redact, summarize = pipeline.stages
    assert transcribe == Stage(
        id="transcribe",
        capability="transcription_diarization",
        prefer_providers=("deepgram", "openai"),
        input="{{params}}",
        fallback=Fallback(max_fallbacks=2),
        retry=Retry(max_attempts=3),
    )
    assert redact.input == "{{transcribe}}"
    assert summarize.input == "{{redact}}"
    assert summarize.when == "len(redact.text) > 500"
    assert summarize.optional
    assert pipeline.timeout_seconds == 600
    assert pipeline.outputs == (
        Output(name="transcript", stage="transcribe"),
        Output(name="redacted", stage="redact"),
        Output(name="summary", stage="summarize"),
    )


def test_what_is_built_makes_the_round_trip_and_compiles() -> None:
    pipeline = call_analysis(ref("redacted.text").length() > 500)

    assert load_pipeline(dump_pipeline(pipeline)) == pipeline
    assert compile_pipeline(pipeline).order == ("transcribe", "redact", "summarize")
    assert compile_pipeline(pipeline).stages["summarize"].when is not None


def test_a_template_without_second_names_stays_as_it_is_written() -> None:
    written = {"note": "On {{ params.topic }}", "from": "{{ findings ?? params.topic? }}", "also": ["{{params['topic']}}"]}
    steps = Pipeline("line").step("research").worker("w", "x").output_as("findings").done()

    built = steps.step("draft").worker("w", "x").input(written).done().build()

    assert built.stages[1].input == {
        "note": "On {{ params.topic }}",
        "from": "{{research ?? params.topic?}}",
        "also": ["{{params['topic']}}"],
    }


def test_a_condition_made_of_operators_is_text() -> None:
    condition = (ref("a.score") < 0.7) & ~(ref("a.tags").has("x") | (ref("a.n") + 1 == 3)) & (ref("a.b") != None)  # noqa: E711

    assert str(compile_expression(str(condition))) == (
        'a.score < 0.7 and not (contains(a.tags, "x") or a.n + 1 == 3) and a.b != null'
    )
    assert str(compile_expression(str(ref("a.x").otherwise(1e-7) / 2 >= -1))) == ("coalesce(a.x, 0.0000001) / 2 >= -1")


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (ref("a.n") <= 2, "a.n <= 2"),
        (ref("a.n") - 1 >= ref("b.n") * 2, "a.n - 1 >= b.n * 2"),
        (ref("a.ok") == True, "a.ok == true"),  # noqa: E712
        (ref("a.ok") != False, "a.ok != false"),  # noqa: E712
        (ref("a.title").lower() == 'caf\u00e9 "x"', 'lower(a.title) == "caf\u00e9 \\"x\\""'),
        (ref("a.cost") > Decimal("0.10"), "a.cost > 0.10"),
    ],
)
def test_a_condition_made_of_operators_reads_as_it_was_written(condition: Condition, text: str) -> None:
    assert str(compile_expression(str(condition))) == text


def test_a_condition_has_no_truth_in_python() -> None:
    with pytest.raises(TypeError, match="write & for and"):
        bool(ref("a.x") > 1)


@pytest.mark.parametrize("method", ["when", "retry_if"])
def test_a_function_is_refused_as_a_condition_with_the_mend(method: str) -> None:
    step = Pipeline("p").step("a")

    with pytest.raises(TypeError, match="cannot be stored or sent to another service"):
        getattr(step, method)(lambda ctx: True)


def test_a_function_is_refused_as_a_compensation_with_the_mend() -> None:
    with pytest.raises(TypeError, match="takes a worker and an action"):
        Pipeline("p").step("a").compensate_with(lambda ctx: None)  # type: ignore[arg-type]


def test_a_compensation_gets_the_output_of_its_step() -> None:
    pipeline = Pipeline("p").step("store").worker("storage", "put").compensate_with("storage", "delete").done().build()

    assert pipeline.stages[0].compensate == Compensation(worker="storage", action="delete", input="{{store}}")


def test_rules_use_the_names_of_outputs() -> None:
    extra = Stage(id="extra", worker="w", action="y", input="{{course}}")
    pipeline = (
        Pipeline("p")
        .step("make")
        .worker("w", "x")
        .output_as("course", title="Course")
        .retry_if(ref("course.quality_score") < 0.7, max_retries=2)
        .add_if("course.element_count > 100", extra)
        .skip_if("course.element_count < 3", "quiz")
        .done()
        .step("questions")
        .worker("w", "z")
        .input_from("course")
        .output_as("quiz")
        .done()
        .build()
    )

    retry, add, skip = pipeline.stages[0].rules
    assert skip == SkipStage(condition="make.element_count < 3", stage="questions")
    assert retry == RetryStage(condition="make.quality_score < 0.7", max_retries=2)
    assert isinstance(add, AddStage)
    assert add.stage.input == "{{make}}"


def test_every_other_word_of_the_builder_says_what_it_says() -> None:
    pipeline = (
        Pipeline("p")
        .hidden()
        .title("Everything else")
        .step("make")
        .worker("w", "x")
        .cached()
        .with_fallback(max_fallbacks=5)
        .validate_output("title", min_quality_score=0.8)
        .skip_if(ref("make.quality_score") > 0.9, "polish")
        .fail_if("make.quality_score < 0.1", "worthless")
        .approve_if("make.quality_score < 0.5", "look at it")
        .done()
        .step("polish")
        .worker("w", "y")
        .input_from("make")
        .done()
        .build()
    )

    stage = pipeline.stages[0]
    assert pipeline.offered is False
    assert pipeline.title == "Everything else"
    assert stage.fallback == Fallback(max_fallbacks=5)
    assert stage.cache is True
    assert stage.output_validation == OutputValidation(required_fields=("title",), min_quality_score=0.8)
    assert stage.rules == (
        SkipStage(condition="(make.quality_score > 0.9)", stage="polish"),
        Fail(condition="make.quality_score < 0.1", message="worthless"),
        Approve(condition="make.quality_score < 0.5", message="look at it"),
    )


def test_the_output_of_an_added_stage_has_a_name_and_is_preferred_where_it_is_there() -> None:
    polish = Stage(id="polish", worker="w", action="y", input="{{course}}")
    pipeline = (
        Pipeline("p")
        .step("make")
        .worker("w", "x")
        .output_as("course")
        .add_if(ref("course.quality_score") < 0.7, polish, output_as="polished")
        .done()
        .step("quiz")
        .worker("w", "z")
        .input_from_first("polished", "course")
        .done()
        .build()
    )

    assert pipeline.stages[1].input == "{{polish ?? make}}"
    assert pipeline.outputs == (Output(name="course", stage="make"), Output(name="polished", stage="polish"))


def test_a_name_of_an_output_cannot_be_that_of_an_added_stage() -> None:
    polish = Stage(id="polish", worker="w", action="y")
    builder = Pipeline("p").step("make").worker("w", "x").output_as("polish").add_if("true", polish).done()

    with pytest.raises(PipelineInvalid, match="the name polish is taken"):
        builder.build()


def test_only_what_is_named_is_delivered() -> None:
    builder = Pipeline("p").step("a").worker("w", "x").output_as("raw").done()
    builder = builder.step("b").worker("w", "x").input_from("raw", "a").output_as("clean").done()

    pipeline = builder.deliver("clean").build()

    assert pipeline.outputs == (Output(name="clean", stage="b"),)
    assert pipeline.stages[1].input == {"raw": "{{a}}", "a": "{{a}}"}


def test_every_mistake_is_told_when_it_is_built() -> None:
    builder = Pipeline("p").version("1").step("a").worker("w", "x").when("zz.x > 1").output_as("b").done()

    with pytest.raises(PipelineInvalid) as failure:
        builder.step("b").worker("w", "x").done().deliver("nothing").build()

    assert [mistake.path for mistake in failure.value.mistakes] == [
        "stages[0]",
        "version",
        "stages[0].when",
        "output[0].stage",
    ]


def test_an_order_may_be_refused_by_a_condition_on_its_parameters() -> None:
    schema = {"type": "object", "properties": {"words": {"type": "integer"}}}
    builder = Pipeline("p").parameters(schema).refuse(ref("params.words") > 500, field="words", message="too long")

    pipeline = builder.step("a").worker("w", "x").done().build()

    assert pipeline.refusals == (Refusal(condition="(params.words > 500)", field="words", message="too long"),)


def test_an_output_of_no_sound_media_type_is_refused_with_an_example() -> None:
    builder = Pipeline("p").step("a").worker("w", "x").output_as("text", media_type="markdown").done()

    with pytest.raises(
        PipelineInvalid, match=r'output\[0\].media_type: must be a media type such as application/json, not "mark'
    ):
        builder.build()


def test_a_duration_may_be_text() -> None:
    pipeline = Pipeline("p").timeout("10m").step("a").worker("w", "x").timeout("90s").done().build()

    assert (pipeline.timeout_seconds, pipeline.stages[0].timeout_seconds) == (600, 90)
    with pytest.raises(TypeError, match="is not a duration"):
        Pipeline("p").timeout("soon")


@pytest.mark.parametrize("word", ["params", "budget", "execution"])
def test_an_output_cannot_take_the_name_of_what_every_text_can_read(word: str) -> None:
    step = Pipeline("p").step("a").worker("w", "x").output_as(word).done().step("b").worker("w", "x").input("{{params.topic}}")

    with pytest.raises(PipelineInvalid, match=f"the name {word} is taken"):
        step.done().build()


def one_step() -> Any:
    return Pipeline("p").step("make").worker("w", "x")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (lambda: one_step().build(), r"build\(\) is said of the pipeline: end the step by done\(\) before it"),
        (lambda: one_step().step("next"), r"step\(\) is said of the pipeline: end the step by done\(\) before it"),
        (lambda: one_step().done().when("true"), r"when\(\) is said of a step: write it between step\(…\) and done\(\)"),
        (lambda: one_step().done().done(), r"done\(\) ends a step, and here none is open"),
        (lambda: one_step().optionally(), r"a step has no method optionally\(\)"),
        (lambda: one_step().done().built(), r"a pipeline has no method built\(\)"),
    ],
)
def test_a_method_in_the_wrong_place_is_told_where_it_belongs(written: Callable[[], Any], said: str) -> None:
    with pytest.raises(AttributeError, match=said):
        written()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (lambda: one_step().depends_on(["a"]), 'depends_on takes names one by one, as in depends_on("draft", "review")'),
        (lambda: one_step().input_from(["a", "b"]), "input_from takes names one by one"),
        (lambda: one_step().input_from_first(["a", "b"]), "input_from_first takes names one by one"),
        (lambda: one_step().done().deliver(["make"]), "deliver takes names one by one"),
        (lambda: one_step().add_if("true", "polish"), "add_if takes a stage, as in add_if"),
        (lambda: one_step().add_if("true", one_step()), "add_if takes a stage, as in add_if"),
        (lambda: one_step().timeout(None), "None is not a duration; write seconds"),
    ],
)
def test_an_argument_of_another_kind_is_told_what_to_write(written: Callable[[], Any], said: str) -> None:
    with pytest.raises(TypeError, match=re.escape(said)):
        written()


def test_a_builder_can_be_copied() -> None:
    builder = one_step().done()

    assert copy.deepcopy(builder).build() == builder.build()


def test_an_added_stage_that_says_no_timeout_has_that_of_a_short_pipeline_as_in_a_document() -> None:
    late = Stage(id="late", worker="w", action="z")
    polish = Stage(id="polish", worker="w", action="y", rules=(AddStage(condition="true", stage=late),))

    built = Pipeline("p").timeout("1m").step("make").worker("w", "x").add_if("true", polish).done().build()

    assert built == load_pipeline("""
        name: p
        version: 1.0.0
        timeout: 1m
        parameters: {type: object, additionalProperties: true}
        stages:
          - id: make
            worker: w
            action: x
            input: "{{params}}"
            rules:
              - condition: "true"
                action: add_stage
                stage:
                  id: polish
                  worker: w
                  action: y
                  rules: [{condition: "true", action: add_stage, stage: {id: late, worker: w, action: z}}]
    """)


def test_an_added_stage_that_says_more_than_the_pipeline_has_is_refused() -> None:
    polish = Stage(id="polish", worker="w", action="y", timeout_seconds=90)
    builder = Pipeline("p").timeout("1m").step("make").worker("w", "x").add_if("true", polish).done()

    with pytest.raises(PipelineInvalid, match="the stage may take 90 s, the whole pipeline only 60 s"):
        builder.build()
