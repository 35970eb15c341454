"""Ctrl-C ends a command with an exit code of its own, also while the command still gets ready."""

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
