"""From the past and from assumptions to quantiles: the ways that the execution may go, and what they cost and take.

Where the history of a template is thick enough, each past execution like this one is one way, taken whole: what goes together
in it (a long document makes every stage dear, a failure ends the rest) stays together. Stages that the history does not know
are drawn from the token model, with a fixed seed, so that the same question has the same answer.
"""

import random
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from msgspec import Struct

from aif_contracts.money import ZERO, UsdText
from aif_contracts.packets import CeilingReason
from aif_contracts.simulation import Grounds, Simulation, StageSimulation
from aif_orchestrator.execution.assignee import action_of, worker_of
from aif_orchestrator.simulation import assumptions
from aif_orchestrator.simulation.course import Course, Layout, StageCourse, cost_of, layout_of, plan_id_of, wall_time_ms
from aif_orchestrator.simulation.likeness import Likeness, find_alike
from aif_orchestrator.simulation.past import PastExecution, traits_of
from aif_orchestrator.simulation.ranges import ms_range, usd_range
from aif_orchestrator.simulation.token_model import (
    FREE_MS,
    ChosenModel,
    ExpectedTokens,
    choose_model,
    draw,
    expected_tokens,
)
from aif_pipelines.plan import Plan, StagePlan
from aif_prices.book import PriceBook

ENOUGH = 8
"""Past executions of a template version, or runs of one stage: with fewer, what is assumed is worth more."""
DRAWS = 2_000
SEED = 20_261_121


class Surroundings(Struct, frozen=True, kw_only=True):
    """What the factory is like now."""

    free_actions: frozenset[tuple[str, str]]
    models: Mapping[str, tuple[str, ...]]
    """Of each live worker, the preferred one first."""
    stage_limits: Mapping[str, Decimal]
    """The most that the attempts at a stage may cost together, by the plan's ids."""
    bound_usd: UsdText
    """The most that the execution may cost."""
    today: date
    most_usd: UsdText
    """The most that it may cost if the order has no limit of its own."""
    primary_model: str | None = None
    """The operator's, for all actions; None for each worker's own preference."""
    primary_models: Mapping[str, str] = {}
    """The operator's, by action; they count more."""
    only_cheap: CeilingReason | None = None
    """Why the client may use cheap models only; None when it may use any."""
    lacks_energy: bool = False
    """The client's energy would not suffice, not for cheap models either."""


class _Guess(Struct, frozen=True, kw_only=True):
    """How a stage goes that the history does not know."""

    grounds: Grounds
    tokens: ExpectedTokens
    chosen: ChosenModel | None
    limit: Decimal

    def course(self, chance: random.Random) -> StageCourse:
        if self.grounds is Grounds.FREE:
            return StageCourse(cost_usd=ZERO, time_ms=FREE_MS)
        if self.chosen is None or self.chosen.price is None:
            return StageCourse(cost_usd=self.limit, time_ms=FREE_MS)
        drawn = draw(self.tokens, self.chosen.price, chance)
        return StageCourse(cost_usd=min(drawn.cost_usd, self.limit), time_ms=drawn.time_ms)


class _Known(Struct, frozen=True, kw_only=True):
    """What the history tells: the ways that it has seen, and the stages that it can speak of."""

    courses: tuple[Course, ...]
    stages: frozenset[str]
    is_whole: bool
    """The courses are of this very version: a stage that is not in one of them did not run."""
    likeness: Likeness


def simulate(
    plan: Plan, parameters: Mapping[str, Any], past: Sequence[PastExecution], surroundings: Surroundings, book: PriceBook
) -> Simulation:
    """`parameters` are checked and complete. `past` are the client's own ended executions of the template."""
    layout = layout_of(plan)
    known = _known(plan, layout, past, traits_of(parameters))
    # What a rule may add and what undoes a stage runs seldom: only the history can say how often.
    guesses = {
        name: _guess(name, plan.stages[name], parameters, surroundings, book)
        for name in layout.order
        if name not in known.stages
    }
    courses = _courses(known, guesses)
    most = Decimal(surroundings.most_usd)
    costs = [min(cost_of(course), most) for course in courses]
    return Simulation(
        template=plan.pipeline.name,
        template_version=plan.pipeline.version,
        cost_usd=usd_range(costs),
        time_ms=ms_range([wall_time_ms(layout, course) for course in courses]),
        bound_usd=surroundings.bound_usd,
        samples=len(past),
        stages=tuple(
            _stage(name, plan, courses, known, guesses.get(name))
            for name in layout.stages
            if name in layout.waits_for or any(name in course for course in courses)
        ),
        assumptions=_words(plan, layout, known, guesses, surroundings),
        over_limit_percent=_over_limit_percent(costs, surroundings),
    )


def _over_limit_percent(costs: Sequence[Decimal], surroundings: Surroundings) -> int | None:
    limit = Decimal(surroundings.bound_usd)
    if limit >= Decimal(surroundings.most_usd):
        return None
    return round(100 * sum(cost > limit for cost in costs) / len(costs))


