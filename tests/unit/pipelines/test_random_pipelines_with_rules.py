"""Properties of every sound pipeline with rules, by generated ones."""

from collections.abc import Mapping
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from aif_pipelines import builder
from aif_pipelines.added_stages import MAX_GROWN_STAGES, all_stages, grown
from aif_pipelines.checks import check_pipeline
from aif_pipelines.definition import (
    AddStage,
    Approve,
    Compensation,
    Fail,
    Output,
    Pipeline,
    RetryStage,
    Rule,
    SkipStage,
    Stage,
)
from aif_pipelines.graph import ancestors
from aif_pipelines.loading import dump_pipeline, load_pipeline
from aif_pipelines.plan import compensation_id, compile_pipeline

PARAMETERS = {"type": "object", "properties": {"topic": {"type": "string"}}}


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """Up to four stages, each perhaps reading earlier ones and what their rules may have added."""
    edges: dict[str, set[str]] = {}
    made: list[Stage] = []
    for number in range(draw(st.integers(1, 4))):
        name = f"s{number}"
        edges[name] = draw(st.sets(st.sampled_from(sorted(edges)), max_size=2)) if edges else set()
        before = sorted(ancestors(edges, name))
        maybe = [one.id for _, one in all_stages(_pipeline(*made)) if one.id.partition("_")[0] in before and "_" in one.id]
        made.append(replace(_stage(draw, name, before, maybe), depends_on=tuple(sorted(edges[name]))))
    made = [replace(one, rules=(*one.rules, *_skips(draw, one.id, edges))) for one in made]
    ids = [one.id for _, one in all_stages(_pipeline(*made))]
    delivered = draw(st.lists(st.sampled_from(ids), unique=True, max_size=3))
    pipeline = _pipeline(*made, outputs=tuple(Output(name=name, stage=name) for name in delivered))
    assume(grown(pipeline) <= MAX_GROWN_STAGES)
    return pipeline


def _stage(draw: st.DrawFn, name: str, before: list[str], maybe: list[str]) -> Stage:
    """A stage that another adds is called after it, so that `s0_and1` is known to be one of `s0`."""
    rules = [_rule(draw, name, number, before, maybe) for number in range(draw(st.integers(0, 3 - name.count("_"))))]
    undo = draw(st.none() | _templates([name, *before], maybe, budget=False))
    return Stage(
        id=name,
        worker="w",
        action="x",
        input=draw(_templates(before, maybe)),
        when=draw(st.none() | _conditions([*before, *maybe])),
        optional=draw(st.booleans()),
        compensate=None if undo is None else Compensation(worker="w", action="undo", input=undo),
        rules=tuple(rules),
    )


def _rule(draw: st.DrawFn, name: str, number: int, before: list[str], maybe: list[str]) -> Rule:
    condition = draw(_conditions([name, *before, *maybe]))
    match draw(st.sampled_from(["retry", "fail", "approve", "add", "add"])):
        case "retry":
            return RetryStage(condition=condition, max_retries=draw(st.integers(1, 3)))
        case "fail":
            return Fail(condition=condition, message="It is not good enough.")
        case "approve":
            return Approve(condition=condition, message="Somebody should see it.")
        case _:
            added = _stage(draw, f"{name}_and{number}", [name, *before], maybe)
            return AddStage(condition=condition, stage=added, max_times=draw(st.integers(1, 2)))


def _skips(draw: st.DrawFn, name: str, edges: Mapping[str, set[str]]) -> list[SkipStage]:
    targets = [other for other in edges if name in edges[other]]
    skipped = draw(st.none() | st.sampled_from(targets)) if targets else None
    return [] if skipped is None else [SkipStage(condition="false", stage=skipped)]


def _conditions(readable: list[str]) -> st.SearchStrategy[str]:
    conditions = ["params.topic != null", "budget.remaining_usd > 0.5", "{{execution.tokens}} < 1000"]
    for name in readable:
        conditions += [f"{{{{{name}.quality_score}}}} < 0.7", f"({name}.cost_usd ?? 0) > 2", f"{name} == null"]
    return st.sampled_from(conditions)


def _templates(before: list[str], maybe: list[str], budget: bool = True) -> st.SearchStrategy[Any]:
    texts = ["{{params.topic?}}", "plain", "{{execution.id}}: {{params.topic ?? execution.id}}"]
    texts += ["{{budget.remaining_usd}}"] if budget else []
    texts += [f"{{{{{name}.text}}}}" for name in before]
    texts += [f"{{{{{name}.text?}}}}" for name in maybe]
    texts += [f"{{{{{added} ?? {name}}}}}" for added in maybe for name in before]
    return st.sampled_from(texts) | st.dictionaries(st.sampled_from("abc"), st.sampled_from(texts), max_size=3)


def _pipeline(*made: Stage, outputs: tuple[Output, ...] = ()) -> Pipeline:
    return Pipeline(name="generated", version="1.0.0", parameters=PARAMETERS, stages=made, outputs=outputs)


def built(pipeline: Pipeline) -> Pipeline:
    """The same pipeline, written in Python."""
    writing = builder.Pipeline(pipeline.name).version(pipeline.version).parameters(PARAMETERS).timeout(600)
    for stage in pipeline.stages:
        step = writing.step(stage.id).worker("w", "x").input(stage.input).depends_on(*stage.depends_on)
        if stage.when is not None:
            step.when(stage.when)
        if stage.optional:
            step.optional()
        if stage.compensate is not None:
            step.compensate_with("w", "undo", stage.compensate.input)
        for rule in stage.rules:
            match rule:
                case RetryStage():
                    step.retry_if(rule.condition, rule.max_retries)
                case AddStage():
                    step.add_if(rule.condition, rule.stage, rule.max_times)
                case SkipStage():
                    step.skip_if(rule.condition, rule.stage)
                case Fail():
                    step.fail_if(rule.condition, rule.message)
                case Approve():
                    step.approve_if(rule.condition, rule.message)
    return writing.deliver(*(output.name for output in pipeline.outputs)).build()


@given(pipelines())
@settings(max_examples=200, deadline=None)
def test_a_sound_pipeline_compiles_to_plans_of_all_that_can_run(pipeline: Pipeline) -> None:
    assert check_pipeline(pipeline) == []

    plan = compile_pipeline(pipeline)

    own = {stage.id for stage in pipeline.stages}
    everything = {stage.id: stage for _, stage in all_stages(pipeline)}
    undone = {compensation_id(name) for name, stage in everything.items() if stage.compensate is not None}
    assert set(plan.stages) == own
    assert set(plan.extra) == (everything.keys() - own) | undone
    for name in everything.keys() | undone:
        found = plan.stage_plan(name)
        assert found.stage.id == name
        assert found.depends_on <= own
        assert found.needs <= everything.keys()
        assert all(names <= found.needs for names in found.requires)
    for name in own:
        assert {name} | set(plan.stages[name].dependents) <= own
        assert plan.stages[name].depends_on <= set(plan.order[: plan.order.index(name)])


@given(pipelines())
@settings(max_examples=100, deadline=None)
def test_python_document_and_loading_give_the_same_pipeline(pipeline: Pipeline) -> None:
    written = built(pipeline)

    assert written == pipeline
    assert load_pipeline(dump_pipeline(written)) == pipeline
    assert dump_pipeline(load_pipeline(dump_pipeline(written))) == dump_pipeline(pipeline)
