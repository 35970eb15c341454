"""Prices are dated, exact, and never guessed."""

from datetime import date
from decimal import Decimal

import pytest

from aif_contracts.metering import Tokens
from aif_prices.book import PriceBook, PricedModel, PriceFile, PriceVersion, shipped_prices
from aif_prices.failures import PriceBookInvalid

TODAY = date(2026, 11, 21)


def _file(*models: PricedModel, currency: str = "USD") -> PriceFile:
    return PriceFile(provider="acme", currency=currency, per_tokens=1_000_000, source="test", read_on=TODAY, models=models)


def _version(price: str, since: date | None = None) -> PriceVersion:
    return PriceVersion(input=Decimal(price), output=Decimal(price), valid_from=since)


def test_the_shipped_book_prices_current_models_exactly() -> None:
    price = PriceBook(shipped_prices()).price("openai", "gpt-4o-mini", TODAY)

    assert price is not None
    tokens = Tokens(prompt_tokens=1_000, cache_read_tokens=250, completion_tokens=10, total_tokens=1_010)
    assert price.cost(tokens) == Decimal("0.00013725")
    assert price.version == "openai/gpt-4o-mini@read-2026-11-21"


def test_cache_writes_have_their_own_price() -> None:
    price = PriceBook(shipped_prices()).price("anthropic", "claude-opus-4-5", TODAY)

    assert price is not None
    tokens = Tokens(prompt_tokens=1_100, cache_write_tokens=100, cache_read_tokens=1_000)
    assert price.cost(tokens) == Decimal("0.001125")


def test_the_price_in_force_on_the_day_of_the_call_counts() -> None:
    book = PriceBook([_file(PricedModel(model="m", versions=(_version("4"), _version("1", date(2026, 3, 1)))))])

    before, after = book.price("acme", "m", date(2026, 2, 28)), book.price("acme", "m", date(2026, 3, 1))

    assert before is not None
    assert after is not None
    assert (before.rates.input, after.rates.input) == (Decimal(4), Decimal(1))
    assert after.version == "acme/m@2026-03-01"


@pytest.mark.parametrize("name", ["gpt-4o-mini-2024-07-18", "gpt-4o-mini-latest"])
def test_a_dated_name_has_the_price_of_its_family(name: str) -> None:
    price = PriceBook(shipped_prices()).price("openai", name, TODAY)

    assert price is not None
    assert price.rates.input == Decimal("0.15")


def test_a_dated_name_that_is_listed_has_its_own_price() -> None:
    price = PriceBook(shipped_prices()).price("openai", "gpt-4o-2024-05-13", TODAY)

    assert price is not None
    assert price.rates.output == Decimal(15)


@pytest.mark.parametrize("name", ["gpt-4o-mini-tuned-by-us", "llama3.2", ""])
def test_an_unknown_model_has_no_price(name: str) -> None:
    assert PriceBook(shipped_prices()).price("openai", name, TODAY) is None


def test_a_model_of_another_provider_has_no_price_here() -> None:
    assert PriceBook(shipped_prices()).price("openai_compatible", "gpt-4o-mini", TODAY) is None


def test_only_the_operator_makes_a_model_free() -> None:
    price = PriceBook(shipped_prices(), free_models=("llama3.2",)).price("openai_compatible", "llama3.2", TODAY)

    assert price is not None
    assert price.cost(Tokens(prompt_tokens=10_000, completion_tokens=10_000)) == Decimal(0)


def test_a_long_input_is_charged_at_the_long_rates_as_a_whole() -> None:
    price = PriceBook(shipped_prices()).price("anthropic", "claude-haiku-5-5", TODAY)

    assert price is not None
    assert price.cost(Tokens(prompt_tokens=100_000)) == Decimal("0.01")
    assert price.cost(Tokens(prompt_tokens=100_001)) == Decimal("0.0500005")


def test_the_upper_bound_is_never_below_the_cost() -> None:
    price = PriceBook(shipped_prices()).price("anthropic", "claude-haiku-5-5", TODAY)

    assert price is not None
    worst = Tokens(prompt_tokens=100_001, cache_write_tokens=100_001, completion_tokens=500)
    assert price.upper_bound(input_tokens=100_001, output_tokens=500) >= price.cost(worst)


@pytest.mark.parametrize(
    ("price_file", "complaint"),
    [
        (_file(currency="EUR"), "EUR"),
        (_file(PricedModel(model="m", versions=(_version("0"),))), "price of zero"),
        (_file(PricedModel(model="m", versions=(_version("1", TODAY),))), "no valid_from"),
    ],
)
def test_a_book_that_contradicts_itself_is_refused(price_file: PriceFile, complaint: str) -> None:
    with pytest.raises(PriceBookInvalid, match=complaint):
        PriceBook([price_file])


def test_speech_is_charged_by_its_length() -> None:
    price = PriceBook(shipped_prices()).price("deepgram", "nova-2-meeting", TODAY)

    assert price is not None
    assert price.cost(Tokens(), audio_ms=600_000) == Decimal("0.043")
    assert price.upper_bound(audio_ms=600_002) == Decimal("0.043000143334")


def test_reasoning_has_a_price_of_its_own_where_the_list_has_one() -> None:
    version = PriceVersion(input=Decimal(1), output=Decimal(2), reasoning=Decimal(10))
    price = PriceBook([_file(PricedModel(model="m", versions=(version,)))]).price("acme", "m", TODAY)

    assert price is not None
    assert price.cost(Tokens(completion_tokens=1_000, reasoning_tokens=400)) == Decimal("0.0052")


def test_every_shipped_list_says_where_and_when_it_was_read() -> None:
    lists = shipped_prices()

    assert {each.provider for each in lists} >= {"openai", "anthropic", "deepgram", "groq", "mistral"}
    assert all(each.source and each.read_on for each in lists)


def test_an_address_tells_the_provider_behind_it() -> None:
    book = PriceBook(shipped_prices())

    assert book.provider_at("https://api.groq.com/openai/v1") == "groq"
    assert book.provider_at("http://127.0.0.1:11434/v1") is None
