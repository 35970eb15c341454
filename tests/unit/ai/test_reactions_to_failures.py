"""What the door does after each kind of failure: again, another model, another provider, or nothing."""

import pytest

from aif_ai.call_policy import REACTIONS, CallPolicy, wait_before_retry
from aif_ai.failures import (
    AiFailure,
    AuthenticationFailed,
    CircuitOpen,
    InvalidRequest,
    MalformedOutput,
    NoModelAllowed,
    OutputTruncated,
    PriceUnknown,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
    Refused,
)
from aif_ai.model_switches import Switches
from aif_ai.provider import Offer
from aif_ai.requests import Capability, Finish, Role
from aif_contracts.audit import Severity
from aif_contracts.metering import CallOutcome, Purpose
from aif_contracts.packets import Grant
from support.door_rig import DoorRig, Says, ScriptedProvider, SetSwitches, ask

MINI, SONNET, FOUR_O = "gpt-4o-mini", "claude-sonnet-5-5", "gpt-4o"
BOTH = Grant(models=(MINI, SONNET))


def _story(rig: DoorRig) -> list[tuple[str, Purpose, CallOutcome, str]]:
    return [(c.model, c.purpose, c.outcome, c.reason) for c in rig.calls]


def test_every_failure_has_its_row() -> None:
    before_any_call = {NoModelAllowed}

    assert set(REACTIONS) == set(AiFailure.__subclasses__()) - before_any_call


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (ProviderOverloaded("503"), "provider_overloaded"),
        (ProviderUnreachable("no route"), "provider_unreachable"),
        (ProviderTimeout("silence"), "provider_timeout"),
        (MalformedOutput("half a chunk"), "malformed_output"),
    ],
    ids=["overloaded", "unreachable", "timeout", "malformed"],
)
async def test_what_may_pass_is_tried_three_times_with_longer_waits_before_another_model_is_asked(
    failure: AiFailure, code: str
) -> None:
    first = ScriptedProvider("openai", MINI, steps=(failure,) * 3)
    second = ScriptedProvider("anthropic", SONNET)
    rig = DoorRig(first, second, grant=BOTH)

    generation = await rig.door.generate(ask(), rig.ledger)

    assert generation.model == SONNET
    assert rig.slept == [0.5, 1.0]
    assert _story(rig) == [
        (MINI, Purpose.FIRST_TRY, CallOutcome.FAILED, ""),
        (MINI, Purpose.RETRY, CallOutcome.FAILED, code),
        (MINI, Purpose.RETRY, CallOutcome.FAILED, code),
        (SONNET, Purpose.FALLBACK, CallOutcome.ANSWERED, code),
    ]


async def test_a_second_try_that_succeeds_needs_no_other_model() -> None:
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(ProviderOverloaded("503"),)), ScriptedProvider("anthropic", SONNET))

    generation = await rig.door.generate(ask(), rig.ledger)

    assert (generation.model, generation.fallback_reason) == (MINI, None)
    assert rig.assignment.audited == []


async def test_the_wait_that_a_provider_asks_for_is_kept_and_stretched_by_at_most_a_tenth() -> None:
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(RateLimited("429", retry_after_ms=8_000),)))

    await rig.door.generate(ask(), rig.ledger)

    assert rig.slept == [8.4]
    assert [c.reason for c in rig.calls] == ["", "rate_limited"]


async def test_a_wait_longer_than_the_share_of_the_time_goes_to_the_other_model_at_once() -> None:
    first = ScriptedProvider("openai", MINI, steps=(RateLimited("429", retry_after_ms=90_000),))
    rig = DoorRig(first, ScriptedProvider("anthropic", SONNET), grant=BOTH, seconds=120.0)

    generation = await rig.door.generate(ask(), rig.ledger)

    assert (generation.model, generation.fallback_reason) == (SONNET, "rate_limited")
    assert rig.slept == []


async def test_all_attempts_wait_for_the_pause_that_one_of_them_was_told() -> None:
    provider = ScriptedProvider("openai", MINI, steps=(RateLimited("429", retry_after_ms=200_000),))
    rig = DoorRig(provider, seconds=100.0)
    with pytest.raises(RateLimited):
        await rig.door.generate(ask(), rig.ledger)

    with pytest.raises(RateLimited) as told:
        await rig.door.generate(ask(), rig.ledger)

    assert told.value.retry_after_ms == 200_000
    assert len(provider.asked) == 1


