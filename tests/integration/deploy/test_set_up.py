"""What sets up a fresh machine, with a Python that only notes what it is asked for."""

import os
import shutil
import subprocess
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
    assert "uv pip sync" in second


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
