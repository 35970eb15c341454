"""Documents of the older style give the same definition."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aif_pipelines.definition import AddStage, Output, OutputValidation, RetryStage
from aif_pipelines.failures import PipelineInvalid
from aif_pipelines.loading import dump_pipeline, load_pipeline
from aif_pipelines.plan import compile_pipeline

STAGES: list[dict[str, Any]] = [
    {
        "stage_index": 1,
        "worker_name": "topic_researcher",
        "depends_on": [],
        "output_validation": {"required_fields": ["research_summary", "key_points"], "min_quality_score": 0.8},
    },
    {
        "stage_index": 2,
        "worker_name": "bitware-content-granulator",
        "depends_on": [1],
        "input_mapping": {"topic": "{{stage_1.research_summary}}", "context": "{{stage_1.key_points}}"},
    },
]
CONDITIONALS: list[dict[str, Any]] = [
    {
        "condition": "{{stage_1.quality_score}} < 0.7",
        "action": "retry_stage",
        "params": {"max_retries": 2},
    },
    {
        "condition": "{{stage_2.element_count}} > 100",
        "action": "add_stage",
        "stage": {"worker_name": "content_optimizer", "action": "optimize_large_structure"},
    },
]


def written(**changes: Any) -> str:
    return json.dumps({"name": "educational", "pipeline_stages": STAGES, "conditional_stages": CONDITIONALS, **changes})


def test_stages_by_index_become_stages_by_id() -> None:
    pipeline = load_pipeline(written())

    first, second = pipeline.stages
    assert pipeline.name == "educational"
    assert (first.id, first.worker, first.action) == ("stage_1", "topic_researcher", "research_topic")
    assert first.input == "{{params}}"
    assert first.output_validation == OutputValidation(
        required_fields=("research_summary", "key_points"), min_quality_score=0.8
    )
    assert (second.id, second.worker, second.action) == ("stage_2", "content_granulator", "structure_course")
    assert second.depends_on == ("stage_1",)
    assert second.input == {"topic": "{{stage_1.research_summary}}", "context": "{{stage_1.key_points}}"}


def test_conditional_stages_become_rules_of_the_stage_that_they_read() -> None:
    first, second = load_pipeline(written()).stages

    assert first.rules == (RetryStage(condition="{{stage_1.quality_score}} < 0.7", max_retries=2),)
    (rule,) = second.rules
    assert isinstance(rule, AddStage)
    assert rule.condition == "{{stage_2.element_count}} > 100"
    assert (rule.stage.id, rule.stage.worker, rule.stage.action, rule.stage.input) == (
        "stage_3",
        "content_optimizer",
        "optimize_large_structure",
        "{{stage_2}}",
    )


def test_the_documents_two_examples_put_together_and_nothing_more_can_be_run() -> None:
    text = json.dumps({"pipeline_stages": STAGES, "conditional_stages": CONDITIONALS})
    other = text.replace("100", "50")

    plan = compile_pipeline(load_pipeline(text))

    assert plan.order == ("stage_1", "stage_2")
    assert set(plan.extra) == {"stage_3"}
    assert plan.extra["stage_3"].output_names == ("stage_3",)
    assert plan.pipeline.name == load_pipeline(text).name
    assert plan.pipeline.name != load_pipeline(other).name


def test_an_educational_pipeline_with_a_quiz_from_the_course_that_was_optimised_can_be_run() -> None:
    quiz = {
        "stage_index": 4,
        "worker_name": "bitware-content-granulator",
        "action": "structure_quiz",
        "depends_on": [2],
        "input_mapping": {"source": "{{stage_5 ?? stage_2}}"},
    }

    plan = compile_pipeline(load_pipeline(written(pipeline_stages=[*STAGES, {**quiz, "stage_index": 3}, quiz])))

    assert plan.stages["stage_4"].needs == {"stage_2", "stage_5"}
    assert plan.stages["stage_4"].requires == {frozenset({"stage_2", "stage_5"})}
    assert [output.stage for output in plan.pipeline.outputs] == ["stage_3", "stage_4", "stage_5"]


def test_an_added_stage_gets_an_index_that_no_other_has() -> None:
    stages = [{**STAGES[0], "stage_index": 2}, {**STAGES[0], "stage_index": 3}]
    adding = [{**CONDITIONALS[1], "condition": "stage_2.element_count > 1"}] * 2

    pipeline = load_pipeline(written(pipeline_stages=stages, conditional_stages=adding))

    assert [rule.stage.id for rule in pipeline.stages[0].rules if isinstance(rule, AddStage)] == ["stage_4", "stage_5"]


def test_an_added_stage_reads_what_it_says_and_else_the_stage_that_adds_it() -> None:
    mapped = {**CONDITIONALS[1], "stage": {**CONDITIONALS[1]["stage"], "input_mapping": {"title": "{{stage_1.title}}"}}}

    rules = [load_pipeline(written(conditional_stages=[each])).stages[1].rules[0] for each in (CONDITIONALS[1], mapped)]

    assert [rule.stage.input for rule in rules if isinstance(rule, AddStage)] == ["{{stage_2}}", {"title": "{{stage_1.title}}"}]


def test_what_nothing_depends_on_and_what_rules_add_is_delivered_and_any_parameter_is_taken() -> None:
    pipeline = load_pipeline(written())

    assert pipeline.outputs == (Output(name="stage_2", stage="stage_2"), Output(name="stage_3", stage="stage_3"))
    assert pipeline.version == "1.0.0"
    assert pipeline.parameters == {"type": "object", "additionalProperties": True}


def test_the_documents_conditions_work_as_written() -> None:
    plan = compile_pipeline(load_pipeline(written()))
    retry, add = plan.stages["stage_1"].rules[0], plan.stages["stage_2"].rules[0]

    assert retry.condition.holds({"stage_1": {"quality_score": 0.69}}) is True
    assert retry.condition.holds({"stage_1": {"quality_score": 0.7}}) is False
    assert add.condition.holds({"stage_2": {"element_count": 101}}) is True
    assert add.condition.holds({"stage_2": {"element_count": 100}}) is False


@pytest.mark.parametrize(
    ("name", "worker"),
    [
        ("bitware-content-granulator", "content_granulator"),
        ("content classifier", "classifier"),
        ("bitware-content-classifier", "classifier"),
        ("topic_researcher", "topic_researcher"),
    ],
)
def test_the_older_worker_names_are_known(name: str, worker: str) -> None:
    stages = [{"stage_index": 1, "worker_name": name}]

    assert load_pipeline(written(pipeline_stages=stages, conditional_stages=[])).stages[0].worker == worker


def test_conditional_stages_may_stand_beside_stages_of_the_present_style_which_are_left_as_they_are() -> None:
    stages = [{"id": "check", "worker": "classifier", "action": "analyze_worker_performance"}]
    conditionals = [{"condition": "check.quality_score < 0.5", "action": "retry_stage"}]
    text = json.dumps({"name": "mixed", "version": "1.0.0", "stages": stages, "conditional_stages": conditionals})

    pipeline = load_pipeline(text)

    assert pipeline.stages[0].input == {}
    assert pipeline.stages[0].rules == (RetryStage(condition="check.quality_score < 0.5"),)
    assert pipeline.outputs == ()


def test_a_conditional_stage_that_reads_no_stage_becomes_a_rule_of_the_last_one() -> None:
    first, second = load_pipeline(
        written(conditional_stages=[{**CONDITIONALS[0], "condition": "params.careful == true"}])
    ).stages

    assert first.rules == ()
    assert second.rules == (RetryStage(condition="params.careful == true", max_retries=2),)


def test_a_stage_by_index_whose_worker_has_its_present_name_gets_the_workers_action() -> None:
    stages = [{"stage_index": 1, "worker": "topic_researcher"}]

    assert load_pipeline(written(pipeline_stages=stages, conditional_stages=[])).stages[0].action == "research_topic"


def test_a_stage_after_one_other_gets_its_output() -> None:
    stages = [STAGES[0], {"stage_index": 2, "worker_name": "content_granulator", "depends_on": [1]}]

    assert load_pipeline(written(pipeline_stages=stages, conditional_stages=[])).stages[1].input == "{{stage_1}}"


def test_a_stage_after_two_others_gets_both_outputs() -> None:
    stages = [
        {"stage_index": 1, "worker_name": "topic_researcher"},
        {"stage_index": 2, "worker_name": "topic_researcher"},
        {"stage_index": 3, "worker_name": "content_granulator", "depends_on": [1, 2]},
    ]

    pipeline = load_pipeline(written(pipeline_stages=stages, conditional_stages=[]))

    assert [stage.input for stage in pipeline.stages[:2]] == ["{{params}}", "{{params}}"]
    assert pipeline.stages[2].input == {"stage_1": "{{stage_1}}", "stage_2": "{{stage_2}}"}


@pytest.mark.parametrize("conditionals", [CONDITIONALS[0], "retry_stage", None, 5])
def test_conditional_stages_that_are_no_list_are_refused_and_not_left_out(conditionals: Any) -> None:
    with pytest.raises(PipelineInvalid) as failure:
        load_pipeline(written(conditional_stages=conditionals))

    assert failure.value.mistakes[0].path == "conditional_stages"
    assert "must be a list" in failure.value.mistakes[0].message


def test_a_document_with_stages_of_both_styles_is_refused_and_not_half_read() -> None:
    with pytest.raises(PipelineInvalid) as failure:
        load_pipeline(written(name="both", version="1.0.0", stages=[{"id": "a", "worker": "w", "action": "x"}]))

    assert "pipeline_stages" in [mistake.path for mistake in failure.value.mistakes]


@pytest.mark.parametrize(("older", "present"), [("worker_name", "worker"), ("input_mapping", "input")])
def test_of_a_stage_with_both_words_for_one_thing_none_is_taken_in_silence(older: str, present: str) -> None:
    both = {**STAGES[1], present: "content_granulator"}

    with pytest.raises(PipelineInvalid) as failure:
        load_pipeline(written(pipeline_stages=[STAGES[0], both]))

    assert [(mistake.path, mistake.message) for mistake in failure.value.mistakes] == [
        (f"pipeline_stages[1].{older}", "is not a known field")
    ]


@pytest.mark.parametrize("params", [2, "max_retries: 2", [{"max_retries": 2}]])
def test_params_of_a_conditional_stage_that_are_no_object_are_refused_and_not_left_out(params: Any) -> None:
    with pytest.raises(PipelineInvalid) as failure:
        load_pipeline(written(conditional_stages=[{**CONDITIONALS[0], "params": params}]))

    assert [mistake.path for mistake in failure.value.mistakes] == ["conditional_stages[0].params"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"pipeline_stages": 5, "conditional_stages": []}, "pipeline_stages"),
        ({"pipeline_stages": ["stage_1"], "conditional_stages": []}, "pipeline_stages[0]"),
        (
            {"pipeline_stages": [{**STAGES[0], "stage_index": "A"}], "output": [], "conditional_stages": []},
            "pipeline_stages[0].stage_index",
        ),
        ({"pipeline_stages": [{**STAGES[0], "id": "Bad"}], "output": [], "conditional_stages": []}, "pipeline_stages[0].id"),
        (
            {"conditional_stages": [{**CONDITIONALS[1], "stage": None, "params": {"stage": {"capability": 5}}}]},
            "conditional_stages[0].params.stage.capability",
        ),
    ],
)
def test_a_mistake_is_told_at_the_field_that_the_author_has_to_change(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(PipelineInvalid) as failure:
        load_pipeline(written(**changes))

    assert [mistake.path for mistake in failure.value.mistakes] == [path]


def test_mistakes_are_told_in_the_words_of_the_document() -> None:
    text = """