async def test_those_who_wait_for_a_pause_come_back_spread() -> None:
    provider = ScriptedProvider("openai", MINI, steps=(RateLimited("429", retry_after_ms=20_000),))
    rig = DoorRig(provider, policy=CallPolicy(most_tries=1))
    with pytest.raises(RateLimited):
        await rig.door.generate(ask(), rig.ledger)

    await rig.door.generate(ask(), rig.ledger)

    assert rig.slept == [21.0]


async def test_a_configured_rate_spaces_the_calls_of_all_attempts() -> None:
    rig = DoorRig(ScriptedProvider("openai", MINI), switches=SetSwitches(per_minute={"openai": 6}))

    for _ in range(3):
        await rig.door.generate(ask(), rig.ledger)

    assert rig.slept == [10.0, 10.0]


async def test_a_refusal_goes_to_another_model_without_a_second_try() -> None:
    first = ScriptedProvider("openai", MINI, steps=(Refused("no"),))
    rig = DoorRig(first, ScriptedProvider("anthropic", SONNET), grant=BOTH)

    generation = await rig.door.generate(ask(), rig.ledger)

    assert (generation.model, generation.fallback_from, generation.fallback_reason) == (SONNET, MINI, "refused")
    assert len(first.asked) == 1


@pytest.mark.parametrize("failure", [AuthenticationFailed("401"), InvalidRequest("400")], ids=["authentication", "invalid"])
async def test_what_repeats_at_a_provider_is_not_tried_there_again_but_elsewhere(failure: AiFailure) -> None:
    first = ScriptedProvider("openai", MINI, FOUR_O, steps=(failure,))
    rig = DoorRig(first, ScriptedProvider("anthropic", SONNET), grant=Grant(models=(MINI, FOUR_O, SONNET), max_fallbacks=2))

    generation = await rig.door.generate(ask(), rig.ledger)

    assert (generation.model, generation.fallback_reason) == (SONNET, failure.code)
    assert [call.model for call in first.asked] == [MINI]


async def test_a_cut_off_answer_is_continued_once_by_the_model_that_began_it() -> None:
    provider = ScriptedProvider("openai", MINI, steps=(Says(text='{"a": ', finish=Finish.TRUNCATED), Says(text="1}")))
    rig = DoorRig(provider)

    generation = await rig.door.generate(ask(schema={"type": "object", "required": ["a"]}), rig.ledger)

    assert generation.output == b'{"a":1}'
    assert _story(rig) == [
        (MINI, Purpose.FIRST_TRY, CallOutcome.TRUNCATED, ""),
        (MINI, Purpose.CONTINUATION, CallOutcome.ANSWERED, "truncated"),
    ]
    assert [message.text for message in provider.asked[1].messages[1:2]] == ['{"a": ']
    assert provider.asked[1].schema is None


async def test_a_model_that_cannot_go_on_from_what_it_began_is_not_asked_to() -> None:
    offer = Offer(capability=Capability.LLM_GENERATION, models=(MINI,))
    provider = ScriptedProvider("openai", offer, steps=(Says(text='{"a": ', finish=Finish.TRUNCATED),))
    rig = DoorRig(provider)

    with pytest.raises(OutputTruncated):
        await rig.door.generate(ask(schema={"type": "object"}), rig.ledger)

    assert [c.outcome for c in rig.calls] == [CallOutcome.TRUNCATED]


async def test_an_answer_cut_off_twice_is_neither_parsed_nor_asked_for_elsewhere() -> None:
    cut = Says(text='{"a": 1}', finish=Finish.TRUNCATED)
    second = ScriptedProvider("anthropic", SONNET)
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(cut, cut)), second, grant=BOTH)

    with pytest.raises(OutputTruncated):
        await rig.door.generate(ask(schema={"type": "object"}), rig.ledger)

    assert [c.outcome for c in rig.calls] == [CallOutcome.TRUNCATED, CallOutcome.TRUNCATED]
    assert second.asked == []


async def test_an_answer_that_breaks_its_schema_three_times_is_asked_of_another_model() -> None:
    bad = Says(text="[]")
    first = ScriptedProvider("openai", MINI, steps=(bad, bad, bad))
    rig = DoorRig(first, ScriptedProvider("anthropic", SONNET, steps=(Says(text="{}"),)), grant=BOTH)

    generation = await rig.door.generate(ask(schema={"type": "object"}), rig.ledger)

    assert _story(rig) == [
        (MINI, Purpose.FIRST_TRY, CallOutcome.REJECTED, ""),
        (MINI, Purpose.CORRECTION, CallOutcome.REJECTED, "malformed_output"),
        (MINI, Purpose.CORRECTION, CallOutcome.REJECTED, "malformed_output"),
        (SONNET, Purpose.FALLBACK, CallOutcome.ANSWERED, "malformed_output"),
    ]
    assert generation.tokens_wasted == 3_300


