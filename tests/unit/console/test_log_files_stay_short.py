"""Logs of processes that run for months."""

import asyncio
from pathlib import Path

from aif_console.factory.log_files import keep_short, shorten
from support.waiting import eventually


def test_a_long_log_is_moved_aside_under_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "kam.log"
    with log.open("a") as writer:
        writer.write("old " * 10)
        writer.flush()

        shorten(log, longest_bytes=20)
        writer.write("new")

    assert log.read_text() == "new"
    assert (tmp_path / "kam.log.1").read_text() == "old " * 10


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "kam.log"
    log.write_text("short")

    shorten(log, longest_bytes=20)

    assert log.read_text() == "short"
    assert not (tmp_path / "kam.log.1").exists()


async def test_a_log_that_cannot_be_shortened_does_not_keep_the_others_long(tmp_path: Path) -> None:
    missing, long = tmp_path / "missing.log", tmp_path / "kam.log"
    long.write_text("old " * 10)

    keeping = asyncio.create_task(keep_short([missing, long], longest_bytes=20, look_seconds=0.001))
    await eventually(lambda: long.read_text() == "")
    keeping.cancel()

    assert (tmp_path / "kam.log.1").read_text() == "old " * 10
