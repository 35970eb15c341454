"""The container files hold together: what they promise about isolation, and that they name what exists."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from aif_console.embedded.nats_server import find_nats_server

ROOT = Path(__file__).parents[3]
COMPOSE_FILE = ROOT / "docker-compose.yml"
SERVICES = ["kam", "orchestrator", "granulator", "researcher", "analyst", "planner", "classifier"]
SECRETS = sorted(set(re.findall(r"\$\{([A-Z_]+):\?\}", COMPOSE_FILE.read_text())))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_dockerfile_passes_hadolint() -> None:
    linted = _run([_tool("hadolint"), "deploy/Dockerfile"])

    assert linted.stdout == ""
    assert linted.returncode == 0


def test_the_dockerfile_builds_without_buildkit() -> None:
    text = (ROOT / "deploy/Dockerfile").read_text()

    assert not re.search(r"<<|--mount|^# *syntax", text, re.MULTILINE)


def test_everything_that_the_dockerfile_copies_reaches_the_builder() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    sources = [source.replace("${SERVICE}", "kam") for line in copied for source in line.split()]
    admitted = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]

    missing = [source for source in sources if not any(Path(source).is_relative_to(path) for path in admitted)]

    assert missing == []
    assert all((ROOT / source).exists() for source in sources)


@pytest.mark.parametrize("secret", SECRETS)
def test_compose_starts_nothing_without_a_secret(secret: str) -> None:
    for environment in (_secrets() | {secret: ""}, {name: "x" for name in SECRETS if name != secret}):
        refused = _compose(environment)

        assert refused.returncode != 0
        assert f"required variable {secret} is missing a value" in refused.stderr


@pytest.mark.parametrize("name", [*SERVICES, "nats", "nats-volume", "postgres"])
def test_every_container_is_confined(name: str) -> None:
    container = _composed()["services"][name]

    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["pids_limit"] > 0
    assert int(container["mem_limit"]) > 0
    assert "privileged" not in container
    assert container.get("cap_add", []) == (["CHOWN"] if name == "nats-volume" else [])


def test_only_workers_get_out_and_only_the_gateway_is_reached() -> None:
    composed = _composed()
    networks = {name: set(container.get("networks", {})) for name, container in composed["services"].items()}
    workers = {"granulator", "researcher", "analyst", "planner"}

    assert {name for name, joined in networks.items() if "egress" in joined} == workers
    assert {name for name, joined in networks.items() if "edge" in joined} == {"kam"}
    assert {name for name, container in composed["services"].items() if "ports" in container} == {"kam"}
    assert {name for name, network in composed["networks"].items() if network.get("internal")} == {"bus", "data"}
    assert all("data" not in networks[worker] for worker in workers)
    assert networks["nats"] == {"bus"}
    assert networks["postgres"] == {"data"}


def test_a_service_knows_its_own_secrets_only() -> None:
    services = _composed()["services"]

    for name in SERVICES:
        others = {f"secret-{secret}" for secret in SECRETS if name.upper() not in secret and secret != "AIF_KEY_PEPPER"}
        values = " ".join(str(value) for value in services[name]["environment"].values())
        assert not [secret for secret in others if secret in values]


@pytest.mark.parametrize("service", SERVICES)
def test_the_lock_of_a_service_pins_all_that_its_wheel_requires(service: str) -> None:
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / f"deploy/locks/{service}.lock").read_text(), re.MULTILINE))

    required = {
        re.split(r"[ ;\[<>=!~]", requirement)[0]
        for requirement in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][service]]
    }

    assert required - pinned == set()


ONLY_WHAT_IS_PINNED = """
import importlib, re, sys
from importlib.metadata import packages_distributions
service, pinned = sys.argv[1], set(sys.argv[2:])
for module, distributions in packages_distributions().items():
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in distributions}
    if not names & {*pinned, "ai-factory"}:
        sys.modules[module] = None
importlib.import_module(f"aif_{service}.__main__")
"""


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_begins_with_nothing_but_what_its_lock_pins(service: str) -> None:
    pinned = re.findall(r"^([a-z0-9-]+)==", (ROOT / f"deploy/locks/{service}.lock").read_text(), re.MULTILINE)

    begun = _run([sys.executable, "-c", ONLY_WHAT_IS_PINNED, service, *pinned])

    assert begun.stderr == ""
    assert begun.returncode == 0


def test_no_lock_names_an_address() -> None:
    texts = [lock.read_text() for lock in (ROOT / "deploy/locks").glob("*.lock")]

    assert len(texts) >= len(SERVICES)
    assert not [text for text in texts if "://" in text]


def test_the_image_asks_the_health_of_the_port_that_the_service_chose(tmp_path: Path) -> None:
    check = _load(ROOT / "deploy/image/check_health.py")
    ready_file = tmp_path / "ready.json"

    assert "has not become ready" in check.complaint(ready_file)

    ready_file.write_bytes(b"{")
    assert "no answer from /health" in check.complaint(ready_file)

    ready_file.write_bytes(msgspec.json.encode({"pid": 1, "port": 1, "service": "kam"}))
    assert "no answer from /health" in check.complaint(ready_file)


def test_the_image_runs_the_service_that_it_was_built_for(tmp_path: Path) -> None:
    package = tmp_path / "aif_echo"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("import sys\nprint(__name__, sys.argv[0].endswith('__main__.py'))\n")

    ran = _run([sys.executable, "deploy/image/start.py"], SERVICE="echo", PYTHONPATH=str(tmp_path))

    assert ran.stdout == "__main__ True\n"


def test_the_fresh_passwords_and_minted_keys_are_all_that_compose_asks_for() -> None:
    passwords = _run([sys.executable, "deploy/new_passwords.py"]).stdout.splitlines()
    keys = _run([sys.executable, "-m", "aif_kam.mint_keys"]).stdout.splitlines()

    environment = dict(line.split("=", 1) for line in [*passwords, *keys])
    assert set(SECRETS) <= set(environment)
    assert _compose(environment).returncode == 0
    assert all(re.fullmatch(r"(\w+_PASSWORD|AIF_ORCHESTRATOR_AUDIT_KEYS)=p[0-9a-f]{48}", line) for line in passwords)
    assert len(set(passwords)) == len(passwords)


def test_the_broker_takes_fresh_passwords_and_does_not_start_without_them() -> None:
    command = [str(find_nats_server(os.environ)), "--config", "deploy/nats.conf", "-t"]
    passwords = dict(line.split("=", 1) for line in _run([sys.executable, "deploy/new_passwords.py"]).stdout.splitlines())

    assert _run(command, **passwords).returncode == 0
    for name in [name for name in passwords if name.startswith("NATS_")]:
        refused = _run(command, **{other: value for other, value in passwords.items() if other != name})
        assert refused.returncode != 0
        assert name in refused.stderr


def _secrets() -> dict[str, str]:
    return {name: f"secret-{name}" for name in SECRETS}


def _compose(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return _run([_tool("docker-compose"), "--file", str(COMPOSE_FILE), "config", "--format", "json"], **environment)


def _composed() -> dict[str, Any]:
    composed = _compose(_secrets())
    assert composed.returncode == 0, composed.stderr
    return msgspec.json.decode(composed.stdout, type=dict[str, Any])


def _run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", ""), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
