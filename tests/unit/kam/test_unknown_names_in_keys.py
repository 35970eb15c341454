"""What an operator is told about a key that names what nobody has."""

import pytest

from aif_contracts.workers import ActionDescription, ProviderDescription, WorkerDescription
from aif_kam.configuration.unknown_names import remark_on

LIVE = (
    WorkerDescription(
        worker_name="content_granulator",
        instance_id="granulator-1",
        version="1",
        actions=(ActionDescription(name="structure_course", paid=True), ActionDescription(name="structure_quiz", paid=True)),
        providers=(
            ProviderDescription(name="openai", is_local=False, capabilities=(), models=()),
            ProviderDescription(name="local_extractive", is_local=True, capabilities=(), models=()),
        ),
    ),
)


@pytest.mark.parametrize(
    ("key", "remark"),
    [
        (
            "agent.structure_curse.primary_model",
            "structure_curse is no action that is known now (no live worker offers it), so the key does nothing yet: did you "
            "mean structure_course? Known are structure_course, structure_quiz",
        ),
        (
            "agent.nonsense.enable_fallback",
            "nonsense is no action that is known now (no live worker offers it), so the key does nothing yet: known are "
            "structure_course, structure_quiz",
        ),
        (
            "provider_requests_per_minute.opnai",
            "opnai is no provider that is known now (no live worker has it configured), so the key does nothing yet: did you "
            "mean openai? Known are openai",
        ),
        ("agent.structure_quiz.primary_model", None),
        ("provider_requests_per_minute.openai", None),
        ("orchestrator_primary_model", None),
    ],
    ids=["a slip", "nonsense", "a slip in a provider", "an action", "a provider", "a plain key"],
)
def test_a_name_that_nobody_has_is_remarked_on_with_those_that_are_known(key: str, remark: str | None) -> None:
    assert remark_on(key, LIVE) == remark


def test_while_no_worker_lives_nothing_is_remarked() -> None:
    assert remark_on("agent.nonsense.primary_model", ()) is None
