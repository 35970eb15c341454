"""Blobs in NATS: small ones as entries of a bucket, large ones in chunks in an object store.

A bucket's keys have dots for slashes: then a folder is a subject of its own, and all in it is deleted by one request, however
much that is. An object's name is one token of its subject, so those of a folder are found by reading all descriptions; they are
few, because objects are large.

Both are read without a consumer, by direct reads. The library's own object reader makes a consumer for every read that lives on
for seconds, and after a thousand reads the server refuses the next. What is written here any NATS client can read, and the
other way round.
"""

import base64
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import msgspec
from msgspec import Struct

from aif_contracts.blobs import INLINE_LIMIT_BYTES, KV_LIMIT_BYTES, BlobRef, StorageType
from aif_contracts.subjects import BUCKET_BLOBS, BUCKET_BLOBS_KV
from aif_runtime.blob_keys import (
    check_folder,
    check_readable,
    check_replaceable,
    full_key,
    inline_content,
    inline_ref,
    rides_inline,
    sha256_hex,
    verified,
    verified_pieces,
)
from aif_runtime.failures import BlobCorrupt, BlobMissing, BlobStoreUnavailable, BusUnavailable
from aif_runtime.nats_bus import NatsBus
from aif_runtime.nats_connection import JetStreamRefusal
from aif_runtime.nats_direct import SEQUENCE, StreamMissing, latest, read_batch
from aif_runtime.nats_expiry import STORED_AT
from aif_runtime.nats_publishing import EXPECT_UNUSED, SubjectTaken
from aif_runtime.nats_topology import bucket_stream, object_stream
from aif_runtime.prepared_message import Prepared

CHUNK_BYTES = 256 * 1024
CHUNKS_AT_ONCE = 64
"""In one direct read: more would fill the broker's buffer for this connection."""
CHUNKS_OF_A_PIECE = 4
"""For a reader who takes his time."""
DESCRIPTIONS_AT_ONCE = 256
ROLLUP = {"Nats-Rollup": "sub"}
"""The latest message of the subject replaces those before it."""
DIGEST_PREFIX = "SHA-256="
STREAM_NOT_FOUND = 10059
_NUID = re.compile(r"[A-Za-z0-9]+")

_KV_STREAM = bucket_stream(BUCKET_BLOBS_KV)
_OBJECT_STREAM = object_stream(BUCKET_BLOBS)


T = TypeVar("T")


class _ObjectOptions(Struct, frozen=True, kw_only=True):
    max_chunk_size: int = CHUNK_BYTES