async def test_a_model_that_is_shown_its_blank_answer_is_told_so() -> None:
    """Anthropic refuses a message of nothing but white space."""
    model = ScriptedProvider("openai", MINI, steps=(Says(text=" \n"), Says(text="{}")))

    rig = DoorRig(model)
    await rig.door.generate(ask(schema={"type": "object"}), rig.ledger)

    assert [message.text for message in model.asked[1].messages if message.role is Role.ASSISTANT] == ["(nothing)"]


async def test_after_all_corrections_of_all_models_the_attempt_is_not_to_be_tried_again() -> None:
    bad = (Says(text="[]"),) * 3
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=bad), ScriptedProvider("anthropic", SONNET, steps=bad), grant=BOTH)

    with pytest.raises(MalformedOutput) as told:
        await rig.door.generate(ask(schema={"type": "object"}), rig.ledger)

    assert not told.value.retryable
    assert len(rig.calls) == 6


async def test_an_answer_that_came_apart_on_its_way_may_be_whole_in_another_attempt() -> None:
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(MalformedOutput("half a chunk"),) * 3))

    with pytest.raises(MalformedOutput) as told:
        await rig.door.generate(ask(), rig.ledger)

    assert told.value.retryable


async def test_a_fallback_is_audited_with_both_models_the_reason_and_what_was_wasted() -> None:
    first = ScriptedProvider("openai", MINI, steps=(Says(text="[]"),) * 3)
    rig = DoorRig(first, ScriptedProvider("anthropic", SONNET, steps=(Says(text="{}"),)), grant=BOTH)

    await rig.door.generate(ask(schema={"type": "object"}, audit_name="WORKFLOW_GENERATION"), rig.ledger)

    assert rig.assignment.audited == [
        (
            "WORKFLOW_GENERATION_FALLBACK",
            Severity.WARNING,
            {"primary_model": MINI, "fallback_model": SONNET, "reason": "malformed_output", "tokens_wasted": 3_300},
        )
    ]
    assert rig.calls[-1].fallback_from == MINI


@pytest.mark.parametrize(
    ("grant", "switches"),
    [
        (Grant(models=(MINI, SONNET), max_fallbacks=0), Switches()),
        (Grant(models=(MINI, SONNET)), Switches(enable_fallback=False)),
        (Grant(models=(MINI, SONNET), max_fallbacks=2), Switches(enable_fallback=False)),
    ],
    ids=["by_the_grant", "by_the_configuration", "by_the_configuration_for_a_template_that_has_fallbacks"],
)
async def test_fallback_can_be_turned_off(grant: Grant, switches: Switches) -> None:
    second = ScriptedProvider("anthropic", SONNET)
    first = ScriptedProvider("openai", MINI, steps=(Refused("no"),))
    rig = DoorRig(first, second, grant=grant, switches=SetSwitches(switches))

    with pytest.raises(Refused):
        await rig.door.generate(ask(), rig.ledger)

    assert second.asked == []


async def test_a_model_without_a_price_gives_way_to_one_that_has_one() -> None:
    first = ScriptedProvider("openai", "nobody-knows-it")
    rig = DoorRig(first, ScriptedProvider("anthropic", SONNET))

    generation = await rig.door.generate(ask(), rig.ledger)

    assert (generation.model, generation.fallback_reason) == (SONNET, "price_unknown")
    assert first.asked == []


async def test_a_model_without_a_price_is_refused_whatever_the_grant_says() -> None:
    first = ScriptedProvider("openai", "nobody-knows-it")
    rig = DoorRig(first)

    with pytest.raises(PriceUnknown, match="AIF_FREE_MODELS"):
        await rig.door.generate(ask(), rig.ledger)

    assert (first.asked, rig.calls, rig.assignment.announced) == ([], [], [])


async def test_a_fallback_that_the_grant_cannot_pay_leaves_the_failure_that_asked_for_it() -> None:
    first = ScriptedProvider("openai", MINI, steps=(Refused("no"),))
    rig = DoorRig(first, ScriptedProvider("anthropic", SONNET), grant=Grant(models=(MINI, SONNET), max_cost_usd="0.005"))

    with pytest.raises(Refused):
        await rig.door.generate(ask(), rig.ledger)

    assert [c.model for c in rig.calls] == [MINI]


