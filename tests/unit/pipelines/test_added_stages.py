"""Stages that rules add: who may read them, under which names, and how many there can be."""

from typing import Any

import pytest

from aif_pipelines.checks import check_pipeline
from aif_pipelines.definition import (
    AddStage,
    Approve,
    Compensation,
    Fail,
    Output,
    Pipeline,
    RetryStage,
    SkipStage,
    Stage,
)
from aif_pipelines.loading import load_pipeline
from aif_pipelines.plan import Plan, compile_pipeline


def stage(name: str, **changes: Any) -> Stage:
    return Stage(**{"id": name, "worker": "w", "action": "x", **changes})


def adding(*added: Stage, max_times: int = 1) -> tuple[AddStage, ...]:
    return tuple(AddStage(condition="true", stage=one, max_times=max_times) for one in added)


def mistakes_of(*stages: Stage, **changes: Any) -> list[tuple[str, str, str]]:
    pipeline = Pipeline(**{"name": "p", "version": "1.0.0", "stages": stages, **changes})
    return [(mistake.path, mistake.message, mistake.mend) for mistake in check_pipeline(pipeline)]


def plan_of(*stages: Stage, **changes: Any) -> Plan:
    return compile_pipeline(Pipeline(**{"name": "p", "version": "1.0.0", "stages": stages, **changes}))


POLISH = stage("polish", input="{{course}}")
COURSE = stage("course", rules=adding(POLISH))


def test_who_reads_an_added_stage_waits_for_its_owner_and_needs_the_added_id() -> None:
    plan = plan_of(
        stage("quiz", input="{{polish.text ?? course.text}}", rules=(Fail(condition="polish == null", message="m"),)), COURSE
    )

    assert plan.order == ("course", "quiz")
    assert plan.stages["quiz"].needs == {"polish", "course"}
    assert plan.stages["quiz"].judged_with == {"polish"}
    assert plan.stages["quiz"].depends_on == {"course"}
    assert plan.stages["course"].dependents == ("quiz",)


@pytest.mark.parametrize(
    ("template", "requires"),
    [
        ("{{polish.text ?? course.text}}", [{"polish", "course"}]),
        ("{{polish.text ?? course.text?}}", []),
        ("{{polish.text?}}", []),
        ("{{other ?? course}}", [{"other", "course"}]),
        ("{{polish ?? params.text}}", []),
        ("{{params.text}}", []),
        ("{{polish?}} {{other}}", [{"other"}]),
    ],
)
def test_an_input_requires_one_of_all_that_may_take_each_other_s_place(template: str, requires: list[set[str]]) -> None:
    plan = plan_of(
        COURSE,
        stage("other"),
        stage("quiz", input=template),
        parameters={"type": "object", "properties": {"text": {"type": "string"}}},
    )

    assert plan.stages["quiz"].requires == {frozenset(names) for names in requires}


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"depends_on": ("resaerch",)}, "stages[0].depends_on[0]", "there is no stage resaerch"),
        ({"input": "{{resaerch.text}}"}, "stages[0].input", "resaerch is not known here"),
        ({"when": "resaerch.text == 'a'"}, "stages[0].when", "resaerch is not known here (at column 1 of the text)"),
    ],
)
def test_a_misspelt_stage_is_told_also_where_a_rule_adds_one(changes: dict[str, Any], path: str, message: str) -> None:
    [mistake] = mistakes_of(stage("course", rules=adding(POLISH), **changes), stage("research"))

    assert mistake[:2] == (path, message)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"input": {"b": "{{beside.text}}"}}, "input.b"),
        ({"when": "beside.text == 'a'"}, "when"),
        ({"rules": (Fail(condition="beside.text == 'a'", message="m"),)}, "rules[0].condition"),
        ({"compensate": Compensation(worker="w", action="x", input="{{beside}}")}, "compensate.input"),
    ],
)
def test_an_added_stage_that_reads_what_its_owner_does_not_wait_for_is_told_how_to_wait(changes: Any, place: str) -> None:
    assert mistakes_of(stage("course", rules=adding(stage("polish", **changes))), stage("beside")) == [
        (
            f"stages[0].rules[0].stage.{place}",
            "beside does not lie before course, behind which polish is added",
            "Add beside to the depends_on of course, or read another stage.",
        )
    ]


def test_an_added_stage_of_an_added_stage_waits_for_the_stage_of_the_pipeline() -> None:
    inner = stage("inner", input=["{{polish}}", "{{course}}", "{{research}}"], depends_on=("polish",))
    polish = stage("polish", input="{{course}}", rules=adding(inner))

    plan = plan_of(stage("research"), stage("course", depends_on=("research",), rules=adding(polish)))

    assert plan.extra["inner"].needs == {"polish", "course", "research"}
    assert plan.extra["inner"].requires == {frozenset({"polish"}), frozenset({"course"}), frozenset({"research"})}
    assert plan.extra["inner"].depends_on == {"course", "research"}
    assert plan.extra["polish"].depends_on == {"course"}


