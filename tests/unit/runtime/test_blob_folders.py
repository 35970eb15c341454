"""A folder of blobs that is gone or full is told of before anybody needs it, and what lies in it is not taken for lost."""

import asyncio
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from aif_runtime.blob_folder import LEAST_FREE_BYTES, folder_check
from aif_runtime.failures import BlobMissing, BlobStoreUnavailable
from aif_runtime.obstore_blobs import ObstoreBlobStore


async def test_a_folder_that_is_there_and_has_room_is_well(tmp_path: Path) -> None:
    check = folder_check(tmp_path.as_uri())

    assert check is not None
    assert await check() is None


async def test_a_folder_that_has_vanished_is_told_until_it_is_there_again(tmp_path: Path) -> None:
    folder = tmp_path / "my blobs"
    check = folder_check(folder.as_uri())
    assert check is not None

    gone = await check()
    folder.mkdir()

    assert gone == f"the folder of blobs, {folder}, cannot be read: No such file or directory"
    assert await check() is None


async def test_while_the_folder_is_away_no_blob_is_taken_for_lost(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "blobs", tmp_path / "unmounted"
    blobs = ObstoreBlobStore.from_url(folder.as_uri())
    stored = await blobs.put("data/exec_1/outline/output", b"x" * 10_000)
    lost = replace(stored, storage_key=f"data/exec_1/course/output-{stored.sha256[:16]}")

    folder.rename(elsewhere)
    for ref in (stored, lost):
        with pytest.raises(BlobStoreUnavailable, match="there is no folder"):
            await blobs.get(ref)
    elsewhere.rename(folder)

    assert await blobs.get(stored) == b"x" * 10_000
    with pytest.raises(BlobMissing):
        await blobs.get(lost)


async def test_a_full_disk_is_told(tmp_path: Path) -> None:
    check = folder_check(tmp_path.as_uri(), free_bytes=lambda _: LEAST_FREE_BYTES - 1)

    assert check is not None
    assert await check() == f"the disk of the folder of blobs, {tmp_path}, is full"


async def test_a_file_system_that_does_not_answer_is_looked_at_by_one_thread_alone(tmp_path: Path) -> None:
    begun: list[Path] = []
    answers = threading.Event()

    def hangs(folder: Path) -> int:
        begun.append(folder)
        answers.wait(30)
        return LEAST_FREE_BYTES

    check = folder_check(tmp_path.as_uri(), free_bytes=hangs)
    assert check is not None

    for _ in range(3):
        try:
            async with asyncio.timeout(0.05):
                await check()
        except TimeoutError:
            continue
    answers.set()

    assert await check() is None
    assert len(begun) == 1


def test_other_stores_are_no_folders() -> None:
    assert [folder_check(url) for url in ("nats:", "s3://bucket/prefix", "memory://")] == [None, None, None]
