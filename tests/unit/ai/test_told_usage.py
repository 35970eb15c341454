"""What a provider says that a call used is believed only where it can be true."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aif_ai.call_costs import bound_of, cost_of, largest_size
from aif_ai.provider import ModelCall
from aif_ai.requests import AudioInput, Capability, Message, Role
from aif_ai.told_usage import credible_audio_ms, credible_tokens, is_same_model
from aif_contracts.metering import Tokens
from aif_prices.book import PriceBook, shipped_prices

CALL = ModelCall(
    call_key="exec_1.s.1.1",
    model="gpt-4o-mini",
    messages=(Message(role=Role.USER, text="What do bees eat?"),),
    max_output_tokens=500,
)
PRICE = PriceBook(shipped_prices()).price("openai", "gpt-4o-mini", date(2026, 11, 21))


def used(
    prompt: int, completion: int, *, total: int | None = None, read: int = 0, written: int = 0, thought: int = 0
) -> Tokens:
    return Tokens(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion if total is None else total,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=thought,
    )


def test_usual_counts_are_believed() -> None:
    assert credible_tokens(used(12, 500, read=8, written=4, thought=100), CALL) == used(12, 500, read=8, written=4, thought=100)


@pytest.mark.parametrize(
    "tokens",
    [
        used(-1, 5),
        used(12, -5),
        used(12, 5, total=18),
        used(12, 5, read=8, written=5),
        used(12, 5, thought=6),
        used(12, 501),
        used(1_000_000, 5),
        used(12, True),
    ],
    ids=[
        "negative prompt",
        "negative answer",
        "wrong sum",
        "more cached",
        "more thought",
        "over limit",
        "over prompt",
        "no count",
    ],
)
def test_counts_that_cannot_be_true_are_not(tokens: Tokens) -> None:
    assert credible_tokens(tokens, CALL) is None


@given(prompt=st.integers(0, 5_000), completion=st.integers(0, 700), read=st.integers(0, 5_000), written=st.integers(0, 5_000))
def test_what_is_believed_never_costs_more_than_the_calls_bound(prompt: int, completion: int, read: int, written: int) -> None:
    assert PRICE is not None
    bound = bound_of(PRICE, largest_size(CALL.messages, CALL.schema, CALL.input, CALL.max_output_tokens))

    believed = credible_tokens(used(prompt, completion, read=read, written=written), CALL)

    assert believed is None or cost_of(PRICE, believed, audio_ms=0, characters=0) <= bound


@pytest.mark.parametrize(
    ("seconds", "expected"), [(6.0, 6_000), (0.0, 0), (-1.0, None), (7.9, 7_900), (8.1, None), (1e12, None)]
)
def test_audio_is_about_as_long_as_its_headers_say(seconds: float, expected: int | None) -> None:
    audio = AudioInput(data=b"x" * 100, media_type="audio/wav", duration_ms=6_000)
    call = ModelCall(call_key="k", model="nova-3", capability=Capability.TRANSCRIPTION, input=audio)

    assert credible_audio_ms(seconds, call) == expected


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
        ("claude-opus-4-0", "claude-opus-4-20250514"),
        ("claude-haiku-4-5-latest", "claude-haiku-4-5-20251001"),
        ("claude-sonnet-5-5", "anthropic.claude-sonnet-5-5-v1:0"),
        ("openai/gpt-4o", "gpt-4o"),
    ],
)
def test_a_model_goes_by_its_family_name(asked: str, answered: str) -> None:
    assert is_same_model(asked, answered)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("gpt-4o", "gpt-4o-mini"),
        ("claude-opus-4", "claude-opus-4-5"),
        ("claude-sonnet-5-5", "claude-haiku-4-5"),
        ("gpt-5", "gpt-5.1"),
    ],
)
def test_a_sibling_is_another_model(asked: str, answered: str) -> None:
    assert not is_same_model(asked, answered)
