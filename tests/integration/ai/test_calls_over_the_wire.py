"""Both official SDKs against a real server: what is booked is what is billed, whatever goes wrong."""

import asyncio
import json
from decimal import Decimal

import pytest

from aif_ai.failures import (
    AiFailure,
    AuthenticationFailed,
    GrantExceeded,
    InvalidRequest,
    MalformedOutput,
    OutputTruncated,
    PriceUnknown,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
    Refused,
)
from aif_contracts.metering import CallOutcome
from aif_contracts.packets import Grant
from support.provider_double.faults import Fault, FaultKind
from support.provider_double.rigs import Rig, question, rig
from support.provider_double.server import ProviderDouble


async def _closed_after(rigged: Rig, expected: type[AiFailure]) -> AiFailure:
    """The failure of one generation; the connection is closed afterwards."""
    try:
        with pytest.raises(expected) as caught:
            await rigged.door.generate(question(), rigged.ledger)
    finally:
        await rigged.door.close()
    return caught.value


async def test_an_answer_keeps_its_schema_and_is_booked_as_it_is_billed(provider: str, double: ProviderDouble) -> None:
    rigged = rig(provider, double)
    double.cache_read_tokens, double.cache_write_tokens = 300, 20

    generation = await rigged.door.generate(question(), rigged.ledger)
    await rigged.door.close()

    answer = json.loads(generation.output)
    assert answer["title"]
    assert len(answer["points"]) == 2
    assert rigged.booked_usage == rigged.billed_usage
    (call,) = rigged.assignment.calls
    assert call.tokens.cache_read_tokens == 300
    assert call.tokens.cache_write_tokens == 20
    assert Decimal(call.cost_usd or "-1") == double.bill[0].cost_usd
    assert call.call_key == "exec_1.structure.1.1"
    assert (call.outcome, call.purpose, call.provider) == (CallOutcome.ANSWERED, "first_try", provider)
    assert call.price_version is not None
    assert generation.calls == (call,)


async def test_the_sdk_never_retries_by_itself(provider: str, double: ProviderDouble) -> None:
    rigged = rig(provider, double)
    double.plan(FaultKind.SERVER_ERROR)

    await _closed_after(rigged, ProviderOverloaded)

    assert len(double.requests) == 1
    assert len(rigged.assignment.calls) == 1


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (FaultKind.RATE_LIMITED, RateLimited),
        (FaultKind.SERVER_ERROR, ProviderOverloaded),
        (FaultKind.OVERLOADED, ProviderOverloaded),
        (FaultKind.UNAUTHORIZED, AuthenticationFailed),
        (FaultKind.REDIRECT, InvalidRequest),
    ],
)
async def test_an_error_answer_costs_nothing(
    provider: str, double: ProviderDouble, fault: FaultKind, expected: type[AiFailure]
) -> None:
    rigged = rig(provider, double)
    double.plan(fault)

    await _closed_after(rigged, expected)

    assert double.bill == []
    (call,) = rigged.assignment.calls
    assert (call.outcome, call.cost_usd, call.error) == (CallOutcome.FAILED, "0", expected.code)


async def test_a_redirect_is_not_followed(provider: str, double: ProviderDouble) -> None:
    rigged = rig(provider, double)
    double.plan(FaultKind.REDIRECT)

    await _closed_after(rigged, InvalidRequest)

    assert len(double.requests) == 1


async def test_the_wait_that_a_provider_asks_for_is_passed_on(provider: str, double: ProviderDouble) -> None:
    rigged = rig(provider, double)
    double.plan(Fault(kind=FaultKind.RATE_LIMITED, retry_after="7"))

    failure = await _closed_after(rigged, RateLimited)

    assert failure.retryable
    assert failure.retry_after_ms == 7_000


async def test_a_rate_limit_without_a_wait_names_none(provider: str, double: ProviderDouble) -> None:
    rigged = rig(provider, double)
    double.plan(FaultKind.RATE_LIMITED)

    failure = await _closed_after(rigged, RateLimited)

    assert failure.retry_after_ms is None


