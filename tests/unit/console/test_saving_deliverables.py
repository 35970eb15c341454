"""Where a deliverable is saved: a new file, or what the given name leads to."""

import os
import stat
import threading
from pathlib import Path

import pytest

from aif_console.failures import BadInput
from aif_console.orders import write_deliverable

SAVED = b'{\n  "title": "Bees"\n}\n'


def test_a_deliverable_becomes_a_file_that_only_its_owner_may_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "course.json"

    write_deliverable(path, b'{"title":"Bees"}')

    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (SAVED, 0o600)


def test_a_pipe_is_written_into_and_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    heard: list[bytes] = []
    reading = threading.Thread(target=lambda: heard.append(path.read_bytes()), daemon=True)
    reading.start()

    write_deliverable(path, b'{"title":"Bees"}')

    reading.join(timeout=10)
    assert (heard, path.is_fifo()) == ([SAVED], True)


def test_what_a_link_leads_to_is_written_and_the_link_stays(tmp_path: Path) -> None:
    path, target = tmp_path / "latest.json", tmp_path / "course.json"
    target.write_text("older and longer than what is written now, as it happens")
    path.symlink_to(target)

    write_deliverable(path, b'{"title":"Bees"}')

    assert (target.read_bytes(), path.is_symlink()) == (SAVED, True)


def test_where_nothing_can_be_written_the_option_is_named(tmp_path: Path) -> None:
    path = tmp_path / "full"
    path.symlink_to("/dev/full")

    with pytest.raises(BadInput, match=r"^--out: .*/full cannot be written: No space left on device"):
        write_deliverable(path, b"{}")
