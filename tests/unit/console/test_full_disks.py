"""A disk that fills up is told of while there is room, once, and each of those that parts of the data folder lie on."""

import asyncio
from pathlib import Path

import pytest

from aif_console.factory.full_disks import LEAST_FREE_BYTES, disks_of, free_bytes_on, tell_of_full_disks
from aif_console.factory.plan import DataFolder
from support.waiting import eventually

OF_THE_KERNEL = Path("/proc")
"""A file system of its own that takes nothing."""


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "var")
    made.make()
    return made


async def test_a_disk_is_told_of_once_when_it_is_nearly_full_and_once_when_it_has_room(folder: DataFolder) -> None:
    told: list[tuple[str, str]] = []
    free = [2 * LEAST_FREE_BYTES, 3 * 1024 * 1024, 0, LEAST_FREE_BYTES, 2 * LEAST_FREE_BYTES, 2 * LEAST_FREE_BYTES]
    waiting = iter(free)
    looks = 0

    def free_bytes(place: Path) -> int:
        nonlocal looks
        looks += 1
        return next(waiting, 2 * LEAST_FREE_BYTES)

    telling = asyncio.create_task(
        tell_of_full_disks(folder, tell=lambda *words: told.append(words), free_bytes=free_bytes, look_seconds=0)
    )
    await eventually(lambda: looks > len(free), what="every disk was looked at")
    telling.cancel()

    assert told == [
        ("disk", f"3 MiB are free on the disk of {folder.path}: make room, or the factory refuses work soon"),
        ("disk", f"the disk of {folder.path} has room again"),
    ]


async def test_a_disk_that_cannot_be_looked_at_ends_nothing(folder: DataFolder) -> None:
    looks = 0

    def free_bytes(place: Path) -> int:
        nonlocal looks
        looks += 1
        raise OSError

    telling = asyncio.create_task(tell_of_full_disks(folder, tell=lambda *_: None, free_bytes=free_bytes, look_seconds=0))
    await eventually(lambda: looks > 1, what="it was looked at again")

    assert not telling.done()
    telling.cancel()


@pytest.mark.skipif(not OF_THE_KERNEL.exists(), reason="this system has no /proc")
def test_parts_on_the_same_disk_are_one_and_those_elsewhere_their_own(folder: DataFolder) -> None:
    folder.nats.symlink_to(OF_THE_KERNEL)

    assert disks_of(folder) == [folder.path, folder.nats]


@pytest.mark.skipif(not OF_THE_KERNEL.exists(), reason="this system has no /proc")
def test_what_takes_no_files_has_no_room(folder: DataFolder) -> None:
    assert free_bytes_on(folder.path) > 0
    assert free_bytes_on(OF_THE_KERNEL) == 0
