"""What every blob store promises, tried on each of them."""

import asyncio
import hashlib
from collections.abc import AsyncIterable, Awaitable, Callable
from pathlib import Path

import msgspec
import nats
import pytest
import pytest_asyncio
from msgspec.structs import replace

from aif_contracts import subjects
from aif_contracts.blobs import BlobRef, StorageType
from aif_runtime.blob_keys import check_replaceable
from aif_runtime.blobs import WholeBlobStore
from aif_runtime.counting_blobs import CountingBlobStore
from aif_runtime.failures import BlobCorrupt, BlobMissing
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.nats_blobs import NatsBlobStore
from aif_runtime.nats_bus import NatsBus
from aif_runtime.obstore_blobs import ObstoreBlobStore
from aif_runtime.prepared_message import Prepared
from conformance.bus_rigs import NatsRig

KEY = "data/exec_1/stage_1/output"
KV_LIMIT = 512 * 1024

Damage = Callable[[BlobRef, bytes], Awaitable[None]]
"""Puts other bytes where a reference points to, past the store."""


class StoreUnderTest:
    def __init__(self, store: WholeBlobStore, damage: Damage, small_type: StorageType) -> None:
        self.blobs = store
        self.damage = damage
        self.small_type = small_type
        """How it keeps what is too large for the reference and small enough for a bucket."""


@pytest.fixture
def memory_store() -> StoreUnderTest:
    store = MemoryBlobStore()

    async def damage(ref: BlobRef, content: bytes) -> None:
        store.stored[ref.storage_type, ref.storage_key] = content

    return StoreUnderTest(store, damage, StorageType.KV)


@pytest_asyncio.fixture
async def nats_bus(nats_rig: NatsRig) -> NatsBus:
    return await nats_rig.connect("blobs")


@pytest.fixture
def nats_store(nats_bus: NatsBus, nats_rig: NatsRig) -> StoreUnderTest:
    async def damage(ref: BlobRef, content: bytes) -> None:
        if ref.storage_type is StorageType.KV:
            subject = f"$KV.{subjects.BUCKET_BLOBS_KV}.{ref.storage_key}"
            await nats_bus.store([Prepared(subject=subject, payload=content, headers={})])
            return
        async with await nats.connect(nats_rig.url) as client:
            objects = await client.jetstream().object_store(subjects.BUCKET_BLOBS)
            await objects.put(ref.storage_key, content)

    return StoreUnderTest(NatsBlobStore(nats_bus), damage, StorageType.KV)


@pytest.fixture
def folder_store(tmp_path: Path) -> StoreUnderTest:
    folder = tmp_path / "a folder"

    async def damage(ref: BlobRef, content: bytes) -> None:
        (folder / ref.storage_key).write_bytes(content)

    return StoreUnderTest(ObstoreBlobStore.from_url(folder.as_uri()), damage, StorageType.OBJECT)


@pytest.fixture(params=["memory", "nats", "folder"])
def store(request: pytest.FixtureRequest) -> StoreUnderTest:
    under_test: StoreUnderTest = request.getfixturevalue(f"{request.param}_store")
    return under_test


SIZES = [0, 1, 8 * 1024, 8 * 1024 + 1, KV_LIMIT, KV_LIMIT + 1, 10 * 1024 * 1024]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("inline_limit", [0, 8 * 1024])
async def test_bytes_of_every_size_come_back(store: StoreUnderTest, size: int, inline_limit: int) -> None:
    content = _content(size)

    ref = await store.blobs.put(KEY, content, media_type="text/plain", inline_limit_bytes=inline_limit)

    assert await store.blobs.get(ref) == content
    assert ref.size_bytes == size
    assert ref.sha256 == hashlib.sha256(content).hexdigest()
    assert ref.media_type == "text/plain"
    # A bucket's keys have dots.
    assert ref.storage_key.replace(".", "/") == f"data/exec_1/stage_1/output-{ref.sha256[:16]}"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("inline_limit", [0, 8 * 1024])
async def test_bytes_of_every_size_are_read_in_pieces(store: StoreUnderTest, size: int, inline_limit: int) -> None:
    content = _content(size)
    ref = await store.blobs.put(KEY, content, inline_limit_bytes=inline_limit)

    assert b"".join([piece async for piece in store.blobs.read(ref, 0, size)]) == content


