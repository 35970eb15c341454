"""What a stage may cost when too little has happened to tell: tokens by what it reads and makes, at the model's price.

Every number in here is an assumption, and a simulation that rests on it says so. They are of the right size, no more.
"""

import math
import random
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from msgspec import Struct

from aif_contracts.metering import Tokens
from aif_orchestrator.simulation.past import traits_of
from aif_pipelines.plan import StagePlan
from aif_prices.book import Price, PriceBook

CHARACTERS_PER_TOKEN = 4
MOST_SOURCE_CHARACTERS = 200_000
"""What a worker puts of a source into a prompt, as it is set by default."""
INSTRUCTIONS_TOKENS = 1_500
"""Instructions and the schema of the answer."""
TOKENS_READ_OF_A_STAGE = 1_500
"""The output of a stage before, as part of a prompt."""
TOKENS_PER_LEVEL = 900
TOKENS_PER_QUESTION = 150
TOKENS_OTHERWISE = 1_500
"""What a stage writes whose parameters say nothing about its length."""
SPREAD = 2.5
"""What is written may be so many times more or less; every factor in between is as likely, on a scale of ratios."""
AGAIN = 0.1
"""Share of stages that are tried a second time."""
TOKENS_PER_SECOND = 60
SECONDS_BEFORE = 2
"""Until a worker has begun and the first token is there."""
FREE_MS = 2_000
"""What a stage takes that costs nothing and was never seen."""
KNOWN_FIRST = ("openai", "anthropic")


class ExpectedTokens(Struct, frozen=True, kw_only=True):
    read: int
    written: int
    """In the middle of what may be written."""


class ChosenModel(Struct, frozen=True, kw_only=True):
    model: str
    price: Price | None
    """None when nobody knows it: then no provider is called either, unless the operator says that it is free."""


class Draw(Struct, frozen=True, kw_only=True):
    cost_usd: Decimal
    time_ms: int


def expected_tokens(plan: StagePlan, parameters: Mapping[str, Any]) -> ExpectedTokens:
    """By what the stage's input reads of the order and of other stages."""
    references = plan.input.references
    names = {str(path.segments[0]) for path in references if path.root == "params" and path.segments}
    wanted = {name: value for name, value in parameters.items() if name in names}
    characters = sum(value for name, value in traits_of(wanted).items() if name.startswith(("size of ", "length of ")))
    read = (
        INSTRUCTIONS_TOKENS
        + int(min(characters, MOST_SOURCE_CHARACTERS)) // CHARACTERS_PER_TOKEN
        + TOKENS_READ_OF_A_STAGE * len(plan.needs)
    )
    questions, level = wanted.get("questionCount"), wanted.get("granularityLevel")
    if isinstance(questions, int):
        return ExpectedTokens(read=read, written=TOKENS_PER_QUESTION * questions)
    if isinstance(level, int):
        return ExpectedTokens(read=read, written=TOKENS_PER_LEVEL * level)
    return ExpectedTokens(read=read, written=TOKENS_OTHERWISE)


def choose_model(
    models: Sequence[str], book: PriceBook, on: date, *, primary: str | None = None, only_cheap: bool = False
) -> ChosenModel | None:
    """The operator's `primary` where the worker has it, else the model that the worker prefers, at the price of whoever lists
    it; None when no worker names a model. For a client that may use cheap models only it is the cheapest."""
    if not models:
        return None
    if only_cheap:
        priced = [each for model in models if (each := _priced(model, book, on)).price is not None]
        return min(priced, key=_dearness, default=_priced(models[0], book, on))
    return _priced(primary if primary is not None and primary in models else models[0], book, on)


def _priced(model: str, book: PriceBook, on: date) -> ChosenModel:
    providers = (*KNOWN_FIRST, *dict.fromkeys(each.provider for each in book.effective(on)))
    prices = (book.price(provider, model, on) for provider in providers)
    return ChosenModel(model=model, price=next((price for price in prices if price is not None), None))


def _dearness(chosen: ChosenModel) -> Decimal:
    assert chosen.price is not None, "only models with a price are compared"
    return chosen.price.cost(Tokens(prompt_tokens=1_000, completion_tokens=1_000, total_tokens=2_000))


def draw(tokens: ExpectedTokens, price: Price, chance: random.Random) -> Draw:
    """One way that the stage may go."""
    cost, time_ms = Decimal(0), 0
    for _ in range(2 if chance.random() < AGAIN else 1):
        written = round(tokens.written * math.exp(chance.uniform(-1, 1) * math.log(SPREAD)))
        cost += price.cost(Tokens(prompt_tokens=tokens.read, completion_tokens=written, total_tokens=tokens.read + written))
        time_ms += SECONDS_BEFORE * 1_000 + written * 1_000 // TOKENS_PER_SECOND
    return Draw(cost_usd=cost, time_ms=time_ms)
