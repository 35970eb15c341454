"""The compiled pipeline that an execution follows."""

import pytest

from aif_pipelines.definition import (
    AddStage,
    Compensation,
    Output,
    OutputValidation,
    Pipeline,
    Refusal,
    RetryStage,
    Stage,
)
from aif_pipelines.failures import PipelineInvalid
from aif_pipelines.plan import compile_pipeline

ANYTHING = {"type": "object", "additionalProperties": True}


def stage(name: str, **changes: object) -> Stage:
    return Stage(**{"id": name, "worker": "w", "action": "x", **changes})  # type: ignore[arg-type]


def pipeline(*stages: Stage, **changes: object) -> Pipeline:
    return Pipeline(**{"name": "p", "version": "1.0.0", "stages": stages, **changes})  # type: ignore[arg-type]


def test_stages_are_ordered_after_what_they_read_and_else_as_written() -> None:
    plan = compile_pipeline(
        pipeline(
            stage("quiz", input="{{course}}"),
            stage("course", input={"summary": "{{research.summary}}"}),
            stage("other"),
            stage("research"),
        )
    )

    assert plan.order == ("other", "research", "course", "quiz")
    assert tuple(plan.stages) == plan.order


def test_what_input_when_and_rules_read_is_waited_for_without_being_named() -> None:
    plan = compile_pipeline(
        pipeline(
            stage("a"),
            stage("b"),
            stage("c"),
            stage("d"),
            stage(
                "e",
                depends_on=("d",),
                input="{{a.x}}",
                when="b.x > 1 and params != null",
                rules=(RetryStage(condition="e.quality_score < c.quality_score"),),
            ),
        )
    )

    assert plan.stages["e"].needs == {"a", "b"}
    assert plan.stages["e"].judged_with == {"c", "e"}
    assert plan.stages["e"].depends_on == {"a", "b", "c", "d"}
    assert plan.stages["a"].dependents == ("e",)
    assert plan.stages["e"].dependents == ()


def test_a_stage_read_with_a_question_mark_is_waited_for_but_not_required() -> None:
    plan = compile_pipeline(
        pipeline(
            stage("a", optional=True),
            stage("b"),
            stage("c"),
            stage("d", input={"a": "{{a.x?}}", "b": "{{b.x}} {{b.y?}}"}, when="c.x == null"),
        )
    ).stages["d"]

    assert plan.needs == {"a", "b", "c"}
    assert plan.requires == {frozenset({"b"})}
    assert plan.input.resolve({"b": {"x": 1}}) == {"b": "1 "}


def test_a_stage_plan_has_everything_compiled() -> None:
    added = stage("extra", input="{{a}}")
    plan = compile_pipeline(
        pipeline(
            stage(
                "a",
                input={"topic": "About {{execution.id}}"},
                when="budget.remaining_usd > 0.5",
                rules=(AddStage(condition="a.element_count > 100", stage=added),),
                compensate=Compensation(worker="w", action="undo", input="{{a.key}}"),
                output_validation=OutputValidation(required_fields=("title",), min_quality_score=0.5),
            ),
            outputs=(Output(name="course", stage="a"), Output(name="copy", stage="a")),
        )
    ).stages["a"]

    assert plan.input.resolve({"execution": {"id": "exec_1"}}) == {"topic": "About exec_1"}
    assert plan.when is not None
    assert plan.when.holds({"budget": {"remaining_usd": 0.6}})
    assert plan.rules[0].condition.holds({"a": {"element_count": 101}})
    assert plan.rules[0].added is not None
    assert plan.rules[0].added.input.resolve({"a": {"k": 1}}) == {"k": 1}
    assert plan.compensation is not None
    assert plan.compensation.resolve({"a": {"key": "k"}}) == "k"
    assert plan.output_names == ("course", "copy")


@pytest.mark.parametrize(
    ("output", "quality", "paths"),
    [
        ({"title": "t", "n": 3}, 0.5, []),
        ({"title": "", "n": 3}, 0.5, ["output.title"]),
        ({"n": 3}, 0.4, ["output.title", "quality_score"]),
        ({"title": "t", "n": "x"}, None, ["quality_score", "output.n"]),
        ("text", 0.9, ["output.title", "output"]),
    ],
)
def test_an_output_is_checked_against_what_the_stage_asks_for(output: object, quality: float | None, paths: list[str]) -> None:
    validation = OutputValidation(
        required_fields=("title",),
        min_quality_score=0.5,
        schema={"type": "object", "properties": {"n": {"type": "integer"}}},
    )
    check = compile_pipeline(pipeline(stage("a", output_validation=validation))).stages["a"].output_check

    assert check is not None
    assert [mistake.path for mistake in check.mistakes(output, quality)] == paths


def test_an_output_of_which_nothing_is_asked_passes() -> None:
    check = compile_pipeline(pipeline(stage("a", output_validation=OutputValidation()))).stages["a"].output_check

    assert check is not None
    assert check.mistakes("text", None) == []
    assert check.mistakes({}, 0.0) == []


@pytest.mark.parametrize(
    ("template", "is_repeatable"),
    [
        ("text", True),
        ("{{params.topic}} {{a.text}}", True),
        ("{{a}}", True),
        ("{{a.cost_usd}}", False),
        ("{{params.topic}} {{a.cost_usd}}", False),
        ("{{execution.id}}", False),
        ("{{budget.remaining_usd}}", False),
    ],
)
def test_an_input_comes_out_the_same_again_unless_it_reads_what_may_still_change(template: str, is_repeatable: bool) -> None:
    undo = Compensation(worker="w", action="undo", input="{{b.text}}")
    plan = compile_pipeline(pipeline(stage("a"), stage("b", input=template, compensate=undo), parameters=ANYTHING))

    assert plan.stages["b"].input_is_repeatable is is_repeatable
    assert plan.extra["compensate_b"].input_is_repeatable is False


def test_an_order_is_refused_by_what_it_says_and_by_who_is_there() -> None:
    plan = compile_pipeline(
        pipeline(
            stage("a"),
            parameters={"type": "object", "properties": {"source": {"type": "object"}}},
            refusals=(
                Refusal(
                    condition="params.source == null and 'llm_generation' not in capabilities",
                    field="source",
                    message="a topic alone needs a language model",
                ),
            ),
        )
    )

    assert plan.refuse({"source": {"k": 1}}, set()) == []
    assert plan.refuse({}, {"llm_generation"}) == []
    assert [(mistake.path, mistake.message) for mistake in plan.refuse({}, {"structuring"})] == [
        ("parameters.source", "a topic alone needs a language model")
    ]


def test_a_pipeline_with_mistakes_cannot_be_compiled_and_all_are_told() -> None:
    with pytest.raises(PipelineInvalid) as failure:
        compile_pipeline(pipeline(stage("a", when="1 +"), stage("b", input="{{zz}}")))

    assert [mistake.path for mistake in failure.value.mistakes] == ["stages[0].when", "stages[1].input"]