@pytest.mark.parametrize("size", [10, KV_LIMIT, 3 * 1024 * 1024])
async def test_a_part_is_read_from_any_byte_to_any_other(store: StoreUnderTest, size: int) -> None:
    content = _content(size)
    ref = await store.blobs.put(KEY, content, inline_limit_bytes=0)

    for start, stop in [(0, 1), (3, 7), (size - 1, size), (size // 2, size), (1, size - 1), (size // 3, size // 3 + 1)]:
        assert b"".join([piece async for piece in store.blobs.read(ref, start, stop)]) == content[start:stop]


@pytest.mark.parametrize("store", ["nats", "folder"], indirect=True)
async def test_no_piece_of_a_large_blob_is_large(store: StoreUnderTest) -> None:
    ref = await store.blobs.put(KEY, _content(10 * 1024 * 1024))

    assert max([len(piece) async for piece in store.blobs.read(ref, 0, ref.size_bytes)]) <= 1024 * 1024


@pytest.mark.parametrize("size", [10, 3 * 1024 * 1024])
@pytest.mark.parametrize("change", [lambda content: b"!" + content[1:], lambda content: content[:-1]], ids=["other", "fewer"])
async def test_the_last_piece_of_changed_bytes_is_never_given(
    store: StoreUnderTest, size: int, change: Callable[[bytes], bytes]
) -> None:
    ref = await store.blobs.put(KEY, _content(size), inline_limit_bytes=0)
    await store.damage(ref, change(_content(size)))
    taken: list[bytes] = []

    with pytest.raises(BlobCorrupt):
        await _take(store.blobs.read(ref, 0, size), taken)

    assert len(b"".join(taken)) < size


@pytest.mark.parametrize("storage_type", list(StorageType))
async def test_nothing_is_read_of_a_missing_blob(store: StoreUnderTest, storage_type: StorageType) -> None:
    ref = BlobRef(storage_type=storage_type, storage_key="data/none-0123456789abcdef", size_bytes=5, sha256="0" * 64)

    with pytest.raises(BlobMissing):
        await anext(store.blobs.read(ref, 0, 5))


async def test_small_bytes_ride_in_the_reference_and_larger_ones_are_stored(store: StoreUnderTest) -> None:
    at_the_limit = await store.blobs.put(KEY, _content(8 * 1024))
    above = await store.blobs.put(KEY, _content(8 * 1024 + 1))
    large = await store.blobs.put(KEY, _content(KV_LIMIT + 1))

    assert at_the_limit.storage_type is StorageType.INLINE
    assert at_the_limit.inline == _content(8 * 1024)
    assert above.storage_type is store.small_type
    assert above.inline is None
    assert large.storage_type is StorageType.OBJECT


async def test_a_limit_of_zero_stores_even_nothing(store: StoreUnderTest) -> None:
    ref = await store.blobs.put(KEY, b"", inline_limit_bytes=0)

    assert ref.storage_type is store.small_type
    assert await store.blobs.get(ref) == b""


async def test_a_reference_survives_the_wire(store: StoreUnderTest) -> None:
    inline = await store.blobs.put(KEY, b"\x00\xff inline")
    stored = await store.blobs.put(KEY, b"\x00\xff stored", inline_limit_bytes=0)

    for ref, content in ((inline, b"\x00\xff inline"), (stored, b"\x00\xff stored")):
        assert await store.blobs.get(msgspec.json.decode(msgspec.json.encode(ref), type=BlobRef)) == content


@pytest.mark.parametrize("size", [100, KV_LIMIT + 1])
async def test_other_bytes_under_the_same_key_never_replace_the_first(store: StoreUnderTest, size: int) -> None:
    first_content, second_content = _content(size), _content(size)[::-1]

    first = await store.blobs.put(KEY, first_content, inline_limit_bytes=0)
    second = await store.blobs.put(KEY, second_content, inline_limit_bytes=0)

    assert await store.blobs.get(first) == first_content
    assert await store.blobs.get(second) == second_content


@pytest.mark.parametrize("size", [100, KV_LIMIT + 1])
async def test_the_same_bytes_may_be_stored_again(store: StoreUnderTest, size: int) -> None:
    first = await store.blobs.put(KEY, _content(size), inline_limit_bytes=0)
    second = await store.blobs.put(KEY, _content(size), inline_limit_bytes=0)

    assert first == second
    assert await store.blobs.get(second) == _content(size)


@pytest.mark.parametrize("size", [100, KV_LIMIT + 1])
async def test_bytes_that_were_changed_are_refused(store: StoreUnderTest, size: int) -> None:
    ref = await store.blobs.put(KEY, _content(size), inline_limit_bytes=0)

    await store.damage(ref, _content(size)[::-1])
    with pytest.raises(BlobCorrupt, match="SHA-256"):
        await store.blobs.get(ref)

    await store.damage(ref, _content(size)[:-1])
    with pytest.raises(BlobCorrupt, match=f"{size - 1} bytes instead of {size}"):
        await store.blobs.get(ref)


@pytest.mark.parametrize("size", [100, KV_LIMIT + 1])
async def test_storing_damaged_bytes_again_mends_them(store: StoreUnderTest, size: int) -> None:
    ref = await store.blobs.put(KEY, _content(size), inline_limit_bytes=0)
    await store.damage(ref, b"damaged")

    await store.blobs.put(KEY, _content(size), inline_limit_bytes=0)

    assert await store.blobs.get(ref) == _content(size)


async def test_inline_bytes_that_do_not_fit_their_digest_are_refused(store: StoreUnderTest) -> None:
    ref = await store.blobs.put(KEY, b"true")

    with pytest.raises(BlobCorrupt):
        await store.blobs.get(msgspec.structs.replace(ref, inline=b"fals"))
    with pytest.raises(BlobMissing):
        await store.blobs.get(msgspec.structs.replace(ref, inline=None))


@pytest.mark.parametrize("storage_type", [StorageType.KV, StorageType.OBJECT])
async def test_a_reference_to_nothing_is_missing(store: StoreUnderTest, storage_type: StorageType) -> None:
    ref = BlobRef(storage_type=storage_type, storage_key="data/nothing-0123456789abcdef", size_bytes=3, sha256="0" * 64)

    with pytest.raises(BlobMissing, match="data/nothing"):
        await store.blobs.get(ref)


ODD_KEYS = [
    "",
    "/etc/passwd",
    "../secret",
    "data/../../secret",
    "data/..",
    "data/a..b",
    "data/a./b",
    "data/./x",
    "data//x",
    "data/",
    ".hidden",
    "data/.hidden",
    "data\\x",
    "data/\x00",
    "data/x\n",
    "data x",
    "data/*",
    "data/>",
    "dätä",
    "data/%2e%2e/x",
    "C:/x",
    "data/" + "x" * 300 + "/y",
    "x" * 496,
]


@pytest.mark.parametrize("key", ODD_KEYS)
@pytest.mark.parametrize("inline_limit", [0, 8 * 1024])
async def test_an_odd_key_is_refused_with_the_rule(store: StoreUnderTest, key: str, inline_limit: int) -> None:
    with pytest.raises(ValueError, match="storage_key"):
        await store.blobs.put(key, b"x", inline_limit_bytes=inline_limit)


@pytest.mark.parametrize("key", [*ODD_KEYS[1:-1], "x" * 513])
async def test_a_forged_reference_reaches_nothing(store: StoreUnderTest, key: str) -> None:
    ref = BlobRef(storage_type=StorageType.OBJECT, storage_key=key, size_bytes=1, sha256="0" * 64)

    with pytest.raises(BlobMissing):
        await store.blobs.get(ref)


async def test_nothing_is_stored_beneath_a_blob(store: StoreUnderTest) -> None:
    ref = await store.blobs.put("data/x", b"x", inline_limit_bytes=0)

    with pytest.raises(BlobMissing):
        await store.blobs.get(replace(ref, storage_key=f"{ref.storage_key}/y"))


async def test_a_key_of_the_greatest_length_works(store: StoreUnderTest) -> None:
    part = "k" * 99
    key = "/".join([part, part, part, part, "k" * 95])

    ref = await store.blobs.put(key, b"x", inline_limit_bytes=0)

    assert len(ref.storage_key) == 512
    assert await store.blobs.get(ref) == b"x"


BOTH_SIZES = (100, KV_LIMIT + 1)


async def test_a_folders_blobs_are_deleted_and_those_of_its_neighbours_stay(store: StoreUnderTest) -> None:
    gone = [
        await store.blobs.put(f"data/exec_1/{key}", _content(size), inline_limit_bytes=0)
        for key in ("stage_1/output", "stage_2/deep/er/input")
        for size in BOTH_SIZES
    ]
    stay = [
        await store.blobs.put(f"{folder}/output", _content(size), inline_limit_bytes=0)
        for folder in ("data/exec_10", "data/exec", "data/exec_2/exec_1", "sources/exec_1", "data/Exec_1", "exec_1")
        for size in BOTH_SIZES
    ]

    assert await store.blobs.delete_folders(["data/exec_1", "data/nothing"]) == len(gone)

    for ref in gone:
        with pytest.raises(BlobMissing):
            await store.blobs.get(ref)
    for ref in stay:
        assert len(await store.blobs.get(ref)) == ref.size_bytes
    assert await store.blobs.delete_folders(["data/exec_1"]) == 0


@pytest.mark.parametrize("size", BOTH_SIZES)
async def test_what_was_deleted_can_be_stored_again(store: StoreUnderTest, size: int) -> None:
    await store.blobs.put(KEY, _content(size), inline_limit_bytes=0)
    await store.blobs.delete_folders(["data/exec_1"])

    ref = await store.blobs.put(KEY, _content(size), inline_limit_bytes=0)

    assert await store.blobs.get(ref) == _content(size)


async def test_several_may_delete_the_same_folders_at_once(store: StoreUnderTest) -> None:
    stay = await store.blobs.put("data/stay/output", b"x", inline_limit_bytes=0)
    refs = [
        await store.blobs.put(f"data/exec_{number}/stage_1/output", _content(size), inline_limit_bytes=0)
        for number in range(10)
        for size in BOTH_SIZES
    ]

    await asyncio.gather(*(store.blobs.delete_folders([f"data/exec_{number}" for number in range(10)]) for _ in range(4)))

    for ref in refs:
        with pytest.raises(BlobMissing):
            await store.blobs.get(ref)
    assert await store.blobs.get(stay) == b"x"


@pytest.mark.parametrize(
    "folder", ["", "data", "data/", "/data/x", "data/*", "data/>", "data/a.b", "data/..", "data/ x", "data//x"]
)
async def test_what_is_no_folder_of_its_own_is_not_deleted(store: StoreUnderTest, folder: str) -> None:
    ref = await store.blobs.put(KEY, b"x", inline_limit_bytes=0)

    with pytest.raises(ValueError, match="no folder"):
        await store.blobs.delete_folders(["data/nothing", folder])

    assert await store.blobs.get(ref) == b"x"


async def test_whole_blobs_are_no_fragments(store: StoreUnderTest) -> None:
    refs = [await store.blobs.put(KEY, _content(size), inline_limit_bytes=0) for size in BOTH_SIZES]

    assert await store.blobs.delete_fragments(0) == 0

    for ref in refs:
        assert len(await store.blobs.get(ref)) == ref.size_bytes


def test_whole_bytes_with_the_same_beginning_of_their_digest_stay() -> None:
    check_replaceable("data/x-0123456789abcdef", "fedcba9876543210" + "0" * 48)

    with pytest.raises(BlobCorrupt, match="other bytes"):
        check_replaceable("data/x-0123456789abcdef", "0123456789abcdef" + "0" * 48)


async def test_a_counting_store_counts_operations_and_time(store: StoreUnderTest) -> None:
    times = iter([10.0, 10.5, 30.0, 30.25])
    counting = CountingBlobStore(store.blobs, clock=lambda: next(times))

    inline = await counting.put(KEY, b"inline")
    small = await counting.put(KEY, b"small", inline_limit_bytes=0)
    await counting.get(inline)
    await counting.get(small)

    assert counting.kv_operations + counting.object_operations == 2
    assert counting.kv_operations == (2 if store.small_type is StorageType.KV else 0)
    assert counting.storage_seconds == 0.75


async def _take(pieces: AsyncIterable[bytes], taken: list[bytes]) -> None:
    async for piece in pieces:
        taken.append(piece)


def _content(size: int) -> bytes:
    """Bytes that do not repeat at any power of two."""
    pattern = b"".join(b"%d," % number for number in range(5003))
    return (pattern * (size // len(pattern) + 1))[:size]


async def test_a_folder_holds_one_file_for_each_blob_and_no_traces_of_writing(tmp_path: Path) -> None:
    store = ObstoreBlobStore.from_url(tmp_path.as_uri())

    ref = await store.put(KEY, _content(1000), inline_limit_bytes=0)
    await store.put(KEY, _content(1000), inline_limit_bytes=0)

    assert _files(tmp_path) == [f"output-{ref.sha256[:16]}"]


def _files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]