@pytest.mark.parametrize("fault", [FaultKind.SILENT_BEFORE_BILLING, FaultKind.SILENT_AFTER_BILLING])
async def test_a_call_without_an_answer_is_in_doubt_at_its_upper_bound(
    provider: str, double: ProviderDouble, fault: FaultKind
) -> None:
    rigged = rig(provider, double, silence_seconds=0.2)
    double.plan(fault)

    await _closed_after(rigged, ProviderTimeout)

    (call,) = rigged.assignment.calls
    assert (call.outcome, call.cost_usd) == (CallOutcome.IN_DOUBT, None)
    billed = sum((entry.cost_usd for entry in double.bill), Decimal(0))
    assert Decimal(call.upper_bound_usd or "-1") > billed


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (FaultKind.RESET, ProviderUnreachable),
        (FaultKind.CUT_OFF, ProviderUnreachable),
        (FaultKind.CORRUPT_CHUNK, MalformedOutput),
        (FaultKind.ERROR_EVENT, AiFailure),
    ],
)
async def test_a_stream_that_breaks_is_in_doubt(
    provider: str, double: ProviderDouble, fault: FaultKind, expected: type[AiFailure]
) -> None:
    rigged = rig(provider, double)
    double.plan(fault)

    failure = await _closed_after(rigged, expected)

    assert failure.retryable
    (call,) = rigged.assignment.calls
    assert (call.outcome, call.cost_usd) == (CallOutcome.IN_DOUBT, None)
    assert call.response_id == double.bill[0].response_id
    assert Decimal(call.upper_bound_usd or "-1") > double.bill[0].cost_usd


async def test_a_server_that_is_not_there_costs_nothing(provider: str, double: ProviderDouble) -> None:
    rigged = rig(provider, double)
    double.url = "http://127.0.0.1:9"
    unreachable = rig(provider, double)

    await _closed_after(unreachable, ProviderUnreachable)
    await rigged.door.close()

    (call,) = unreachable.assignment.calls
    assert (call.outcome, call.cost_usd) == (CallOutcome.FAILED, "0")


@pytest.mark.parametrize("fault", [FaultKind.BROKEN_JSON, FaultKind.BREAKS_SCHEMA])
async def test_a_malformed_answer_is_booked_and_corrected(provider: str, double: ProviderDouble, fault: FaultKind) -> None:
    rigged = rig(provider, double)
    double.plan(fault)

    generation = await rigged.door.generate(question(), rigged.ledger)
    await rigged.door.close()

    assert json.loads(generation.output)["title"]
    assert [(c.outcome, c.purpose) for c in rigged.assignment.calls] == [
        (CallOutcome.REJECTED, "first_try"),
        (CallOutcome.ANSWERED, "correction"),
    ]
    assert rigged.booked_usage == rigged.billed_usage
    assert "breaks the rules" in double.requests[1]["messages"][-1]["content"]


async def test_the_third_malformed_answer_is_the_last(provider: str, double: ProviderDouble) -> None:
    rigged = rig(provider, double)
    double.plan(FaultKind.BREAKS_SCHEMA, FaultKind.BREAKS_SCHEMA, FaultKind.BREAKS_SCHEMA)

    await _closed_after(rigged, MalformedOutput)

    assert [c.outcome for c in rigged.assignment.calls] == [CallOutcome.REJECTED] * 3
    assert rigged.booked_usage == rigged.billed_usage


async def test_an_answer_that_is_cut_off_twice_is_paid_and_not_asked_for_again(provider: str, double: ProviderDouble) -> None:
    rigged = rig(provider, double)
    double.plan(FaultKind.TRUNCATED, FaultKind.TRUNCATED)

    failure = await _closed_after(rigged, OutputTruncated)

    assert not failure.retryable
    assert [(c.outcome, c.purpose) for c in rigged.assignment.calls] == [
        (CallOutcome.TRUNCATED, "first_try"),
        (CallOutcome.TRUNCATED, "continuation"),
    ]
    assert [Decimal(c.cost_usd or "-1") for c in rigged.assignment.calls] == [entry.cost_usd for entry in double.bill]


async def test_a_refusal_is_paid_and_final(provider: str, double: ProviderDouble) -> None:
    rigged = rig(provider, double)
    double.plan(FaultKind.REFUSAL)

    failure = await _closed_after(rigged, Refused)

    assert not failure.retryable
    assert rigged.booked_usage == rigged.billed_usage


@pytest.mark.parametrize("fault", [FaultKind.NO_USAGE, FaultKind.NEGATIVE_USAGE])
async def test_an_answer_without_usable_usage_has_an_unknown_cost_and_never_zero(
    provider: str, double: ProviderDouble, fault: FaultKind
) -> None:
    rigged = rig(provider, double)
    double.plan(fault)

    await rigged.door.generate(question(), rigged.ledger)
    await rigged.door.close()

    (call,) = rigged.assignment.calls
    assert (call.outcome, call.cost_usd) == (CallOutcome.ANSWERED, None)
    assert Decimal(call.upper_bound_usd or "-1") > double.bill[0].cost_usd


