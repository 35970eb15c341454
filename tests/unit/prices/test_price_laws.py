"""What holds for every price and every use of a model."""

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from aif_contracts.metering import Tokens
from aif_prices.book import PriceBook, PricedModel, PriceFile, PriceVersion
from aif_prices.rates import LongInputRates, Price, Rates

COUNTS = st.integers(0, 3_000_000)
RATES = st.decimals("0.000001", "1000", places=6, allow_nan=False)
MAYBE = st.none() | RATES
PIECES = st.none() | st.decimals("0.000000000001", "1", places=12, allow_nan=False)


@st.composite
def prices(draw: st.DrawFn, *, by_call: bool = False, by_audio: bool = False, may_be_long: bool = False) -> Price:
    rates = {kind: draw(MAYBE) for kind in ("input", "cache_read", "cache_write", "output", "reasoning")}
    return Price(
        version="p",
        rates=Rates(
            **rates,
            character=draw(PIECES),
            audio_hour=draw(PIECES) if by_audio else None,
            call=draw(PIECES) if by_call else None,
        ),
        per_tokens=1_000_000,
        long_input=LongInputRates(above_tokens=draw(st.integers(1, 1_000_000)), input=draw(RATES), output=draw(RATES))
        if may_be_long and draw(st.booleans())
        else None,
    )


@st.composite
def uses(draw: st.DrawFn) -> Tokens:
    """Of one call: the finer counts are parts of the coarser ones."""
    fresh, read, written, said, thought = (draw(COUNTS) for _ in range(5))
    return Tokens(
        prompt_tokens=fresh + read + written,
        completion_tokens=said + thought,
        total_tokens=fresh + read + written + said + thought,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=thought,
    )


def together(one: Tokens, other: Tokens) -> Tokens:
    return Tokens(**{name: getattr(one, name) + getattr(other, name) for name in Tokens.__struct_fields__})


@given(prices(), uses(), uses(), COUNTS, COUNTS)
def test_two_parts_cost_as_much_as_the_whole(
    price: Price, one: Tokens, other: Tokens, characters: int, more_characters: int
) -> None:
    parts = price.cost(one, characters=characters) + price.cost(other, characters=more_characters)

    assert price.cost(together(one, other), characters=characters + more_characters) == parts


@given(prices(by_audio=True), COUNTS, COUNTS)
def test_audio_is_additive_but_for_the_last_decimal_of_the_wire(price: Price, one: int, other: int) -> None:
    parts = price.cost(Tokens(), audio_ms=one) + price.cost(Tokens(), audio_ms=other)

    assert abs(price.cost(Tokens(), audio_ms=one + other) - parts) <= Decimal("0.000000000002")


@given(prices(by_call=True, by_audio=True), uses(), uses(), COUNTS, COUNTS, COUNTS)
def test_more_use_never_costs_less(
    price: Price, one: Tokens, more: Tokens, audio_ms: int, more_ms: int, characters: int
) -> None:
    less = price.cost(one, audio_ms=audio_ms, characters=characters)

    assert price.cost(together(one, more), audio_ms=audio_ms + more_ms, characters=characters) >= less


@given(prices(by_call=True, by_audio=True, may_be_long=True), uses(), COUNTS, COUNTS, st.tuples(COUNTS, COUNTS, COUNTS, COUNTS))
def test_no_use_within_a_bound_costs_more_than_it(
    price: Price, use: Tokens, audio_ms: int, characters: int, slack: tuple[int, int, int, int]
) -> None:
    bound = price.upper_bound(
        input_tokens=use.prompt_tokens + slack[0],
        output_tokens=use.completion_tokens + slack[1],
        audio_ms=audio_ms + slack[2],
        characters=characters + slack[3],
    )

    assert bound >= price.cost(use, audio_ms=audio_ms, characters=characters)


@given(prices(by_call=True, by_audio=True, may_be_long=True), uses(), COUNTS, COUNTS)
def test_a_cost_is_a_decimal_that_the_wire_can_hold(price: Price, use: Tokens, audio_ms: int, characters: int) -> None:
    cost = price.cost(use, audio_ms=audio_ms, characters=characters)

    assert type(cost) is Decimal
    assert cost >= 0
    assert cost == cost.quantize(Decimal("0.000000000001"))


@given(st.lists(st.integers(1, 400), unique=True, max_size=5), st.integers(-10, 500))
def test_the_newest_price_that_has_begun_holds(starts: list[int], asked: int) -> None:
    first = date(2026, 1, 1)
    begun = PriceVersion(input=Decimal(1_000), output=Decimal(1))
    later = [replace(begun, valid_from=first + timedelta(days=day), input=Decimal(day)) for day in starts]
    book = PriceBook(
        [
            PriceFile(
                provider="acme",
                currency="USD",
                per_tokens=1_000_000,
                source="test",
                read_on=first,
                models=(PricedModel(model="m", versions=(*later, begun)),),
            )
        ]
    )

    price = book.price("acme", "m", first + timedelta(days=asked))

    assert price is not None
    assert price.rates.input == max([day for day in starts if day <= asked], default=1_000)
