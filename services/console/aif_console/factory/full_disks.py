"""The disks below the data folder: how much room they have, told while there is still some.

The parts of the folder may lie on different ones. What a full one does differs: Postgres and the blob store refuse what is
written and go on reading, NATS refuses everything, and what cannot be logged is not told anywhere else.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from aif_console.factory.keeping_alive import Tell
from aif_console.factory.plan import DataFolder

LEAST_FREE_BYTES = 256 * 1024 * 1024
LOOK_SECONDS = 10.0
MEBIBYTE = 1024 * 1024


def disks_of(folder: DataFolder) -> list[Path]:
    """One place on each file system that the factory writes to, the data folder first."""
    cluster = folder.postgres / "cluster"
    places = (folder.path, folder.postgres, cluster, cluster / "pg_wal", folder.nats, folder.nats / "store", folder.blobs)
    by_device: dict[int, Path] = {}
    for place in (*places, folder.logs, folder.deliverables, folder.marks):
        try:
            by_device.setdefault(place.stat().st_dev, place)
        except OSError:
            # Not made yet, or another user's.
            continue
    return list(by_device.values())


def free_bytes_on(place: Path) -> int:
    """0 for a file system that takes nothing for another reason: it is read-only, or has no room for more files."""
    disk = os.statvfs(place)
    takes_files = disk.f_files == 0 or disk.f_favail > 0
    return disk.f_bavail * disk.f_frsize if takes_files and not disk.f_flag & os.ST_RDONLY else 0


async def tell_of_full_disks(
    folder: DataFolder,
    *,
    tell: Tell,
    free_bytes: Callable[[Path], int] = free_bytes_on,
    look_seconds: float = LOOK_SECONDS,
) -> None:
    """Once when a disk is nearly full, and once when it has room again. Until cancelled."""
    short: set[Path] = set()
    while True:
        for place in disks_of(folder):
            try:
                free = free_bytes(place)
            except OSError:
                continue
            if place not in short and free < LEAST_FREE_BYTES:
                short.add(place)
                tell(
                    "disk",
                    f"{free // MEBIBYTE} MiB are free on the disk of {place}: make room, or the factory refuses work soon",
                )
            elif place in short and free >= 2 * LEAST_FREE_BYTES:
                short.discard(place)
                tell("disk", f"the disk of {place} has room again")
        await asyncio.sleep(look_seconds)
