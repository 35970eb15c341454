"""An operator's own prices: they stand before the shipped ones, and a mistake in them names its field."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from aif_contracts.metering import Tokens
from aif_prices.book import PriceBook, shipped_prices
from aif_prices.failures import OverridesInvalid
from aif_prices.overrides import PriceOverrides, read_overrides

TODAY = date(2026, 11, 21)


def overrides(*prices: dict[str, Any]) -> PriceOverrides:
    return read_overrides(json.dumps({"prices": prices}).encode())


def book(*prices: dict[str, Any]) -> PriceBook:
    return PriceBook(shipped_prices(), overrides=overrides(*prices))


def input_rate(found: PriceBook, provider: str, model: str, on: date = TODAY) -> Decimal | None:
    price = found.price(provider, model, on)
    assert price is not None
    return price.rates.input


def test_an_operators_price_stands_before_the_shipped_one_from_its_first_day_on() -> None:
    found = book(
        {"provider": "openai", "model": "gpt-4o-mini", "valid_from": "2026-12-01", "rates": {"input": "0.12", "output": "0.5"}}
    )

    assert input_rate(found, "openai", "gpt-4o-mini", date(2026, 11, 30)) == Decimal("0.15")
    assert input_rate(found, "openai", "gpt-4o-mini", date(2026, 12, 1)) == Decimal("0.12")


def test_a_price_version_says_that_the_operator_has_set_it() -> None:
    found = book(
        {"provider": "openai", "model": "gpt-4o-mini", "valid_from": "2026-11-01", "rates": {"input": "0.12", "output": "0.5"}},
        {"provider": "acme", "model": "m", "rates": {"call": "0.01"}},
    )

    dated, undated = found.price("openai", "gpt-4o-mini", TODAY), found.price("acme", "m", TODAY)

    assert dated is not None
    assert undated is not None
    assert (dated.version, undated.version) == ("openai/gpt-4o-mini@2026-11-01-operator", "acme/m@by-operator")


def test_an_override_of_a_model_holds_for_its_aliases_and_dated_names() -> None:
    found = book({"provider": "openai", "model": "gpt-4o-mini", "rates": {"input": "0.12", "output": "0.5"}})

    assert input_rate(found, "openai", "gpt-4o-mini-2024-07-18") == Decimal("0.12")
    assert input_rate(found, "openai", "gpt-4o-mini-search-preview") == Decimal("0.12")


def test_a_model_of_the_operators_own_gets_a_price() -> None:
    found = book({"provider": "openai_compatible", "model": "llama3.2", "rates": {"input": "0.05", "output": "0.08"}})

    price = found.price("openai_compatible", "llama3.2", TODAY)

    assert price is not None
    assert price.cost(Tokens(prompt_tokens=1_000_000, completion_tokens=500_000)) == Decimal("0.09")


def test_every_rate_that_an_operator_names_is_charged() -> None:
    of_tokens = {"input": "1", "cache_read": "0.1", "cache_write": "2", "output": "3", "reasoning": "4"}
    found = book(
        {"provider": "acme", "model": "m", "rates": {**of_tokens, "audio_minute": "0.06", "character": "0.002", "call": "0.5"}}
    )
    use = Tokens(
        prompt_tokens=3_000_000,
        cache_read_tokens=1_000_000,
        cache_write_tokens=1_000_000,
        completion_tokens=2_000_000,
        reasoning_tokens=1_000_000,
    )

    price = found.price("acme", "m", TODAY)

    assert price is not None
    assert price.cost(use, audio_ms=60_000, characters=1_000) == Decimal("12.66")


def test_a_model_marked_free_costs_nothing() -> None:
    price = book({"provider": "openai_compatible", "model": "llama3.2", "free": True}).price(
        "openai_compatible", "llama3.2", TODAY
    )

    assert price is not None
    assert price.version == "free"
    assert price.cost(Tokens(prompt_tokens=1_000, completion_tokens=1_000)) == 0


def test_audio_is_given_by_the_minute() -> None:
    price = book({"provider": "deepgram", "model": "nova-3", "rates": {"audio_minute": "0.0052"}}).price(
        "deepgram", "nova-3", TODAY
    )

    assert price is not None
    assert price.cost(Tokens(), audio_ms=90_000) == Decimal("0.0078")


@pytest.mark.parametrize(
    ("price", "field", "complaint"),
    [
        ({"provider": "a", "model": "m", "rates": {"input": 0.15}}, "prices[0].rates.input", "Expected `str"),
        ({"provider": "a", "model": "m", "rates": {"input": "-1"}}, "prices[0].rates.input", "matching regex"),
        ({"provider": "a", "model": "m", "rates": {"input": "0.15", "output": "0"}}, "prices[0].rates", "output is 0"),
        ({"provider": "a", "model": "m"}, "prices[0].rates", "no price"),
        ({"provider": "a", "model": "m", "free": True, "rates": {"input": "1"}}, "prices[0].rates", "keep one of them"),
        ({"provider": "a", "model": "m", "free": True, "valid_from": "soon"}, "prices[0].valid_from", "date"),
        ({"model": "m", "free": True}, "prices[0]", "provider"),
    ],
)
def test_a_mistake_names_its_field(price: dict[str, Any], field: str, complaint: str) -> None:
    with pytest.raises(OverridesInvalid) as refused:
        overrides(price)

    mistake = refused.value.mistakes[0]
    assert mistake.field == field
    assert complaint in mistake.message


def test_two_prices_from_the_same_day_are_refused() -> None:
    with pytest.raises(OverridesInvalid, match="m has two prices from the same day"):
        overrides({"provider": "a", "model": "m", "free": True}, {"provider": "a", "model": "m", "rates": {"input": "1"}})


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"\xff"])
def test_what_is_no_document_is_refused(document: bytes) -> None:
    with pytest.raises(OverridesInvalid):
        read_overrides(document)


@pytest.mark.parametrize(
    ("document", "field", "known"),
    [
        (b'{"currency": "USD"}', "currency", "Leave it out; known are prices."),
        (
            b'{"prices": [{"provider": "p", "model": "m", "rate": {}}]}',
            "prices[0].rate",
            "Leave it out; known are provider, model, rates, valid_from, free.",
        ),
        (
            b'{"prices": [{"provider": "p", "model": "m", "rates": {"prompt": "1"}}]}',
            "prices[0].rates.prompt",
            "Leave it out; known are input, cache_read, cache_write, output, reasoning, audio_minute, character, call.",
        ),
    ],
)
def test_an_unknown_field_is_named_together_with_those_that_there_are(document: bytes, field: str, known: str) -> None:
    with pytest.raises(OverridesInvalid) as refused:
        read_overrides(document)

    assert [(each.field, each.message, each.mend) for each in refused.value.mistakes] == [(field, "is not known here", known)]
