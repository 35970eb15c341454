"""Each service gets its own settings and secrets, and nobody else's."""

from pathlib import Path

import pytest

from aif_console.factory.environments import Reached, environment_of
from aif_console.factory.keys import FactoryKeys
from aif_console.factory.plan import SERVICES, DataFolder, FactoryPlan, ServiceKind, data_folder, read_by_nobody

KEYS = FactoryKeys(
    key_pepper="p" * 64,
    client_id="local",
    client_key="client-key",
    admin_key="admin-key",
    nats_passwords={
        "kam": "k",
        "orchestrator": "o",
        "granulator": "g",
        "researcher": "r",
        "analyst": "a",
        "planner": "p",
        "classifier": "c",
        "operator": "op",
    },
    audit_key="audit-key",
)
REACHED = Reached(
    nats_url="nats://127.0.0.1:20000",
    database_urls={name: f"postgresql://{name}@here/ai_factory" for name in ("kam", "orchestrator", "classifier")},
    kam_port=8421,
)


def kind(name: str) -> ServiceKind:
    return next(service for service in SERVICES if service.name == name)


def environment(name: str, settings: dict[str, str] | None = None, *, nats_url: str | None = None) -> dict[str, str]:
    plan = FactoryPlan(data_dir=Path("/data"), settings=settings or {}, nats_url=nats_url)
    return environment_of(kind(name), plan, DataFolder(Path("/data")), KEYS, REACHED)


@pytest.mark.parametrize("service", ["kam", "orchestrator", "classifier"])
def test_only_workers_get_the_keys_of_providers(service: str) -> None:
    settings = {"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY_FILE": "/key", "AIF_OPENAI_BASE_URL": "http://models"}

    for worker in ("granulator", "researcher", "analyst", "planner"):
        assert settings.items() <= environment(worker, settings).items()
    assert not settings.keys() & environment(service, settings).keys()


def test_every_worker_goes_by_the_same_times_and_prices_and_the_same_bucket() -> None:
    settings = {"AIF_ACK_WAIT_SECONDS": "6", "CPU_COST_PER_MS": "0.01", "AWS_ACCESS_KEY_ID": "id"}

    for worker in ("granulator", "researcher", "analyst", "planner", "classifier"):
        assert settings.items() <= environment(worker, settings).items()


def test_the_gateways_secrets_go_to_the_gateway_alone() -> None:
    secrets = {"AIF_KEY_PEPPER", "AIF_BOOTSTRAP_CLIENT_KEY", "AIF_BOOTSTRAP_ADMIN_KEY"}

    assert secrets <= environment("kam").keys()
    for other in ("orchestrator", "granulator", "researcher", "analyst", "planner", "classifier"):
        assert not secrets & environment(other).keys()


def test_only_the_orchestrator_seals_the_audit_log_by_the_operators_key_if_there_is_one() -> None:
    name = "AIF_ORCHESTRATOR_AUDIT_KEYS"

    assert environment("orchestrator")[name] == "audit-key"
    assert environment("orchestrator", {name: "own"})[name] == "own"
    assert name not in environment("orchestrator", {f"{name}_FILE": "/key"})
    for other in ("kam", "granulator", "researcher", "classifier"):
        assert name not in environment(other)


def test_each_service_reaches_the_database_in_its_own_role_only() -> None:
    urls = {name: [key for key in environment(name) if key.endswith("_DATABASE_URL")] for name in [s.name for s in SERVICES]}

    assert urls == {
        "kam": ["AIF_KAM_DATABASE_URL"],
        "orchestrator": ["AIF_ORCHESTRATOR_DATABASE_URL"],
        "classifier": ["AIF_CLASSIFIER_DATABASE_URL"],
        "granulator": [],
        "researcher": [],
        "analyst": [],
        "planner": [],
    }


def test_each_service_is_a_nats_user_of_its_own() -> None:
    granulator = environment("granulator")

    assert (granulator["AIF_NATS_USER"], granulator["AIF_NATS_PASSWORD"]) == ("granulator", "g")


def test_a_broker_of_the_operators_own_is_entered_as_the_operator_says() -> None:
    settings = {"AIF_NATS_USER": "factory", "AIF_NATS_PASSWORD_FILE": "/secret"}

    granulator = environment("granulator", settings, nats_url="nats://elsewhere:4222")

    assert granulator["AIF_NATS_USER"] == "factory"
    assert granulator["AIF_NATS_PASSWORD_FILE"] == "/secret"
    assert "AIF_NATS_PASSWORD" not in granulator


def test_a_setting_of_ours_is_never_given_twice_as_text_and_as_file() -> None:
    settings = {"AIF_KAM_DATABASE_URL_FILE": "/elsewhere", "AIF_KAM_PORT_FILE": "/port"}

    kam = environment("kam", settings)

    assert kam["AIF_KAM_DATABASE_URL"] == "postgresql://kam@here/ai_factory"
    assert kam["AIF_KAM_PORT"] == "8421"
    assert not settings.keys() & kam.keys()


def test_blobs_lie_in_the_data_folder_unless_the_operator_says_where() -> None:
    assert environment("kam")["AIF_BLOBS_URL"] == "file:///data/blobs"
    assert environment("kam", {"AIF_BLOBS_URL": "s3://bucket"})["AIF_BLOBS_URL"] == "s3://bucket"
    assert "AIF_BLOBS_URL" not in environment("kam", {"AIF_BLOBS_URL_FILE": "/blobs"})


def test_what_nobody_reads_nobody_gets() -> None:
    settings = {"SSH_AUTH_SOCK": "/agent", "PYTHONPATH": "/evil", "AIF_HEALTH_PORT": "9000", "OTEL_SERVICE_NAME": "one"}

    for service in SERVICES:
        assert not settings.keys() & environment(service.name, settings).keys()


def test_how_traces_are_sampled_and_sent_reaches_every_service() -> None:
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.1",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=staging",
        "OTEL_SDK_DISABLED": "true",
    }

    for service in SERVICES:
        assert settings.items() <= environment(service.name, settings).items()


def test_what_nobody_reads_is_known() -> None:
    settings = {
        "AIF_ORCHESTATOR_KEEP_DAYS": "30",
        "AIF_ORCHESTRATOR_KEEP_DAYS": "30",
        "AIF_HEALTH_PORT": "8421",
        "AIF_LOG_LEVEL": "info",
        "AIF_DATA_DIR": "/data",
        "AIF_NATS_PASSWORD_FILE": "/run/secrets/nats",
        "OPENAI_API_KEY": "sk",
        "HOME": "/root",
    }

    assert read_by_nobody(settings, SERVICES) == ["AIF_HEALTH_PORT", "AIF_ORCHESTATOR_KEEP_DAYS"]


def test_the_data_folder_is_the_one_asked_for_then_that_of_the_environment_then_var() -> None:
    assert data_folder("/asked", {"AIF_DATA_DIR": "/set"}).path == Path("/asked")
    assert data_folder(None, {"AIF_DATA_DIR": "/set"}).path == Path("/set")
    assert data_folder(None, {}).path == Path.cwd() / "var"
