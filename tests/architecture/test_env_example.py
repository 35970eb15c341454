"""deploy/env.example shows every setting of every service, and nothing that is gone."""

import importlib.util
from pathlib import Path
from types import ModuleType

DEPLOY = Path(__file__).parents[2] / "deploy"


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


def test_the_example_holds_no_secret_and_no_default_of_one() -> None:
    written = (DEPLOY / "env.example").read_text(encoding="utf-8").splitlines()

    secrets = [line for line in written if line.lstrip("#").partition("=")[0].endswith(("_KEY", "_PASSWORD", "_PEPPER"))]

    assert secrets
    assert all(line.endswith("=") for line in secrets)