class _ObjectMeta(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every NATS client writes about an object."""

    name: str
    bucket: str
    nuid: str
    size: int
    chunks: int
    digest: str
    """`SHA-256=` and the digest in URL-safe base64."""
    mtime: str = ""
    deleted: bool = False
    options: _ObjectOptions | None = None


class _Purged(Struct, frozen=True):
    purged: int


class _SubjectState(Struct, frozen=True):
    subjects: dict[str, int] | None = None


class _SubjectList(Struct, frozen=True):
    state: _SubjectState
    ts: datetime
    """By the broker's clock."""
    total: int = 0
    """Subjects on all pages."""


_META = msgspec.json.Decoder(_ObjectMeta)


class NatsBlobStore:
    """Uses the connection of a bus and declares the buckets again when the broker has lost them."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus

    async def put(
        self,
        storage_key: str,
        content: bytes,
        *,
        media_type: str = "application/json",
        inline_limit_bytes: int = INLINE_LIMIT_BYTES,
    ) -> BlobRef:
        digest = sha256_hex(content)
        if rides_inline(content, inline_limit_bytes):
            return inline_ref(storage_key, content, digest, media_type)
        key = full_key(storage_key, digest)
        try:
            if len(content) <= KV_LIMIT_BYTES:
                storage_type, key = StorageType.KV, _entry_key(key)
                await self._put_entry(key, content)
            else:
                storage_type = StorageType.OBJECT
                await self._put_object(key, content, digest)
        except BusUnavailable as failed:
            raise BlobStoreUnavailable(f"{key} was not stored: {failed}") from failed
        return BlobRef(
            storage_type=storage_type, storage_key=key, size_bytes=len(content), sha256=digest, media_type=media_type
        )

    async def get(self, ref: BlobRef) -> bytes:
        if ref.storage_type is StorageType.INLINE:
            return inline_content(ref)
        check_readable(ref)
        try:
            if ref.storage_type is StorageType.KV:
                content = await self._read(lambda: self._latest(_KV_STREAM, _entry_subject(ref.storage_key)))
            else:
                content = await self._read(lambda: self._get_object(ref))
        except BusUnavailable as failed:
            raise BlobStoreUnavailable(f"{ref.storage_key} was not read: {failed}") from failed
        if content is None:
            raise BlobMissing(ref.storage_key)
        return verified(ref, content)

    async def read(self, ref: BlobRef, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        if ref.storage_type is not StorageType.OBJECT:
            yield (await self.get(ref))[start:stop]
            return
        check_readable(ref)
        try:
            async for piece in verified_pieces(ref, self._pieces(ref, start, stop), stop - start):
                yield piece
        except BusUnavailable as failed:
            raise BlobStoreUnavailable(f"{ref.storage_key} was not read: {failed}") from failed

    async def delete_folders(self, folders: Sequence[str]) -> int:
        for folder in folders:
            check_folder(folder)
        try:
            deleted = sum([await self._purge(_KV_STREAM, f"{_entry_subject(folder)}.>") for folder in folders])
            return deleted + await self._delete_objects(tuple(f"{folder}/" for folder in folders))
        except BusUnavailable as failed:
            raise BlobStoreUnavailable(f"blobs were not deleted: {failed}") from failed

    async def delete_fragments(self, older_than_seconds: float) -> int:
        """Chunks that no description names. They are listed first: what is described afterwards is young."""
        try:
            chunks, now = await self._chunk_subjects()
            described = {_chunk_subject(meta.nuid) for meta in await self._metas()}
            deleted = 0
            for subject in chunks - described:
                newest = await self._read(partial(latest, self._bus.connection, _OBJECT_STREAM, subject))
                if newest is not None and _seconds_between(newest.headers[STORED_AT], now) > older_than_seconds:
                    await self._purge(_OBJECT_STREAM, subject)
                    deleted += 1
            return deleted
        except BusUnavailable as failed:
            raise BlobStoreUnavailable(f"fragments were not deleted: {failed}") from failed

    async def _delete_objects(self, beneath: tuple[str, ...]) -> int:
        """The chunks first: without a description nobody would find them again."""
        metas = await self._metas()
        kept = {meta.nuid for meta in metas if not meta.name.startswith(beneath)}
        gone = [meta for meta in metas if meta.name.startswith(beneath)]
        for meta in gone:
            if meta.nuid not in kept and _NUID.fullmatch(meta.nuid):
                await self._purge(_OBJECT_STREAM, _chunk_subject(meta.nuid))
            await self._purge(_OBJECT_STREAM, _meta_subject(meta.name))
        return len(gone)

    async def _purge(self, stream: str, subject: str) -> int:
        """How many messages those were."""
        try:
            return (await self._bus.connection.api(f"STREAM.PURGE.{stream}", {"filter": subject}, _Purged)).purged
        except JetStreamRefusal as refusal:
            if refusal.error.err_code == STREAM_NOT_FOUND:
                return 0
            raise BusUnavailable(f"the broker does not purge {stream}: {refusal}") from refusal

    async def _metas(self) -> list[_ObjectMeta]:
        """Every object's description that can be read."""
        metas: list[_ObjectMeta] = []
        sequence = 1
        while True:
            wanted = {"seq": sequence, "next_by_subj": _meta_subject_of(">"), "batch": DESCRIPTIONS_AT_ONCE}
            request = msgspec.json.encode(wanted)
            found = await self._read(partial(read_batch, self._bus.connection, _OBJECT_STREAM, request))
            if not found:
                return metas
            for message in found:
                with suppress(msgspec.MsgspecError):
                    metas.append(_META.decode(message.data))
            sequence = int(found[-1].headers[SEQUENCE]) + 1

    async def _chunk_subjects(self) -> tuple[set[str], datetime]:
        """Of all chunks; and what time it is at the broker."""
        subjects: set[str] = set()
        while True:
            wanted = {"subjects_filter": _chunk_subject(">"), "offset": len(subjects)}
            try:
                page = await self._bus.connection.api(f"STREAM.INFO.{_OBJECT_STREAM}", wanted, _SubjectList)
            except JetStreamRefusal as refusal:
                if refusal.error.err_code == STREAM_NOT_FOUND:
                    return set(), datetime.now(UTC)
                raise BusUnavailable(f"the broker does not list {_OBJECT_STREAM}: {refusal}") from refusal
            before = len(subjects)
            subjects |= set(page.state.subjects or ())
            if len(subjects) in (before, page.total):
                return subjects, page.ts

    async def _put_entry(self, key: str, content: bytes) -> None:
        subject = _entry_subject(key)
        try:
            await self._bus.store([Prepared(subject=subject, payload=content, headers=EXPECT_UNUSED)])
        except SubjectTaken:
            existing = await self._latest(_KV_STREAM, subject)
            if existing == content:
                return
            if existing is not None:
                check_replaceable(key, sha256_hex(existing))
            await self._bus.store([Prepared(subject=subject, payload=content, headers={})])

    async def _put_object(self, key: str, content: bytes, digest: str) -> None:
        existing = await self._read(lambda: self._object_meta(key))
        if existing is not None and existing.digest == _object_digest(digest) and existing.size == len(content):
            return
        nuid = self._bus.connection.new_inbox().rpartition(".")[2]
        chunks = [content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES)]
        meta = _ObjectMeta(
            name=key,
            bucket=BUCKET_BLOBS,
            nuid=nuid,
            size=len(content),
            chunks=len(chunks),
            digest=_object_digest(digest),
            mtime=datetime.now(UTC).isoformat(),
            options=_ObjectOptions(),
        )
        try:
            await self._store_chunks(_chunk_subject(nuid), chunks)
            headers = ROLLUP if existing is not None else {**ROLLUP, **EXPECT_UNUSED}
            await self._bus.store([Prepared(subject=_meta_subject(key), payload=msgspec.json.encode(meta), headers=headers)])
        except SubjectTaken:
            # Somebody stored the same bytes meanwhile. Our chunks stay behind as a fragment: writers have no right to purge.
            return

    async def _store_chunks(self, subject: str, chunks: list[bytes]) -> None:
        """The ids matter here: a chunk that is stored twice would damage the object."""
        await self._bus.store(
            [
                Prepared(subject=subject, payload=chunk, headers={"Nats-Msg-Id": f"{subject}.{number}"})
                for number, chunk in enumerate(chunks)
            ]
        )

    async def _get_object(self, ref: BlobRef) -> bytes | None:
        meta = await self._meta_of(ref)
        if meta is None:
            return None
        if meta.chunks == 0:
            return b""
        subject = _chunk_subject(meta.nuid)
        if meta.chunks == 1:
            return await self._latest(_OBJECT_STREAM, subject)
        return b"".join([piece async for piece in self._read_chunks(subject, meta.chunks, at_once=CHUNKS_AT_ONCE)])

    async def _pieces(self, ref: BlobRef, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Where a chunk lies, nobody knows who has not read those before it; they are read and let go."""
        meta = await self._read(lambda: self._meta_of(ref))
        if meta is None:
            raise BlobMissing(ref.storage_key)
        position = 0
        try:
            async with aclosing(self._read_chunks(_chunk_subject(meta.nuid), meta.chunks, at_once=CHUNKS_OF_A_PIECE)) as pieces:
                async for piece in pieces:
                    wanted = piece[max(0, start - position) : max(0, stop - position)]
                    position += len(piece)
                    if wanted:
                        yield wanted
                    if position >= stop:
                        return
        except StreamMissing as missing:
            raise BlobMissing(ref.storage_key) from missing

    async def _read_chunks(self, subject: str, count: int, *, at_once: int) -> AsyncGenerator[bytes, None]:
        """So many chunks at once; fewer in all when the store has lost some."""
        sequence, received = 1, 0
        while received < count:
            batch = min(at_once, count - received)
            request = msgspec.json.encode({"seq": sequence, "next_by_subj": subject, "batch": batch})
            messages = await read_batch(self._bus.connection, _OBJECT_STREAM, request)
            if not messages:
                return
            yield b"".join(message.data for message in messages)
            received += len(messages)
            sequence = int(messages[-1].headers[SEQUENCE]) + 1

    async def _meta_of(self, ref: BlobRef) -> _ObjectMeta | None:
        """Raises BlobCorrupt before anything is read: a reference is no reason to load whatever size."""
        meta = await self._object_meta(ref.storage_key)
        if meta is not None and meta.size != ref.size_bytes:
            raise BlobCorrupt(ref.storage_key, f"{meta.size} bytes instead of {ref.size_bytes}")
        return meta

    async def _object_meta(self, key: str) -> _ObjectMeta | None:
        payload = await self._latest(_OBJECT_STREAM, _meta_subject(key))
        if payload is None:
            return None
        try:
            meta = _META.decode(payload)
        except msgspec.MsgspecError as wrong:
            raise BlobCorrupt(key, f"its description cannot be read: {wrong}") from wrong
        return None if meta.deleted else meta

    async def _latest(self, stream: str, subject: str) -> bytes | None:
        found = await latest(self._bus.connection, stream, subject)
        return None if found is None else found.payload

    async def _read(self, read: Callable[[], Awaitable[T]]) -> T | None:
        """None when the bucket itself is gone with all that was in it; then it is made again for those who write."""
        noticed_at = time.monotonic()
        try:
            return await read()
        except StreamMissing:
            await self._bus.heal(noticed_at)
            return None


def _entry_key(key: str) -> str:
    return key.replace("/", ".")


def _entry_subject(key: str) -> str:
    return f"$KV.{BUCKET_BLOBS_KV}.{_entry_key(key)}"


def _meta_subject(key: str) -> str:
    return _meta_subject_of(base64.urlsafe_b64encode(key.encode()).decode())


def _meta_subject_of(token: str) -> str:
    return f"$O.{BUCKET_BLOBS}.M.{token}"


def _chunk_subject(nuid: str) -> str:
    return f"$O.{BUCKET_BLOBS}.C.{nuid}"


def _seconds_between(stored_at: str, now: datetime) -> float:
    return (now - msgspec.convert(stored_at, datetime)).total_seconds()


def _object_digest(sha256: str) -> str:
    return DIGEST_PREFIX + base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode()
