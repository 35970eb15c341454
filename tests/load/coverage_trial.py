"""How often a simulation's range from P10 to P90 holds what then happens: eight in ten is what it promises.

The histories are generated, not run: whoever reads the figures should know the distributions, which are below. What is judged
is the forecast itself, by the same code and the same prices as in the orchestrator. Each history is split in time: the first
half is what the forecast knows, each execution of the second half is asked about before it is looked at.
"""

import math
import random
import statistics
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal

from msgspec import Struct

from aif_contracts.metering import Tokens
from aif_contracts.money import usd
from aif_orchestrator.simulation.forecast import Surroundings, simulate
from aif_orchestrator.simulation.past import PastExecution, StageShare, traits_of
from aif_pipelines.definition import AddStage, Pipeline, Stage
from aif_pipelines.plan import compile_pipeline
from aif_prices.book import Price, PriceBook, shipped_prices

COVERAGE = "coverage"
MODEL, PROVIDER = "gpt-4o-mini", "openai"
DAY = date(2026, 11, 21)
KNOWN = (8, 20, 50, 150)
"""Executions in the half that is known."""
UNSEEN_IN_ALL = 1_200
"""Executions asked about for each number of known ones, over as many histories as that takes."""
PROMISED = 0.8

Say = Callable[[str], None]

DISTRIBUTIONS = """\
  generated: source of 2 to 200 KB (log-normal around 20 KB), level 1 to 5, 3 to 30 questions; a course and a summary side by
  side after research, then a quiz; a course of more than 4,000 tokens is made smaller by a rule. Tokens read follow the source;
  tokens written follow level and questions, times a log-normal factor (sigma 0.3); the price is that of gpt-4o-mini. Time is 15
  to 25 ms a token written and a log-normal wait (sigma 0.6, 0.4 s in the middle); 8 % of attempts fail and are tried again,
  3 % of executions fail at their course and end there."""


class Happened(Struct, frozen=True, kw_only=True):
    """A generated execution, and what it was in truth."""

    parameters: Mapping[str, object]
    past: PastExecution
    cost_usd: Decimal
    wall_ms: int


class Covered(Struct, frozen=True, kw_only=True):
    """Shares of the executions asked about."""

    asked: int
    cost: float
    time: float
    cost_below_middle: float
    time_below_middle: float
    width: float
    """From P10 to P90 of the cost, in parts of its middle; the median of all simulations."""


def coverage_trial(say: Say, *, in_small: bool = False) -> None:
    say("\nCoverage of cost simulations: executions whose true figure lay from P10 to P90; 80 % is promised")
    say(DISTRIBUTIONS)
    say(f"  {'known':>6} {'asked':>6} {'cost':>7} {'time':>7}   below the middle: {'cost':>6} {'time':>6}   width of cost")
    for known in KNOWN[:2] if in_small else KNOWN:
        found = measure_coverage(known, 20 if in_small else UNSEEN_IN_ALL)
        middle = f"{found.cost_below_middle:>23.0%} {found.time_below_middle:>6.0%} {found.width:>12.0%} of P50"
        say(f"  {known:>6} {found.asked:>6} {found.cost:>7.1%} {found.time:>7.1%} {middle}")


def measure_coverage(known: int, unseen: int) -> Covered:
    """Of simulations that know so many executions."""
    book = PriceBook(shipped_prices())
    price = book.price(PROVIDER, MODEL, DAY)
    assert price is not None, f"{MODEL} has no price"
    plan = compile_pipeline(LINE)
    surroundings = Surroundings(
        free_actions=frozenset(),
        models={"maker": (MODEL,)},
        stage_limits=dict.fromkeys(plan.order, Decimal(1_000)),
        bound_usd="1000000",
        most_usd="1000000",
        today=DAY,
    )
    counts = [0, 0, 0, 0]
    widths: list[Decimal] = []
    asked = 0
    for seed in range(-(-unseen // known)):
        history = [happen(random.Random(f"{seed}/{number}"), price, number) for number in range(2 * known)]
        past = [each.past for each in history[:known]]
        for each in history[known:]:
            forecast = simulate(plan, each.parameters, past, surroundings, book)
            cost, time = forecast.cost_usd, forecast.time_ms
            counts[0] += usd(cost.p10) <= each.cost_usd <= usd(cost.p90)
            counts[1] += time.p10 <= each.wall_ms <= time.p90
            counts[2] += each.cost_usd <= usd(cost.p50)
            counts[3] += each.wall_ms <= time.p50
            asked += 1
            widths.append((usd(cost.p90) - usd(cost.p10)) / usd(cost.p50))
    shares = [count / asked for count in counts]
    return Covered(
        asked=asked,
        cost=shares[0],
        time=shares[1],
        cost_below_middle=shares[2],
        time_below_middle=shares[3],
        width=float(statistics.median(widths)),
    )


LINE = Pipeline(
    name="line",
    version="1.0.0",
    stages=(
        Stage(id="research", worker="maker", action="research"),
        Stage(
            id="course",
            worker="maker",
            action="course",
            depends_on=("research",),
            rules=(
                AddStage(condition="course.element_count > 100", stage=Stage(id="smaller", worker="maker", action="smaller")),
            ),
        ),
        Stage(id="summary", worker="maker", action="summary", depends_on=("research",)),
        Stage(id="quiz", worker="maker", action="quiz", depends_on=("course", "summary")),
    ),
)


def happen(chance: random.Random, price: Price, number: int) -> Happened:
    size = int(min(200_000, max(2_000, chance.lognormvariate(math.log(20_000), 0.9))))
    level, questions = chance.randint(1, 5), chance.randint(3, 30)
    parameters = {"source": {"size_bytes": size}, "granularityLevel": level, "questionCount": questions}
    read = 1_200 + size // 4
    stages = {"research": _stage(chance, price, "research", read, 1_200)}
    written = _written(chance, 900 * level)
    stages["course"] = _stage(chance, price, "course", read + 1_200, written, is_exact=True)
    fails = chance.random() < 0.03
    if not fails:
        if written > 4_000:
            stages["smaller"] = _stage(chance, price, "smaller", written + 800, written // 2)
        stages["summary"] = _stage(chance, price, "summary", read + 1_200, 700)
        stages["quiz"] = _stage(chance, price, "quiz", written + 2_000, 150 * questions)
    times = {name: share.time_ms for name, share in stages.items()}
    courses = times["course"] + times.get("smaller", 0)
    return Happened(
        parameters=parameters,
        past=PastExecution(
            execution_id=f"exec_{number}", template_version="1.0.0", traits=traits_of(parameters), stages=stages
        ),
        cost_usd=sum((share.cost_usd for share in stages.values()), Decimal(0)),
        wall_ms=times["research"] + max(courses, times.get("summary", 0)) + times.get("quiz", 0),
    )


def _stage(chance: random.Random, price: Price, action: str, read: int, written: int, *, is_exact: bool = False) -> StageShare:
    cost, time_ms = Decimal(0), 0.0
    while True:
        tokens = written if is_exact else _written(chance, written)
        cost += price.cost(Tokens(prompt_tokens=read, completion_tokens=tokens, total_tokens=read + tokens))
        time_ms += tokens * chance.uniform(15, 25) + 400 * chance.lognormvariate(0, 0.6)
        if chance.random() >= 0.08:
            return StageShare(worker_name="maker", action=action, cost_usd=cost, time_ms=int(time_ms))


def _written(chance: random.Random, tokens: int) -> int:
    return max(1, int(tokens * chance.lognormvariate(0, 0.3)))
