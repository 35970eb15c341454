"""What a simulation takes for granted, in words for the person who reads it."""

from collections.abc import Sequence

from aif_contracts.money import ZERO, usd_text
from aif_contracts.packets import CeilingReason
from aif_orchestrator.simulation import token_model
from aif_orchestrator.simulation.course import Layout
from aif_orchestrator.simulation.likeness import Likeness
from aif_pipelines.plan import Plan

ALWAYS = (
    "Prices, models and the load on the workers stay as they were; waiting for people is not counted.",
    "The most that it can cost is what is reserved of the budget when it is ordered, not what it is expected to cost.",
)

_CHEAPEST = "where tokens are assumed, the cheapest of the worker's models is reckoned with."
ONLY_CHEAP = {
    CeilingReason.TIER: f"The client's tier allows cheap models only: {_CHEAPEST}",
    CeilingReason.ENERGY: f"The client's energy suffices for cheap models only: {_CHEAPEST}",
}
NO_ENERGY = "The client's energy does not suffice now, not for cheap models either: the order would be refused."
OWN_LIMIT = (
    "The costs are those without the order's own limit. A call is begun only while the most that it can cost, with the longest "
    "answer that is allowed, fits into what is left of the limit: one near the expected cost is too small."
)


def of_history(likeness: Likeness, *, is_whole: bool) -> list[str]:
    said = [f"{len(likeness.alike)} of the client's own ended executions of this template, failed ones too, were taken."]
    cached = [each.saved_usd for each in likeness.alike if each.saved_usd]
    if cached:
        saved = usd_text(sum(cached, ZERO))
        said.append(
            f"In {len(cached)} of them the response cache answered and saved {saved} USD in all: an order that asks what was "
            "not asked of late costs more, and takes longer."
        )
    if likeness.mattering:
        said.append(f"They are those nearest in {_listed(likeness.mattering)}, which the history shows to matter.")
    if likeness.beyond:
        said.append(
            f"In {_listed(likeness.beyond)} this order lies outside of everything seen: the true figures may do so, too."
        )
    if not is_whole:
        said.append("They ran other versions of it, too, so each stage was drawn by itself.")
    return said


def of_the_token_model(stages: Sequence[str]) -> list[str]:
    return [
        f"Too little has happened to tell of {_listed(stages)}: tokens are assumed from the length of the source, the level "
        "and the number of questions, at the price of the model that is asked first.",
        f"What a model writes may be up to {token_model.SPREAD} times more or less, at {token_model.TOKENS_PER_SECOND} tokens "
        f"a second; {token_model.AGAIN:.0%} of stages are tried twice.",
    ]


def of_no_price(stages: Sequence[str]) -> str:
    return (
        f"The model for {_listed(stages)} is not known here, or has no known price: counted is the most that the stage may "
        "spend. Where the operator runs a model that costs nothing, it costs nothing."
    )


def of_free_stages(stages: Sequence[str]) -> str:
    return f"Nothing in {_listed(stages)} can cost anything; {token_model.FREE_MS // 1_000} s each are assumed."


def of_conditions(plan: Plan, layout: Layout) -> list[str]:
    said = []
    conditional = [name for name in layout.order if plan.stages[name].when is not None]
    if conditional:
        said.append(f"That {_listed(conditional)} runs is assumed; how often its condition leaves it out is not known yet.")
    if layout.added_by:
        said.append(f"That no rule adds {_listed(tuple(layout.added_by))} is assumed; the most that it can cost contains it.")
    return said


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
