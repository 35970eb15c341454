"""The templates that every factory has."""

from typing import Any

import pytest

from aif_pipelines.definition import OutputValidation, Pipeline, RetryStage
from aif_pipelines.library import builtin_pipelines
from aif_pipelines.loading import dump_pipeline, load_pipeline
from aif_pipelines.parameters import check_parameters
from aif_pipelines.plan import compile_pipeline

SOURCE = {
    "storage_type": "OBJECT",
    "storage_key": "uploads/one",
    "size_bytes": 1024,
    "sha256": "0" * 64,
    "media_type": "text/markdown",
}


def builtin(kind: str) -> Pipeline:
    return next(pipeline for pipeline in builtin_pipelines() if pipeline.structure_type == kind)


def educational() -> Pipeline:
    return next(pipeline for pipeline in builtin_pipelines() if pipeline.name == "educational_content_pipeline")


def resolved(kind: str, order: dict[str, Any]) -> Any:
    pipeline = builtin(kind)
    checked = check_parameters(pipeline.parameters, order)
    assert checked.mistakes == ()
    return compile_pipeline(pipeline).stages["structure"].input.resolve({"params": checked.values})


def test_there_are_structures_from_documents_analyses_of_speech_and_text_and_workflows() -> None:
    assert [(p.name, p.version, p.offered) for p in builtin_pipelines()] == [
        ("call_analysis", "1.1.0", True),
        ("content_granulation_course", "1.0.0", True),
        ("content_granulation_quiz", "1.0.0", True),
        ("educational_content_pipeline", "1.0.0", True),
        ("pii_detection", "1.0.0", True),
        ("transcription", "1.0.0", True),
        ("workflow_generation", "1.0.0", True),
    ]


def test_the_educational_pipeline_researches_structures_and_asks() -> None:
    plan = compile_pipeline(educational())

    assert plan.order == ("research", "course", "quiz")
    assert {name: (stage.stage.worker, stage.stage.action) for name, stage in plan.stages.items()} == {
        "research": ("topic_researcher", "research_topic"),
        "course": ("content_granulator", "structure_course"),
        "quiz": ("content_granulator", "structure_quiz"),
    }
    assert [(output.name, output.stage) for output in plan.pipeline.outputs] == [
        ("optimised_course", "optimised"),
        ("course", "course"),
        ("quiz", "quiz"),
        ("research", "research"),
    ]
    assert load_pipeline(dump_pipeline(plan.pipeline)) == plan.pipeline


def test_poor_research_is_repeated_and_a_large_course_made_smaller() -> None:
    plan = compile_pipeline(educational())

    (again,) = plan.stages["research"].rules
    (smaller,) = plan.stages["course"].rules

    assert again.rule == RetryStage(condition="{{research.quality_score}} < 0.7", max_retries=2)
    assert [again.condition.holds({"research": {"quality_score": score}}) for score in (0.69, 0.7)] == [True, False]
    assert [smaller.condition.holds({"course": {"element_count": count}}) for count in (100, 101)] == [False, True]
    assert smaller.added is not None
    assert (smaller.added.stage.worker, smaller.added.stage.action) == ("content_optimizer", "optimize_large_structure")
    assert smaller.added.input.resolve({"course": {"title": "Bees"}}) == {"title": "Bees"}


@pytest.mark.parametrize(
    ("stages", "title"), [({"course": {"title": "large"}}, "large"), ({"course": {}, "optimised": {"title": "small"}}, "small")]
)
def test_the_quiz_is_made_from_the_smaller_course_where_there_is_one(stages: dict[str, Any], title: str) -> None:
    pipeline = educational()
    params = check_parameters(pipeline.parameters, {"source": SOURCE}).values

    order: Any = compile_pipeline(pipeline).stages["quiz"].input.resolve({"params": params, **stages})

    assert order["course"] == {"title": title}
    assert (order["source"], order["questionCount"]) == (SOURCE, 10)


def test_the_educational_pipeline_refuses_what_cannot_be_made() -> None:
    plan = compile_pipeline(educational())

    assert plan.refuse({"source": SOURCE}, set()) == []
    assert plan.refuse({"topic": "Bees"}, {"llm_generation"}) == []
    (bare,) = plan.refuse({"topic": "Bees"}, {"structuring", "research"})
    (nothing,) = plan.refuse({}, {"llm_generation"})
    assert "OPENAI_API_KEY" in bare.message
    assert nothing.message.startswith("there is nothing to make it from")


@pytest.mark.parametrize(("kind", "fields"), [("course", ("title", "modules")), ("quiz", ("title", "questions"))])
def test_each_is_one_stage_of_the_granulator(kind: str, fields: tuple[str, ...]) -> None:
    pipeline = builtin(kind)

    (stage,) = pipeline.stages
    assert (stage.id, stage.worker, stage.action) == ("structure", "content_granulator", f"structure_{kind}")
    assert stage.output_validation == OutputValidation(required_fields=fields, min_quality_score=0.5)
    assert (stage.retry.max_attempts, stage.timeout_seconds) == (3, 120)
    assert [(output.name, output.stage, output.media_type) for output in pipeline.outputs] == [
        (kind, "structure", "application/json")
    ]
    assert load_pipeline(dump_pipeline(pipeline)) == pipeline


def test_the_order_of_the_documents_is_taken_as_written() -> None:
    order = {
        "topic": "Machine Learning Fundamentals",
        "structureType": "course",
        "granularityLevel": 4,
        "targetAudience": "beginners",
        "validationEnabled": True,
        "validationLevel": 2,
    }

    assert resolved("course", order) == order


def test_an_order_that_says_only_its_source_gets_the_defaults() -> None:
    assert resolved("quiz", {"source": SOURCE}) == {
        "source": SOURCE,
        "structureType": "quiz",
        "granularityLevel": 3,
        "targetAudience": "general audience",
        "validationEnabled": True,
        "validationLevel": 2,
        "questionCount": 10,
    }


@pytest.mark.parametrize(
    ("order", "capabilities", "beginning"),
    [
        ({"source": SOURCE}, set(), None),
        ({"source": SOURCE, "topic": "Bees"}, set(), None),
        ({"topic": "Bees"}, {"llm_generation"}, None),
        ({"topic": "Bees"}, {"structuring"}, "a topic alone needs a language model, and none is configured: set "),
        ({}, {"llm_generation"}, "there is nothing to make it from: "),
        ({}, set(), "there is nothing to make it from: "),
    ],
)
def test_an_order_that_cannot_be_made_is_refused_in_our_words(
    order: dict[str, Any], capabilities: set[str], beginning: str | None
) -> None:
    plan = compile_pipeline(builtin("course"))

    refused = plan.refuse(check_parameters(plan.pipeline.parameters, order).values, capabilities)

    assert len(refused) == (0 if beginning is None else 1)
    for mistake in refused:
        assert mistake.path == "parameters.source"
        assert beginning is not None
        assert mistake.message.startswith(beginning)


def test_the_refusal_of_a_bare_topic_names_everything_that_can_be_configured() -> None:
    (mistake,) = compile_pipeline(builtin("quiz")).refuse({"topic": "Bees"}, set())

    for word in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AIF_OPENAI_BASE_URL", "Ollama, vLLM, llama.cpp", "source document"):
        assert word in mistake.message
