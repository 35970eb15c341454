"""What a provider refuses until the operator mends it is told to the operator, from the first call on."""

import pytest
from prometheus_client import CollectorRegistry

from aif_ai.attempt_ledger import AttemptLedger
from aif_ai.call_policy import CallPolicy
from aif_ai.failures import AiFailure, AuthenticationFailed, InvalidRequest, ProviderOverloaded
from aif_ai.provider_reports import report_on_providers
from aif_contracts.packets import Grant
from aif_contracts.workers import ProviderRefusal, RefusalKind
from aif_runtime.health import CheckResult, Health
from support.door_rig import DoorRig, ScriptedProvider, ask

MINI = "gpt-4o-mini"
GOOD = "gpt-4o"
WRONG_KEY = AuthenticationFailed("openai answered 401: wrong sk-secret", refusal=RefusalKind.KEY)
NO_SUCH_MODEL = InvalidRequest("openai answered 404: no such model", refusal=RefusalKind.UNKNOWN_MODEL)
ONCE = CallPolicy(most_tries=1, max_fallbacks=0)


class _Operator:
    """Reads the health page and the figures."""

    def __init__(self, rig: DoorRig) -> None:
        self._health = Health(service="granulator", version="0.1.0")
        self._registry = CollectorRegistry()
        self._health.ready()
        report_on_providers(rig.door, self._health, self._registry, redact=lambda words: words.replace("sk-secret", "***"))

    async def page(self) -> tuple[str, CheckResult]:
        report = await self._health.report()
        return report.status, report.checks["providers"]

    def figure(self, reason: str) -> float | None:
        return self._registry.get_sample_value("aif_provider_refuses", {"provider": "openai", "reason": reason})


async def _fails(rig: DoorRig) -> None:
    with pytest.raises(AiFailure):
        await rig.door.generate(ask(), rig.ledger)


async def test_a_key_that_a_provider_refuses_is_on_the_health_page_and_in_the_figures_after_one_call() -> None:
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(WRONG_KEY,)), policy=ONCE)
    operator = _Operator(rig)
    before, unharmed = operator.figure("key"), await operator.page()

    await _fails(rig)

    assert (before, unharmed) == (0.0, ("ok", CheckResult(status="ok")))
    assert operator.figure("key") == 1.0
    assert await operator.page() == (
        "ok",
        CheckResult(
            status="warning",
            detail="openai refuses its key since 2026-05-01T09:30:00.000Z, last at 2026-05-01T09:30:00.000Z: "
            "openai answered 401: wrong ***",
        ),
    )


async def test_a_refusal_tells_since_when_and_when_last_and_is_over_with_the_first_answer() -> None:
    rig = DoorRig(ScriptedProvider("openai", MINI, steps=(WRONG_KEY, WRONG_KEY)), policy=ONCE)
    operator = _Operator(rig)
    await _fails(rig)
    rig.clock.advance(60.0)
    await _fails(rig)

    told = rig.door.providers()[0].refusals
    await rig.door.generate(ask(), rig.ledger)

    assert told == (
        ProviderRefusal(kind=RefusalKind.KEY, model=MINI, since="2026-05-01T09:30:00.000Z", last_at="2026-05-01T09:31:00.000Z"),
    )
    assert rig.door.providers()[0].refusals == ()
    assert (operator.figure("key"), await operator.page()) == (0.0, ("ok", CheckResult(status="ok")))


async def test_a_model_that_a_provider_does_not_know_stays_told_while_its_other_models_answer() -> None:
    provider = ScriptedProvider("openai", MINI, GOOD, steps=(NO_SUCH_MODEL,))
    rig = DoorRig(provider, policy=ONCE)
    await _fails(rig)

    good = AttemptLedger(rig.new_attempt(grant=Grant(parameters={"model": GOOD})))
    answered = await rig.door.generate(ask(), good)

    (refusal,) = rig.door.providers()[0].refusals
    assert answered.model == GOOD
    assert (refusal.kind, refusal.model) == ("unknown_model", MINI)


async def test_a_provider_that_only_fails_is_told_on_the_health_page_until_it_answers() -> None:
    provider = ScriptedProvider("openai", MINI, steps=(ProviderOverloaded("503"),))
    rig = DoorRig(provider, policy=CallPolicy(most_tries=1, max_fallbacks=0, failures_to_open=1, open_seconds=30.0))
    operator = _Operator(rig)

    await _fails(rig)
    status, told = await operator.page()
    rig.clock.advance(31.0)
    _, told_later = await operator.page()
    await rig.door.generate(ask(), rig.ledger)

    failed = "it has failed 1 times in a row, last with provider_overloaded"
    assert (status, told.status) == ("ok", "warning")
    assert told.detail == f"openai is left alone for another 30 s: {failed}"
    assert told_later.detail == f"openai is left alone until it is asked again: {failed}"
    assert await operator.page() == ("ok", CheckResult(status="ok"))
