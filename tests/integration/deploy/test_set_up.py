"""What sets up a fresh machine, with a Python that only notes what it is asked for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PYTHON = """#!/bin/sh
echo "$(basename "$0") $* home=${PYTHONHOME:-} user=${PIP_USER:-}" >>asked
case "$1 ${2:-}" in
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip") printf '#!/bin/sh\\necho "uv $*" >>asked\\n' >.venv/bin/uv && chmod +x .venv/bin/uv ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What is set up, in a folder with a space in its name."""
    folder = tmp_path / "a factory"
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    python = tmp_path / "any python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    return folder


def set_up(checkout: Path, *, python: str = "any python", **environment: str) -> str:
    """Run it, and give what Python was asked for. Raises CalledProcessError."""
    (checkout / "asked").write_text("")
    known = {**os.environ, **environment, "PYTHON": str(checkout.parent / python)}
    subprocess.run(["sh", "deploy/set_up.sh", "run"], cwd=checkout, env=known, check=True, capture_output=True, text=True)
    return (checkout / "asked").read_text()


def planned(checkout: Path) -> str:
    return subprocess.run(["make", "-n", "order"], cwd=checkout, check=True, capture_output=True, text=True).stdout


def test_an_environment_is_made_once_and_then_brought_up_to_date(checkout: Path) -> None:
    first = set_up(checkout)
    second = set_up(checkout)

    assert "-m venv .venv" in first
    assert "-m venv" not in second
    assert "deploy/run_uv.py pip sync" in second


def test_an_environment_that_was_interrupted_before_its_installer_is_made_anew(checkout: Path) -> None:
    set_up(checkout)
    (checkout / ".venv/bin/uv").unlink()

    assert "-m venv .venv" in set_up(checkout)


def test_an_environment_of_another_folder_is_made_anew(checkout: Path) -> None:
    set_up(checkout)
    (checkout / ".venv/.ready").touch()
    assert "set_up" not in planned(checkout)

    moved = checkout.rename(checkout.with_name("elsewhere"))

    assert "deploy/set_up.sh run" in planned(moved)
    assert "-m venv .venv" in set_up(moved)


def test_a_verb_sets_up_anew_when_its_python_is_gone(checkout: Path) -> None:
    set_up(checkout)
    (checkout / ".venv/.ready").touch()

    (checkout / ".venv/bin/python").unlink()

    assert "deploy/set_up.sh run" in planned(checkout)


def test_what_is_set_for_other_programs_does_not_reach_the_environment(checkout: Path) -> None:
    asked = set_up(checkout, PYTHONHOME="/usr", PIP_USER="1")

    assert "-m pip install" in asked
    assert all(line.endswith("home= user=0") for line in asked.splitlines() if not line.startswith("uv"))


def test_a_python_that_was_asked_for_and_is_none_is_refused_by_name(checkout: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        set_up(checkout, python="no python")

    assert "no python is no Python 3.11 or newer" in refused.value.stderr


def told_to_uv(folder: Path, pip_conf: str, **environment: str) -> dict[str, str]:
    """The variables that uv is run with, and what it is run for, where pip has these settings."""
    (folder / "pip.conf").write_text(pip_conf)
    uv = folder / ".venv/bin/uv"
    uv.parent.mkdir(parents=True, exist_ok=True)
    uv.write_text('#!/bin/sh\necho "ASKED=$*"\nenv\n')
    uv.chmod(0o755)
    told = ("PIP_", "UV_", "SSL_", "ALL_PROXY")
    known = {name: value for name, value in os.environ.items() if not name.startswith(told)}
    asked = [sys.executable, str(ROOT / "deploy/run_uv.py"), "pip", "sync", "run.lock"]
    known |= {"PIP_CONFIG_FILE": str(folder / "pip.conf"), **environment}
    heard = subprocess.run(asked, cwd=folder, env=known, check=True, capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in heard.splitlines() if line.startswith(("ASKED", *told)))


MIRROR = "https://us%20er:se=cret@mirror.example/simple"
PIP_CONF = f"""
[global]
index-url = {MIRROR}
extra-index-url =
    https://one.example/simple
    https://two.example/simple
trusted-host = one.example two.example
cert = /etc/a mirror.pem
proxy = http://proxy.example:3128
"""


def test_uv_is_told_of_the_indexes_that_pip_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()

    told = told_to_uv(tmp_path, f"{PIP_CONF}find-links = wheels nowhere https://wheels.example/all")

    assert told["ASKED"] == "pip sync run.lock"
    assert told["UV_DEFAULT_INDEX"] == MIRROR
    assert told["UV_INDEX"] == "https://one.example/simple https://two.example/simple"
    assert told["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert told["UV_FIND_LINKS"] == "wheels,https://wheels.example/all"
    assert told["UV_INSECURE_HOST"] == "one.example two.example"
    assert (told["SSL_CERT_FILE"], told["ALL_PROXY"]) == ("/etc/a mirror.pem", "http://proxy.example:3128")


def test_a_variable_of_pip_counts_more_than_its_files_and_a_section_for_installing_more_than_the_one_for_all(
    tmp_path: Path,
) -> None:
    told = told_to_uv(
        tmp_path,
        f"[install]\nindex-url = https://of-install.example/simple\ntrusted-host = three.example\n{PIP_CONF}",
        PIP_INDEX_URL="https://variable.example/simple",
    )

    assert told["UV_DEFAULT_INDEX"] == "https://variable.example/simple"
    assert told["UV_INSECURE_HOST"] == "three.example"


def test_who_tells_uv_itself_of_an_index_is_not_told_of_pip_s(tmp_path: Path) -> None:
    told = told_to_uv(tmp_path, PIP_CONF, UV_INDEX_URL="https://own.example/simple", SSL_CERT_FILE="/etc/own.pem")

    assert told["UV_INDEX_URL"] == "https://own.example/simple"
    assert not {"UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_STRATEGY"} & told.keys()
    assert told["SSL_CERT_FILE"] == "/etc/own.pem"
