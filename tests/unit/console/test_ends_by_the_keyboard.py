"""Ctrl-C ends a command with an exit code of its own, also while the command still gets ready."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rich_click as click
from click.testing import CliRunner

from aif_console.command_line import aif
from aif_console.exit_codes import INTERRUPTED


def test_a_command_that_is_interrupted_before_it_works_ends_with_the_code_of_an_interruption() -> None:
    @click.command()
    def begins() -> None:
        raise KeyboardInterrupt

    ended = CliRunner().invoke(type(aif)(name="aif", commands=[begins]), ["begins"])

    assert (ended.exit_code, ended.output) == (INTERRUPTED, "")


@pytest.mark.parametrize(
    ("inherited", "ending"), [(signal.default_int_handler, -signal.SIGINT), (signal.SIG_IGN, 7)], ids=["heard", "ignored"]
)
def test_a_command_that_is_interrupted_while_it_is_loaded_ends_without_a_traceback_unless_it_is_not_to_hear(
    tmp_path: Path, inherited: Callable[..., Any] | signal.Handlers, ending: int
) -> None:
    (tmp_path / "rich_click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nos._exit(7)\n")

    ended = subprocess.run(
        [sys.executable, "-m", "aif_console"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, inherited),
    )

    assert (ended.returncode, ended.stderr) == (ending, b"")
