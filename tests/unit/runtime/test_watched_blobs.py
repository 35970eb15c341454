"""A blob store that could not do of late what it was asked for is told of."""

import os
from pathlib import Path

import pytest

from aif_contracts.blobs import BlobRef
from aif_runtime.failures import BlobStoreUnavailable
from aif_runtime.obstore_blobs import ObstoreBlobStore
from aif_runtime.watched_blobs import WatchedBlobStore
from support.manual_clock import ManualClock

CONTENT = os.urandom(100_000)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> WatchedBlobStore:
    """Holds what is below `data/`, and has a file where the folder `spoilt` would be."""
    folder = tmp_path / "blobs"
    folder.mkdir()
    (folder / "spoilt").write_bytes(b"")
    return WatchedBlobStore(ObstoreBlobStore.from_url(folder.as_uri()), monotonic=clock.monotonic)


async def refused(store: WatchedBlobStore) -> str:
    with pytest.raises(BlobStoreUnavailable) as failure:
        await store.put("spoilt/exec_1/output", CONTENT)
    return str(failure.value)


async def test_what_could_not_be_stored_is_told_in_one_line(store: WatchedBlobStore) -> None:
    before = store.trouble

    words = await refused(store)

    assert before is None
    assert store.trouble == words
    assert words.startswith("spoilt/exec_1/output-")
    assert "\n" not in words


async def test_reading_and_what_rides_inline_do_not_show_that_it_stores_again(store: WatchedBlobStore) -> None:
    stored = await store.put("data/exec_1/output", CONTENT)
    await refused(store)

    await store.get(stored)
    await store.put("data/exec_1/small", b"small")

    assert store.trouble is not None


async def test_it_is_well_again_when_it_stores_again(store: WatchedBlobStore) -> None:
    await refused(store)

    await store.put("data/exec_1/output", CONTENT)

    assert store.trouble is None


async def test_what_nobody_has_tried_again_is_forgotten(store: WatchedBlobStore, clock: ManualClock) -> None:
    await refused(store)

    clock.advance(31)

    assert store.trouble is None


async def test_it_reads_and_deletes_what_it_has_stored(store: WatchedBlobStore) -> None:
    stored: BlobRef = await store.put("data/exec_1/output", CONTENT)

    pieces = [piece async for piece in store.read(stored, 10, 20)]
    deleted = await store.delete_folders(["data/exec_1"])

    assert b"".join(pieces) == CONTENT[10:20]
    assert deleted == 1
    assert await store.delete_fragments(0) == 0