async def test_a_provider_that_only_fails_is_left_alone_and_tried_again_later() -> None:
    provider = ScriptedProvider("openai", MINI, steps=(ProviderOverloaded("503"),) * 3)
    rig = DoorRig(provider, policy=CallPolicy(most_tries=1, failures_to_open=3, open_seconds=30.0))
    for _ in range(3):
        with pytest.raises(ProviderOverloaded):
            await rig.door.generate(ask(), rig.ledger)

    with pytest.raises(CircuitOpen) as left_alone:
        await rig.door.generate(ask(), rig.ledger)
    health = rig.door.health()[0]
    rig.clock.advance(30.0)
    generation = await rig.door.generate(ask(), rig.ledger)

    assert left_alone.value.retry_after_ms == 30_000
    assert (health.circuit, health.open_for_seconds, health.last_failure) == ("open", 30.0, "provider_overloaded")
    assert generation.model == MINI
    assert len(provider.asked) == 4
    assert rig.door.health()[0].circuit == "closed"


async def test_a_trial_that_only_met_a_rate_limit_leaves_the_next_call_on_trial() -> None:
    steps = (ProviderOverloaded("503"), RateLimited("429", retry_after_ms=0), Says())
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=steps), policy=CallPolicy(most_tries=1, failures_to_open=1))
    with pytest.raises(ProviderOverloaded):
        await rig.door.generate(ask(), rig.ledger)
    rig.clock.advance(60.0)
    with pytest.raises(RateLimited):
        await rig.door.generate(ask(), rig.ledger)

    generation = await rig.door.generate(ask(), rig.ledger)

    assert generation.output == b"fine"


async def test_while_a_provider_is_left_alone_another_one_serves_and_that_is_on_its_row() -> None:
    first = ScriptedProvider("openai", MINI, steps=(ProviderUnreachable("gone"),))
    rig = DoorRig(
        first,
        ScriptedProvider("anthropic", SONNET),
        grant=BOTH,
        policy=CallPolicy(most_tries=1, failures_to_open=1),
    )
    await rig.door.generate(ask(), rig.ledger)

    await rig.door.generate(ask(), rig.ledger)

    assert (rig.calls[-1].reason, rig.calls[-1].fallback_from) == ("circuit_open", MINI)
    assert len(first.asked) == 1


async def test_when_all_models_fail_the_first_ones_failure_is_told_beside_the_last_ones() -> None:
    first = ScriptedProvider("openai", MINI, steps=(AuthenticationFailed("openai answered 401: wrong key"),))
    second = ScriptedProvider("anthropic", SONNET, steps=(RateLimited("anthropic is left alone", retry_after_ms=90_000),))
    rig = DoorRig(first, second, grant=BOTH, policy=CallPolicy(most_tries=1))

    with pytest.raises(RateLimited) as told:
        await rig.door.generate(ask(), rig.ledger)

    assert told.value.message == f"anthropic is left alone; before it {MINI} failed: openai answered 401: wrong key"
    assert (told.value.code, told.value.retry_after_ms) == ("rate_limited", 90_000)


async def test_what_the_first_one_said_is_told_in_bounds() -> None:
    first = ScriptedProvider("openai", MINI, steps=(Refused("no! " * 1_000),))
    rig = DoorRig(first, ScriptedProvider("anthropic", SONNET, steps=(Refused("never"),)), grant=BOTH)

    with pytest.raises(Refused) as told:
        await rig.door.generate(ask(), rig.ledger)

    assert told.value.message.startswith(f"never; before it {MINI} failed: no! no!")
    assert len(told.value.message) < 400


async def test_one_model_alone_fails_with_its_own_words() -> None:
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(Refused("never"),)))

    with pytest.raises(Refused) as told:
        await rig.door.generate(ask(), rig.ledger)

    assert told.value.message == "never"


async def test_the_first_model_leaves_half_of_the_time_to_the_second() -> None:
    first = ScriptedProvider("openai", MINI, steps=(ProviderOverloaded("503", retry_after_ms=50_000),) * 3)
    rig = DoorRig(first, ScriptedProvider("anthropic", SONNET), grant=BOTH, seconds=120.0)

    generation = await rig.door.generate(ask(), rig.ledger)

    assert generation.model == SONNET
    assert rig.slept == [52.5]
    assert rig.assignment.remaining_seconds() == 67.5


def test_the_waits_double_up_to_a_bound_and_chance_spreads_them() -> None:
    policy = CallPolicy(backoff_seconds=1.0, longest_backoff_seconds=20.0)

    waits = [wait_before_retry(policy, ProviderTimeout("t"), tries=tries, chance=1.0) for tries in (1, 2, 3, 4, 5, 6, 40)]

    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]
    assert wait_before_retry(policy, ProviderTimeout("t"), tries=3, chance=0.0) == 0.0