def _known(plan: Plan, layout: Layout, past: Sequence[PastExecution], traits: Mapping[str, float]) -> _Known:
    same = [each for each in past if each.template_version == plan.pipeline.version]
    if len(same) >= ENOUGH:
        likeness = find_alike(same, traits)
        courses = tuple(_course_of(plan, layout, each) for each in likeness.alike)
        return _Known(courses=courses, stages=frozenset(layout.stages), is_whole=True, likeness=likeness)
    likeness = find_alike(past, traits)
    courses = tuple(_course_of(plan, layout, each) for each in likeness.alike)
    often = frozenset(name for name in layout.order if sum(name in course for course in courses) >= ENOUGH)
    return _Known(courses=courses if often else (), stages=often, is_whole=False, likeness=likeness)


def _course_of(plan: Plan, layout: Layout, past: PastExecution) -> Course:
    """The execution by this plan's stages; what another worker has done does not tell what this one will."""
    found: dict[str, StageCourse] = {}
    for run_id, share in past.stages.items():
        name = plan_id_of(layout, run_id)
        if name is None:
            continue
        stage = plan.stage_plan(name)
        if (worker_of(stage), action_of(stage)) == (share.worker_name, share.action):
            before = found.get(name, StageCourse(cost_usd=ZERO, time_ms=0))
            found[name] = StageCourse(cost_usd=before.cost_usd + share.cost_usd, time_ms=before.time_ms + share.time_ms)
    return found


def _guess(name: str, stage: StagePlan, parameters: Mapping[str, Any], surroundings: Surroundings, book: PriceBook) -> _Guess:
    worker, action = worker_of(stage), action_of(stage)
    is_free = (worker, action) in surroundings.free_actions
    primary = surroundings.primary_models.get(action, surroundings.primary_model)
    models = surroundings.models.get(worker, ())
    return _Guess(
        grounds=Grounds.FREE if is_free else Grounds.TOKEN_MODEL,
        tokens=expected_tokens(stage, parameters),
        chosen=None
        if is_free
        else choose_model(models, book, surroundings.today, primary=primary, only_cheap=surroundings.only_cheap is not None),
        limit=surroundings.stage_limits[name],
    )


def _courses(known: _Known, guesses: Mapping[str, _Guess]) -> Sequence[Course]:
    if known.is_whole:
        return known.courses
    chance = random.Random(SEED)
    runs = {name: [course[name] for course in known.courses if name in course] for name in sorted(known.stages)}
    return [
        {name: chance.choice(seen) for name, seen in runs.items()}
        | {name: guess.course(chance) for name, guess in guesses.items()}
        for _ in range(DRAWS)
    ]


def _stage(name: str, plan: Plan, courses: Sequence[Course], known: _Known, guess: _Guess | None) -> StageSimulation:
    stage = plan.stage_plan(name)
    ran = [course[name] for course in courses if name in course]
    samples = 0 if guess is not None else sum(name in course for course in known.courses)
    return StageSimulation(
        stage_id=name,
        worker_name=worker_of(stage),
        action=action_of(stage),
        grounds=guess.grounds if guess is not None else Grounds.SIMILAR if known.likeness.mattering else Grounds.HISTORY,
        samples=samples,
        runs_percent=round(100 * len(ran) / len(courses)),
        cost_usd=usd_range([each.cost_usd for each in ran]),
        time_ms=ms_range([each.time_ms for each in ran]),
        model=None if guess is None or guess.chosen is None else guess.chosen.model,
    )


def _words(
    plan: Plan, layout: Layout, known: _Known, guesses: Mapping[str, _Guess], surroundings: Surroundings
) -> tuple[str, ...]:
    said = []
    if surroundings.only_cheap is not None:
        said.append(assumptions.ONLY_CHEAP[surroundings.only_cheap])
    if surroundings.lacks_energy:
        said.append(assumptions.NO_ENERGY)
    if Decimal(surroundings.bound_usd) < Decimal(surroundings.most_usd):
        said.append(assumptions.OWN_LIMIT)
    if known.stages:
        said += assumptions.of_history(known.likeness, is_whole=known.is_whole)
    by_tokens = {name: guess for name, guess in guesses.items() if guess.grounds is Grounds.TOKEN_MODEL}
    unpriced = [name for name, guess in by_tokens.items() if guess.chosen is None or guess.chosen.price is None]
    if len(by_tokens) > len(unpriced):
        said += assumptions.of_the_token_model([name for name in by_tokens if name not in unpriced])
    if unpriced:
        said.append(assumptions.of_no_price(unpriced))
    if any(guess.grounds is Grounds.FREE for guess in guesses.values()):
        said.append(assumptions.of_free_stages([name for name, guess in guesses.items() if guess.grounds is Grounds.FREE]))
    if not known.is_whole:
        said += assumptions.of_conditions(plan, layout)
    return (*said, *assumptions.ALWAYS)
