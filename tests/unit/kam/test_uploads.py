"""Uploads in their files: what is written is there, and together they leave room on the disk."""

import hashlib
from contextlib import AsyncExitStack

import pytest

from aif_kam.failures import Unavailable
from aif_kam.uploads import PIECE_BYTES, Uploads

KIB = 1024


async def test_what_was_written_is_in_the_file_from_its_beginning() -> None:
    content = bytes(range(256)) * 2000
    async with Uploads().receive("alice") as upload:
        for start in range(0, len(content), 1000):
            await upload.write(content[start : start + 1000])
        await upload.complete()

        assert (upload.size_bytes, upload.sha256) == (512_000, hashlib.sha256(content).hexdigest())
        assert await upload.read(64) == content[:64]
        assert await upload.read() == content
        assert upload.file.read() == content


async def test_an_empty_upload_has_a_file_as_well() -> None:
    async with Uploads().receive("alice") as upload:
        await upload.complete()

        assert (upload.size_bytes, await upload.read()) == (0, b"")


async def test_a_client_who_fills_the_room_is_turned_away_and_another_one_is_not() -> None:
    uploads = Uploads(free_bytes=lambda _file: 8 * PIECE_BYTES)

    async with uploads.receive("alice") as first, uploads.receive("alice") as second, uploads.receive("bob") as other:
        await first.write(bytes(2 * PIECE_BYTES))
        with pytest.raises(Unavailable) as refused:
            await second.write(bytes(2 * PIECE_BYTES))
        await other.write(bytes(PIECE_BYTES))

    assert (refused.value.code, refused.value.retry_after_seconds) == ("too_many_documents", 10)
    assert uploads.held_bytes == 0


async def test_uploads_leave_as_much_room_on_the_disk_as_they_take() -> None:
    uploads = Uploads(free_bytes=lambda _file: 4 * PIECE_BYTES)

    async with AsyncExitStack() as under_way:
        for client_id in ("a", "b", "c", "d"):
            await (await under_way.enter_async_context(uploads.receive(client_id))).write(bytes(PIECE_BYTES))
        one_more = await under_way.enter_async_context(uploads.receive("e"))
        with pytest.raises(Unavailable):
            await one_more.write(bytes(PIECE_BYTES))
