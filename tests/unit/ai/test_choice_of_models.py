"""Which models serve a request and in which order: laws over any offers, and each rule once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aif_ai.choice import Choice, Wanted, choose
from aif_ai.failures import AiFailure, InvalidRequest, NoModelAllowed, ProviderNotConfigured
from aif_ai.model_switches import Switches
from aif_ai.model_tiers import RANK
from aif_ai.provider import Offer
from aif_ai.registry import Candidate
from aif_ai.requests import Capability
from aif_contracts.packets import Grant, QualityTier
from aif_prices.book import FREE
from support.door_rig import ScriptedProvider, ask

MODELS = ("small", "middle", "large", "other")
PROVIDERS = ("openai", "anthropic", "local_rules")


def _candidate(model: str, provider: str, quality: QualityTier, *, local: bool = False, last_resort: bool = False) -> Candidate:
    offer = Offer(capability=Capability.LLM_GENERATION, models=(model,), local=local, last_resort=last_resort)
    return Candidate(provider=ScriptedProvider(provider, offer), offer=offer, model=model, quality=quality, price=FREE)


def _choose(offered: list[Candidate], grant: Grant, switches: Switches | None = None, max_fallbacks: int = 9) -> Choice:
    wanted = Wanted(grant=grant, switches=switches or Switches(), max_fallbacks=max_fallbacks)
    return choose(offered, wanted, request=ask())


def _models(choice: Choice) -> list[str]:
    return [candidate.model for candidate in choice.candidates]


offers = st.lists(
    st.builds(
        lambda model, provider, quality, last: _candidate(
            model, provider, quality, local=provider == "local_rules", last_resort=last and provider == "local_rules"
        ),
        st.sampled_from(MODELS),
        st.sampled_from(PROVIDERS),
        st.sampled_from(QualityTier),
        st.booleans(),
    ),
    max_size=8,
)
grants = st.builds(
    Grant,
    models=st.none() | st.lists(st.sampled_from(MODELS), unique=True).map(tuple),
    quality=st.none() | st.sampled_from(QualityTier),
    prefer_providers=st.lists(st.sampled_from(PROVIDERS), unique=True).map(tuple),
    max_fallbacks=st.none() | st.integers(0, 4),
    parameters=st.just({}) | st.sampled_from(MODELS).map(lambda model: {"model": model}),
)
configured = st.builds(
    Switches,
    primary_model=st.none() | st.sampled_from(MODELS),
    fallback_model=st.none() | st.sampled_from(MODELS),
    enable_fallback=st.none() | st.booleans(),
)


@given(offers, grants, configured, st.integers(0, 4))
def test_a_choice_keeps_to_the_grant_the_ceiling_and_the_number_of_fallbacks(
    offered: list[Candidate], grant: Grant, switches: Switches, max_fallbacks: int
) -> None:
    try:
        choice = _choose(offered, grant, switches, max_fallbacks)
    except (NoModelAllowed, ProviderNotConfigured):
        assert not any(candidate.offer.local for candidate in offered)
        return

    chosen = choice.candidates
    granted = max_fallbacks if grant.max_fallbacks is None else grant.max_fallbacks
    most = 0 if switches.enable_fallback is False else granted
    assert 1 <= len(chosen) <= 1 + most
    assert len({(c.provider.name, c.model) for c in chosen}) == len(chosen)
    for candidate in chosen:
        assert candidate in offered
        if not candidate.offer.local:
            assert grant.models is None or candidate.model in grant.models
            assert grant.quality is None or RANK[candidate.quality] <= RANK[grant.quality]
    assert len({candidate.offer.last_resort for candidate in chosen}) == 1


@given(offers, grants, configured)
def test_what_was_preferred_is_named_exactly_when_the_ceiling_took_it_out(
    offered: list[Candidate], grant: Grant, switches: Switches
) -> None:
    try:
        choice = _choose(offered, grant, switches)
    except AiFailure:
        return

    if choice.preferred is not None:
        assert grant.quality is not None
        assert RANK[choice.preferred.quality] > RANK[grant.quality]
    if grant.quality is None:
        assert choice.preferred is None


@given(offers, grants, configured)
def test_equal_wishes_give_an_equal_choice_and_fewer_fallbacks_its_beginning(
    offered: list[Candidate], grant: Grant, switches: Switches
) -> None:
    try:
        long = _choose(offered, grant, switches, 4)
        short = _choose(offered, grant, switches, 1)
    except AiFailure:
        return

    assert long.candidates[: len(short.candidates)] == short.candidates


SMALL = _candidate("small", "openai", QualityTier.ECONOMY)
LARGE = _candidate("large", "openai", QualityTier.PREMIUM)
OTHER = _candidate("other", "anthropic", QualityTier.STANDARD)
RULES = _candidate("rules-1", "local_rules", QualityTier.ECONOMY, local=True)
LAST = _candidate("extractive-1", "local_extractive", QualityTier.ECONOMY, local=True, last_resort=True)
ALL = [SMALL, LARGE, RULES, OTHER]


@pytest.mark.parametrize(
    ("grant", "switches", "order"),
    [
        (Grant(), Switches(), ["small", "large", "other", "rules-1"]),
        (Grant(), Switches(primary_model="other", fallback_model="large"), ["other", "large", "small", "rules-1"]),
        (Grant(models=("large", "small")), Switches(primary_model="small"), ["large", "small", "rules-1"]),
        (Grant(models=()), Switches(primary_model="small"), ["rules-1"]),
        (Grant(prefer_providers=("anthropic",)), Switches(primary_model="large"), ["other", "large", "small", "rules-1"]),
        (Grant(prefer_providers=("local_rules",)), Switches(), ["rules-1", "small", "large", "other"]),
        (
            Grant(parameters={"model": "large"}, prefer_providers=("anthropic",)),
            Switches(),
            ["large", "other", "small", "rules-1"],
        ),
        (Grant(parameters={"model": "large"}, models=("small",)), Switches(), ["small", "rules-1"]),
        (Grant(quality=QualityTier.STANDARD), Switches(), ["small", "other", "rules-1"]),
    ],
    ids=[
        "the settings' order, local ones last",
        "the configuration before the settings",
        "the grant before the configuration",
        "a grant without models is for local ones",
        "preferred providers before the configuration",
        "a local one may be preferred",
        "a tuned model before all",
        "a tuned model outside the grant is not used",
        "nothing above the ceiling",
    ],
)
def test_the_order_of_models(grant: Grant, switches: Switches, order: list[str]) -> None:
    assert _models(_choose(ALL, grant, switches)) == order


def test_a_last_resort_serves_alone_and_never_after_another() -> None:
    assert _models(_choose([SMALL, LAST], Grant())) == ["small"]
    assert _models(_choose([SMALL, LAST], Grant(models=()))) == ["extractive-1"]


def test_what_nobody_offers_says_what_to_configure() -> None:
    with pytest.raises(ProviderNotConfigured, match="OPENAI_API_KEY"):
        _choose([], Grant())


def test_models_of_the_grant_that_nobody_offers_are_named() -> None:
    with pytest.raises(NoModelAllowed, match="unknown-1"):
        _choose([SMALL], Grant(models=("unknown-1",)))


@pytest.mark.parametrize("value", [7, ["small"], True], ids=["number", "list", "boolean"])
def test_a_tuned_model_that_is_no_name_is_refused_by_its_field(value: object) -> None:
    with pytest.raises(InvalidRequest, match=r"grant\.parameters\.model"):
        _choose(ALL, Grant(parameters={"model": value}))
