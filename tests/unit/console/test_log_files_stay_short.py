"""Logs of processes that run for months."""

from pathlib import Path

from aif_console.factory.log_files import shorten


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


def test_a_log_that_is_not_there_yet_is_no_trouble(tmp_path: Path) -> None:
    shorten(tmp_path / "kam.log", longest_bytes=20)