def test_an_added_stage_waits_for_its_owner_even_if_it_reads_nothing() -> None:
    plan = plan_of(stage("course", rules=adding(stage("polish"))))

    assert plan.extra["polish"].depends_on == {"course"}


def test_an_added_stage_may_have_all_that_others_have() -> None:
    polish = stage(
        "polish",
        input="{{course}}",
        optional=True,
        compensate=Compensation(worker="w", action="undo", input=["{{polish.key}}", "{{course.key}}", "{{execution.id}}"]),
        rules=(
            RetryStage(condition="polish.quality_score < course.quality_score"),
            Approve(condition="polish.cost_usd > 1", message="It was expensive."),
            Fail(condition="polish.quality_score < 0.1", message="It is worthless."),
        ),
    )

    plan = plan_of(stage("course", rules=adding(polish, max_times=3)), outputs=(Output(name="polished", stage="polish"),))

    assert set(plan.extra) == {"polish", "compensate_polish"}
    assert plan.stage_plan("polish").output_names == ("polished",)
    undo = plan.stage_plan("compensate_polish")
    assert undo.needs == {"polish", "course"}
    assert (undo.stage.worker, undo.stage.action) == ("w", "undo")
    assert undo.stage.input == ["{{polish.key}}", "{{course.key}}", "{{execution.id}}"]
    assert len(plan.stage_plan("polish").rules) == 3


def test_a_later_compensation_may_read_what_was_added_before() -> None:
    undo = Compensation(worker="w", action="undo", input={"new": "{{polish?}}", "known": "{{polish.key ?? course.key}}"})

    plan = plan_of(COURSE, stage("store", depends_on=("course",), compensate=undo))

    assert plan.extra["compensate_store"].needs == {"polish", "course"}


def test_a_stage_added_later_may_read_one_that_was_added_before() -> None:
    late = stage("late", input="{{polish ?? course}}", when="polish != null")

    plan = plan_of(COURSE, stage("quiz", input="{{course}}", rules=adding(late)))

    assert plan.extra["late"].needs == {"polish", "course"}
    assert plan.extra["late"].depends_on == {"quiz", "course"}


@pytest.mark.parametrize(
    ("template", "mend"),
    [
        ("{{polish.text}}", "Write {{polish.text?}}, or {{polish.text ?? course.text}} with what takes its place."),
        ("{{course ?? polish}}", "Write {{polish?}}, or {{polish ?? course}} with what takes its place."),
    ],
)
def test_a_template_says_what_happens_when_an_added_stage_is_not_there(template: str, mend: str) -> None:
    found = mistakes_of(COURSE, stage("quiz", input={"source": template}))

    assert found == [("stages[1].input.source", "polish may not be there: a rule adds it", mend)]


def test_a_compensation_says_what_happens_when_an_added_stage_is_not_there() -> None:
    undo = Compensation(worker="w", action="undo", input="{{polish.key}}")

    found = mistakes_of(COURSE, stage("store", depends_on=("course",), compensate=undo))

    assert [(path, message) for path, message, _ in found] == [
        ("stages[1].compensate.input", "polish may not be there: a rule adds it")
    ]


def test_an_added_stage_skips_no_other() -> None:
    polish = stage("polish", rules=(SkipStage(condition="true", stage="quiz"),))

    found = mistakes_of(stage("course", rules=adding(polish)), stage("quiz", depends_on=("course",)))

    assert found == [
        (
            "stages[0].rules[0].stage.rules[0].action",
            "an added stage cannot skip others, which do not wait for it",
            "Put the rule on the stage that adds it.",
        )
    ]


@pytest.mark.parametrize(
    ("stages", "path", "message", "mend"),
    [
        pytest.param(
            (stage("research", input="{{polish?}}"), stage("course", input="{{research}}", rules=adding(POLISH))),
            "stages[0].input",
            "polish is added by course, which does not lie before research",
            "Read it in a stage that comes after course, or read another stage.",
            id="before its owner",
        ),
        pytest.param(
            (stage("course", rules=(*adding(POLISH), RetryStage(condition="polish.quality_score < 0.5"))),),
            "stages[0].rules[1].condition",
            "polish is added by course, and course does not wait for it",
            "Read it in a stage that comes after course.",
            id="its owner",
        ),
        pytest.param(
            (stage("course", rules=adding(POLISH, stage("check", when="polish == null"))),),
            "stages[0].rules[1].stage.when",
            "polish is added by course, and check does not wait for it",
            "Read it in a stage that comes after course.",
            id="beside it",
        ),
        pytest.param(
            (COURSE, stage("other", rules=adding(stage("check", input="{{polish?}}")))),
            "stages[1].rules[0].stage.input",
            "polish is added by course, which does not lie before check",
            "Read it in a stage that comes after course, or read another stage.",
            id="an added stage elsewhere",
        ),
        pytest.param(
            (
                stage(
                    "course", rules=adding(POLISH), compensate=Compensation(worker="w", action="undo", input="{{polish.key?}}")
                ),
            ),
            "stages[0].compensate.input",
            "polish is added by course, and course does not wait for it",
            "Read it in a stage that comes after course.",
            id="its owner's compensation",
        ),
        pytest.param(
            (stage("course", rules=adding(stage("polish", input="{{polish.text}}"))),),
            "stages[0].rules[0].stage.input",
            "polish cannot read itself before it ran",
            "Read an earlier stage.",
            id="itself",
        ),
    ],
)
def test_an_added_stage_cannot_be_read_where_it_cannot_be_yet(
    stages: tuple[Stage, ...], path: str, message: str, mend: str
) -> None:
    assert mistakes_of(*stages) == [(path, message, mend)]


