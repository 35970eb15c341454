"""A broker that complains of a full disk although there is room is known by its log."""

from pathlib import Path

from aif_console.factory.room_again import FullDisk

COMPLAINT = "[1] [ERR] JetStream failed to store a msg on stream '$G > AIF_WORK': write 1.blk: no space left on device\n"


def says(log: Path, line: str) -> None:
    with log.open("a") as opened:
        opened.write(line)


def test_a_broker_that_complains_of_a_full_disk_with_room_is_seen_once_for_each_complaint(tmp_path: Path) -> None:
    log = tmp_path / "nats.log"
    says(log, COMPLAINT)
    disk = FullDisk(log)

    of_old_words = disk.is_over()
    says(log, "[1] [INF] all is well\n")
    of_other_words = disk.is_over()
    says(log, COMPLAINT)
    of_new_words = disk.is_over()
    of_no_words = disk.is_over()

    assert (of_old_words, of_other_words, of_new_words, of_no_words) == (False, False, True, False)


def test_while_the_disk_is_full_it_is_not_over(tmp_path: Path) -> None:
    log = tmp_path / "nats.log"
    disk = FullDisk(log, enough_bytes=1 << 80)

    says(log, COMPLAINT)

    assert not disk.is_over()


def test_a_complaint_in_a_log_that_was_moved_aside_and_begun_anew_is_seen(tmp_path: Path) -> None:
    log = tmp_path / "nats.log"
    says(log, "[1] [INF] a long history\n" * 100)
    disk = FullDisk(log)

    log.write_text(COMPLAINT)

    assert disk.is_over()
