"""What a simulation says of an execution: from history where there is enough, from tokens where there is not."""

from datetime import date
from decimal import Decimal
from typing import Any

from aif_contracts.money import usd
from aif_contracts.simulation import Grounds, MsRange, Simulation, UsdRange
from aif_orchestrator.simulation.forecast import Surroundings, simulate
from aif_orchestrator.simulation.past import PastExecution, StageShare
from aif_pipelines.definition import AddStage, Pipeline
from aif_pipelines.plan import compile_pipeline
from aif_prices.book import PriceBook, shipped_prices
from support.execution_story import pipeline, stage

PARAMETERS = {
    "type": "object",
    "properties": {"source": {"type": "object"}, "questionCount": {"type": "integer"}, "note": {"type": "string"}},
}
LINE = pipeline(stage("one"), stage("two", depends_on=("one",)), name="line")
FORK = pipeline(
    stage("start"),
    stage("left", depends_on=("start",)),
    stage("right", depends_on=("start",)),
    stage("end", depends_on=("left", "right")),
)
FAR = "1000"


def share(cost: str, time_ms: int = 1_000, *, action: str = "make") -> StageShare:
    return StageShare(worker_name="maker", action=action, cost_usd=Decimal(cost), time_ms=time_ms)


def past(number: int, *, version: str = "1.0.0", traits: dict[str, float] | None = None, **stages: StageShare) -> PastExecution:
    return PastExecution(execution_id=f"exec_{number}", template_version=version, traits=traits or {}, stages=stages)


def asked(
    of: Pipeline,
    history: list[PastExecution],
    *,
    parameters: dict[str, Any] | None = None,
    models: tuple[str, ...] = ("gpt-4o-mini",),
    free: bool = False,
    bound: str = FAR,
    own_limit: str | None = None,
    limit: str = FAR,
) -> Simulation:
    plan = compile_pipeline(of)
    surroundings = Surroundings(
        free_actions=frozenset({("maker", "make")}) if free else frozenset(),
        models={"maker": models},
        stage_limits=dict.fromkeys(plan.order, Decimal(limit)),
        bound_usd=own_limit or bound,
        most_usd=bound,
        today=date(2026, 11, 21),
    )
    return simulate(plan, parameters or {}, history, surroundings, PriceBook(shipped_prices()))


def test_with_enough_history_the_whole_is_what_executions_have_cost_and_taken() -> None:
    history = [past(n, one=share(f"0.0{n}", 1_000), two=share("0.10", 100 * n)) for n in range(1, 10)]

    answer = asked(LINE, history)

    assert answer.cost_usd == UsdRange(p10="0.11", p50="0.15", p90="0.19")
    assert answer.time_ms == MsRange(p10=1_100, p50=1_500, p90=1_900)
    assert [(each.stage_id, each.grounds, each.samples) for each in answer.stages] == [
        ("one", Grounds.HISTORY, 9),
        ("two", Grounds.HISTORY, 9),
    ]


def test_stages_side_by_side_take_as_long_as_the_longer_one() -> None:
    history = [
        past(n, start=share("0", 100), left=share("0", 5_000), right=share("0", 700), end=share("0", 10)) for n in range(9)
    ]

    assert asked(FORK, history).time_ms == MsRange(p10=5_110, p50=5_110, p90=5_110)


def test_what_goes_together_in_the_past_stays_together() -> None:
    dear = [past(n, one=share("1"), two=share("0")) for n in range(5)]
    cheap = [past(n + 5, one=share("0"), two=share("1")) for n in range(5)]

    assert asked(LINE, dear + cheap).cost_usd == UsdRange(p10="1", p50="1", p90="1")


def test_a_stage_that_runs_now_and_then_counts_as_often_as_it_ran() -> None:
    ran = [past(n, one=share("0.1"), two=share("1")) for n in range(3)]
    left_out = [past(n + 3, one=share("0.1")) for n in range(9)]

    answer = asked(LINE, ran + left_out)

    assert answer.stages[1].runs_percent == 25
    assert answer.stages[1].cost_usd.p50 == "1"
    assert (answer.cost_usd.p50, answer.cost_usd.p90) == ("0.1", "1.1")


def test_a_stage_that_a_rule_adds_is_counted_under_its_name_and_behind_its_owner() -> None:
    added = AddStage(condition="one.element_count > 1", stage=stage("more"), max_times=2)
    of = pipeline(stage("one", rules=(added,)), stage("two", depends_on=("one",)))
    history = [
        past(n, one=share("0", 100), more=share("0.2", 30), more_2=share("0.3", 20), two=share("0", 5)) for n in range(8)
    ]

    answer = asked(of, history)

    assert answer.time_ms.p50 == 155
    assert [(each.stage_id, each.cost_usd.p50, each.runs_percent) for each in answer.stages] == [
        ("one", "0", 100),
        ("two", "0", 100),
        ("more", "0.5", 100),
    ]