@pytest.mark.parametrize("changes", [{"input": "{{polsh?}}"}, {"when": "polsh.quality_score > 0.5"}])
def test_a_misspelt_added_stage_is_likened_to_it_where_it_may_be_read(changes: dict[str, Any]) -> None:
    ((_, _, mend),) = mistakes_of(COURSE, stage("quiz", depends_on=("course",), **changes))

    assert mend == "Did you mean polish?"


def test_two_stages_that_each_read_what_the_other_adds_wait_in_a_circle() -> None:
    found = mistakes_of(
        stage("a", input="{{of_b?}}", rules=adding(stage("of_a"))), stage("b", input="{{of_a?}}", rules=adding(stage("of_b")))
    )

    assert [(path, message) for path, message, _ in found] == [
        ("stages[1].input", "the stages wait for each other: a → b → a"),
    ]


def test_a_compensation_reads_no_budget_because_its_money_is_not_asked_for() -> None:
    undo = Compensation(worker="w", action="undo", input="{{budget.remaining_usd}}")

    found = mistakes_of(stage("a", compensate=undo))

    assert found == [("stages[0].compensate.input", "budget is not known here", "Known: a, execution, params.")]


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"depends_on": ("polish",)}, "stages[1].depends_on[0]", "polish is added by a rule, so it may not be there"),
        (
            {"input": "{{polish_2?}}"},
            "stages[1].input",
            "polish_2 is not known here",
        ),
        (
            {"rules": (SkipStage(condition="true", stage="polish"),)},
            "stages[1].rules[0].stage",
            "polish is added by a rule, so it cannot be skipped",
        ),
    ],
)
def test_an_added_stage_is_neither_waited_for_nor_skipped_nor_counted_by_name(
    changes: dict[str, Any], path: str, message: str
) -> None:
    found = mistakes_of(COURSE, stage("quiz", **changes))

    assert [(where, what) for where, what, _ in found] == [(path, message)]


@pytest.mark.parametrize("place", ["stage", "added"])
def test_the_ids_of_compensations_are_kept(place: str) -> None:
    named = stage("compensate_course")

    found = mistakes_of(*((named,) if place == "stage" else (stage("course", rules=adding(named)),)))

    assert [(path.rpartition(".")[2], message, mend) for path, message, mend in found] == [
        ("id", "ids that start with compensate_ are kept for what undoes a stage", "Choose another id.")
    ]


@pytest.mark.parametrize(
    ("taken", "is_refused"),
    [("polish_2", True), ("polish_6", True), ("polish_7", False), ("polish_1", False), ("polish_02", False)],
)
def test_an_id_under_which_another_stage_may_be_added_again_is_taken(taken: str, is_refused: bool) -> None:
    polish = stage("polish")
    middle = stage("middle", rules=adding(polish, max_times=2))

    found = mistakes_of(stage("course", rules=adding(middle, max_times=3)), stage("other", rules=adding(stage(taken))))

    assert [(path, message, mend) for path, message, mend in found] == (
        [
            (
                "stages[1].rules[0].stage.id",
                f"{taken} is how polish is called when it is added again",
                "Choose another id, or let polish be added fewer times.",
            )
        ]
        if is_refused
        else []
    )


def test_a_stage_that_is_added_once_leaves_the_numbered_ids_free() -> None:
    assert mistakes_of(COURSE, stage("polish_2")) == []


def test_retries_of_added_stages_count_as_growth_and_those_of_other_stages_do_not() -> None:
    retried = RetryStage(condition="true", max_retries=9)
    polish = stage("polish", rules=(retried,))

    assert mistakes_of(stage("course", rules=(retried, *adding(polish, max_times=9)))) == []
    assert mistakes_of(stage("course", rules=adding(polish, max_times=10))) == [
        (
            "stages",
            "the rules could let it grow to 101 stages, at most 100 are allowed",
            "Lower max_times of the add_stage rules, or max_retries of the stages that they add.",
        )
    ]


def test_an_added_stage_that_says_no_timeout_has_no_more_than_the_pipeline() -> None:
    text = """
name: short
version: "1.0.0"
timeout: 30s
stages:
  - id: course
    worker: w
    action: x
    rules:
      - {condition: "true", action: add_stage, stage: {id: polish, worker: w, action: x}}
      - {condition: "true", action: add_stage, stage: {id: check, worker: w, action: x, timeout: 5s}}
"""

    plan = compile_pipeline(load_pipeline(text))

    assert (plan.extra["polish"].stage.timeout_seconds, plan.extra["check"].stage.timeout_seconds) == (30, 5)