template_name: educational
pipeline_stages:
  - stage_index: 1
    worker_name: topic_researcher
    input_mapping: {topic: "{{stage_9.x}}"}
conditional_stages:
  - condition: "{{stage_1.quality_score}} < "
    action: retry_stage
    params: {max_retries: many}
"""

    with pytest.raises(PipelineInvalid) as failure:
        load_pipeline(text)
    with pytest.raises(PipelineInvalid) as second:
        load_pipeline(text.replace("many", "2"))

    assert [(mistake.path, mistake.line) for mistake in failure.value.mistakes] == [
        ("conditional_stages[0].params.max_retries", 10)
    ]
    assert {(mistake.path, mistake.line) for mistake in second.value.mistakes} == {
        ("pipeline_stages[0].input_mapping.topic", 6),
        ("conditional_stages[0].condition", 8),
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"pipeline_stages": 5},
        {"pipeline_stages": [5, None, {"worker_name": 3, "depends_on": 4}]},
        {"pipeline_stages": [{"stage_index": [], "depends_on": [[]]}]},
        {"pipeline_stages": [{"id": [], "worker_name": "topic_researcher"}]},
        {"conditional_stages": [5, {"condition": 3}, {"condition": "stage_1 <", "action": "add_stage", "stage": 3}]},
        {"pipeline_stages": [], "conditional_stages": CONDITIONALS},
        {"pipeline_stages": [], "conditional_stages": 5},
        {"pipeline_stages": [5], "conditional_stages": 5},
        {"pipeline_stages": [{**STAGES[0], "rules": 5}]},
        {"pipeline_stages": [{**STAGES[0], "rules": [{"condition": "true", "action": "add_stage", "stage": {"worker": "w"}}]}]},
    ],
)
def test_an_odd_document_is_refused_with_mistakes_and_nothing_else(changes: dict[str, Any]) -> None:
    with pytest.raises(PipelineInvalid) as failure:
        load_pipeline(written(**changes))

    assert failure.value.mistakes


FIELDS = [
    "id",
    "stage_index",
    "worker_name",
    "worker",
    "depends_on",
    "input_mapping",
    "params",
    "condition",
    "action",
    "stage",
    "rules",
    "timeout",
]
TEXTS = ["stage_1", "{{stage_1}}", "add_stage", "stage_1 > 1", ""]
odd = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=8,
)


@given(odd, odd, odd)
@settings(max_examples=1000, deadline=None)
def test_whatever_stands_in_an_older_document_loading_ends_in_mistakes(stages: Any, conditionals: Any, output: Any) -> None:
    text = written(pipeline_stages=stages, conditional_stages=conditionals, output=output, version="")

    with pytest.raises(PipelineInvalid) as failure:
        load_pipeline(text)

    assert failure.value.mistakes


def test_a_translated_pipeline_makes_the_round_trip() -> None:
    pipeline = load_pipeline(written())

    assert load_pipeline(dump_pipeline(pipeline)) == pipeline