def test_where_size_matters_those_of_like_size_count() -> None:
    history = [past(n, traits={"size of source": n * 1000.0}, one=share(f"{n}"), two=share("0")) for n in range(1, 101)]

    small = asked(LINE, history, parameters={"source": {"size_bytes": 10_500}})
    large = asked(LINE, history, parameters={"source": {"size_bytes": 90_500}})

    assert small.stages[0].grounds is Grounds.SIMILAR
    assert small.stages[0].samples == 20
    assert small.cost_usd.p50 == "10.5"
    assert large.cost_usd.p50 == "90.5"
    assert any("size of source" in words for words in small.assumptions)


def test_what_does_not_matter_leaves_all_executions_in() -> None:
    history = [past(n, traits={"length of note": float(n % 7)}, one=share(f"{n % 5}"), two=share("0")) for n in range(100)]

    answer = asked(LINE, history, parameters={"note": "abc"})

    assert answer.stages[0].grounds is Grounds.HISTORY
    assert answer.stages[0].samples == 100


def test_an_order_beyond_all_that_was_seen_is_told_so() -> None:
    history = [past(n, traits={"size of source": n * 1000.0}, one=share(f"{n}"), two=share("0")) for n in range(1, 101)]

    answer = asked(LINE, history, parameters={"source": {"size_bytes": 900_000}})

    assert any("outside of everything seen" in words for words in answer.assumptions)


def test_without_history_tokens_are_assumed_and_it_says_so() -> None:
    of = pipeline(stage("ask", input={"count": "{{params.questionCount}}"}), parameters=PARAMETERS)

    few = asked(of, [], parameters={"questionCount": 5})
    many = asked(of, [], parameters={"questionCount": 50})

    assert few.stages[0].grounds is Grounds.TOKEN_MODEL
    assert few.stages[0].model == "gpt-4o-mini"
    assert few.stages[0].samples == 0
    assert usd(few.cost_usd.p10) < usd(few.cost_usd.p50) < usd(few.cost_usd.p90)
    assert usd(many.cost_usd.p50) > 4 * usd(few.cost_usd.p50)
    assert few.time_ms.p50 < many.time_ms.p50
    assert any("tokens are assumed" in words for words in few.assumptions)


def test_the_same_question_has_the_same_answer() -> None:
    assert asked(LINE, []) == asked(LINE, [])


def test_seven_executions_are_too_few_and_eight_are_enough() -> None:
    history = [past(n, one=share("1"), two=share("1")) for n in range(8)]

    assert asked(LINE, history[:7]).stages[0].grounds is Grounds.TOKEN_MODEL
    assert asked(LINE, history).stages[0].grounds is Grounds.HISTORY


def test_a_new_version_learns_from_the_old_one_stage_by_stage() -> None:
    old = [past(n, version="0.9.0", one=share("1"), two=share("1", action="other")) for n in range(12)]

    answer = asked(LINE, old)

    assert [each.grounds for each in answer.stages] == [Grounds.HISTORY, Grounds.TOKEN_MODEL]
    assert answer.stages[0].cost_usd.p50 == "1"


def test_what_costs_nothing_is_free_without_any_history() -> None:
    answer = asked(LINE, [], free=True, bound="0")

    assert [each.grounds for each in answer.stages] == [Grounds.FREE, Grounds.FREE]
    assert answer.cost_usd == UsdRange(p10="0", p50="0", p90="0")


def test_a_model_without_a_price_counts_with_the_most_that_the_stage_may_spend() -> None:
    answer = asked(LINE, [], models=("nobody-knows-it",), limit="2", bound="3")

    assert answer.stages[0].cost_usd == UsdRange(p10="2", p50="2", p90="2")
    assert answer.cost_usd.p50 == "3"
    assert any("no known price" in words for words in answer.assumptions)


def test_nothing_is_said_above_the_bound() -> None:
    answer = asked(LINE, [past(n, one=share("9"), two=share("9")) for n in range(9)], bound="10")

    assert answer.cost_usd.p90 == "10"
    assert answer.bound_usd == "10"


def test_an_orders_own_limit_changes_no_figure_and_it_is_told_how_many_of_the_ways_pass_it() -> None:
    history = [past(n, one=share(f"0.{n}"), two=share("0")) for n in range(1, 10)]

    without, limited = asked(LINE, history), asked(LINE, history, own_limit="0.65")

    assert without.over_limit_percent is None
    assert limited.over_limit_percent == 33
    assert limited.cost_usd == without.cost_usd
    assert (without.bound_usd, limited.bound_usd) == (FAR, "0.65")
    assert any("the order's own limit" in words for words in limited.assumptions)
