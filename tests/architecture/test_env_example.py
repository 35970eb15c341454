"""deploy/env.example shows every setting of every service, and nothing that is gone."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from aif_console.factory.plan import SERVICES, ServiceKind, readable_by
from aif_runtime.settings import load_settings, variables_of

DEPLOY = Path(__file__).parents[2] / "deploy"
THE_FACTORYS_OWN = {
    *("AIF_NATS_URL", "AIF_NATS_USER", "AIF_NATS_PASSWORD", "AIF_READY_FILE"),
    *("AIF_KEY_PEPPER", "AIF_BOOTSTRAP_CLIENT_ID", "AIF_BOOTSTRAP_CLIENT_KEY", "AIF_BOOTSTRAP_ADMIN_KEY"),
    # One port, or one name in traces, for all services of a machine helps nobody.
    *("AIF_HEALTH_PORT", "OTEL_SERVICE_NAME"),
}


def script() -> ModuleType:
    """The script lies beside what it writes, in no package."""
    spec = importlib.util.spec_from_file_location("write_env_example", DEPLOY / "write_env_example.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_is_up_to_date() -> None:
    written = (DEPLOY / "env.example").read_text(encoding="utf-8")

    assert written == script().rendered(), "settings have changed: run `python deploy/write_env_example.py`"


def test_every_service_of_the_factory_is_in_the_example() -> None:
    services = {package.parent.name for package in DEPLOY.parent.glob("services/*/aif_*/settings.py")}

    assert {f"aif_{service}" for service in script().SETTINGS} == services


def test_a_default_that_somebody_takes_over_from_the_example_is_what_it_was() -> None:
    lines = (DEPLOY / "env.example").read_text(encoding="utf-8").splitlines()
    shown = dict(line.lstrip("#").split("=", 1) for line in lines if "=" in line and not line.startswith("# "))
    defaults = {name: value for name, value in shown.items() if value}

    for settings in script().SETTINGS.values():
        required = {each.name: "a secret of thirty-two characters" for each in variables_of(settings) if each.required}
        assert load_settings(settings, required | defaults) == load_settings(settings, required)


def test_the_example_holds_no_secret_and_no_default_of_one() -> None:
    written = (DEPLOY / "env.example").read_text(encoding="utf-8").splitlines()

    secrets = [line for line in written if line.lstrip("#").partition("=")[0].endswith(("_KEY", "_PASSWORD", "_PEPPER"))]

    assert secrets
    assert all(line.endswith("=") for line in secrets)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_whatever_the_example_tells_of_a_service_reaches_it_in_a_factory_on_one_machine(service: ServiceKind) -> None:
    names = {variable.name for variable in variables_of(script().SETTINGS[service.name])} - THE_FACTORYS_OWN
    names |= {f"{name}_FILE" for name in names}

    reached = readable_by(service, dict.fromkeys(names, "the operator's"))

    assert names - reached.keys() == set()


def test_each_setting_is_described_by_its_own_words_and_not_by_those_of_its_type() -> None:
    written = (DEPLOY / "env.example").read_text(encoding="utf-8")

    assert "US dollars as decimal text" not in written