async def test_cancelling_aborts_the_stream_and_books_the_call_in_doubt(provider: str, double: ProviderDouble) -> None:
    rigged = rig(provider, double)
    double.plan(FaultKind.HELD_STREAM)
    generating = asyncio.create_task(rigged.door.generate(question(), rigged.ledger))
    await double.holding.wait()

    generating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await generating

    async with asyncio.timeout(5):
        await double.client_left.wait()
    await rigged.door.close()
    (call,) = rigged.assignment.calls
    assert (call.outcome, call.error) == (CallOutcome.IN_DOUBT, "cancelled")
    assert Decimal(call.upper_bound_usd or "-1") > double.bill[0].cost_usd


async def test_a_call_that_takes_too_long_is_given_up(provider: str, double: ProviderDouble) -> None:
    rigged = rig(provider, double, call_timeout_seconds=0.3)
    double.plan(FaultKind.HELD_STREAM)

    await _closed_after(rigged, ProviderTimeout)

    assert rigged.assignment.calls[0].outcome is CallOutcome.IN_DOUBT


async def test_a_call_that_could_cost_more_than_the_grant_is_not_made(provider: str, double: ProviderDouble) -> None:
    rigged = rig(provider, double, grant=Grant(max_cost_usd="0.0001"))

    await _closed_after(rigged, GrantExceeded)

    assert double.requests == []
    assert rigged.assignment.calls == []


async def test_what_was_spent_counts_against_the_grant_of_later_calls(provider: str, double: ProviderDouble) -> None:
    first = rig(provider, double)
    await first.door.generate(question(), first.ledger)
    await first.door.close()
    bound = {"openai": "0.002", "anthropic": "0.03"}[provider]
    rigged = rig(provider, double, grant=Grant(max_cost_usd=bound))
    double.plan(FaultKind.SILENT_AFTER_BILLING)
    rigged_silent = Rig(
        provider=provider,
        model=rigged.model,
        door=rig(provider, double, silence_seconds=0.2).door,
        assignment=rigged.assignment,
        ledger=rigged.ledger,
        double=double,
    )
    await _closed_after(rigged_silent, ProviderTimeout)

    await _closed_after(rigged, GrantExceeded)

    assert len(rigged.assignment.calls) == 1


async def test_the_token_bound_of_the_grant_limits_the_answer(provider: str, double: ProviderDouble) -> None:
    rigged = rig(provider, double, grant=Grant(max_tokens=12))

    await _closed_after(rigged, OutputTruncated)

    request = double.requests[0]
    assert (request.get("max_completion_tokens") or request.get("max_tokens")) == 12


@pytest.mark.parametrize("max_cost_usd", ["5", "0"], ids=["bounded", "unbounded"])
async def test_a_model_without_a_price_is_refused(double: ProviderDouble, max_cost_usd: str) -> None:
    rigged = rig("openai_compatible", double, grant=Grant(max_cost_usd=max_cost_usd))

    await _closed_after(rigged, PriceUnknown)

    assert double.requests == []


async def test_a_model_that_the_operator_declares_free_costs_nothing_and_needs_no_key(double: ProviderDouble) -> None:
    rigged = rig("openai_compatible", double, free_models=("local-model",), grant=Grant(max_cost_usd="0.000001"))

    await rigged.door.generate(question(), rigged.ledger)
    await rigged.door.close()

    assert rigged.assignment.calls[0].cost_usd == "0"
    assert "max_tokens" in double.requests[0]


async def test_a_model_outside_the_grant_is_not_called(double: ProviderDouble) -> None:
    rigged = rig("openai", double, grant=Grant(models=()))

    with pytest.raises(AiFailure) as caught:
        await rigged.door.generate(question(), rigged.ledger)

    assert caught.value.code == "no_model_allowed"
    assert "gpt-4o-mini is configured" in caught.value.message
    assert double.requests == []


async def test_progress_is_told_while_the_answer_arrives(provider: str, double: ProviderDouble) -> None:
    rigged = rig(provider, double)

    await rigged.door.generate(question(), rigged.ledger)
    await rigged.door.close()

    percents = [percent for percent, _ in rigged.assignment.messages]
    assert len(percents) > 2
    assert percents == sorted(percents)
