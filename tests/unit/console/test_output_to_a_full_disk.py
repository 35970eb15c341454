"""What a command prints may be sent to a file on a disk that is full."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("words", [["prices"], ["--help"], ["order", "--help"]])
def test_a_command_whose_output_finds_no_room_says_so_in_one_line(words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run([sys.executable, "-m", "aif_console", *words], stdout=full, stderr=subprocess.PIPE, check=False)

    said = b"aif: there is no room for what was to be written: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (1, said)
