"""Takes sources in: a document read by a child process, a recording as it is; stored as a blob, then entered in the table."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath

from aif_contracts.blobs import BlobRef
from aif_kam import problems
from aif_kam.document_gate import DocumentGate
from aif_kam.failures import NotFound, invalid
from aif_kam.idempotency import Answer, KeyedCall, KeyStore, answer_given
from aif_kam.payloads import SourceView
from aif_kam.source_reader import ReadFile, SourceReader
from aif_kam.source_store import NewSource, SourceStore, StoredDeliverable, source_folder
from aif_kam.sources.document_builder import MAX_TITLE_CHARACTERS
from aif_kam.sources.reading import FileToRead
from aif_kam.sources.recording import recording_type
from aif_kam.sources.unreadable import Unreadable
from aif_kam.uploads import HEAD_BYTES, Upload
from aif_runtime.blobs import BlobStore
from aif_runtime.postgres import Connection, Database

MAX_FILE_BYTES = 50 * 1024 * 1024
BLOBS_AT_ONCE = 16


class SourceIntake:
    def __init__(
        self,
        *,
        database: Database,
        blobs: BlobStore,
        reader: SourceReader,
        uploads: DocumentGate,
        texts: DocumentGate,
        sources: SourceStore,
        keys: KeyStore,
        new_id: Callable[[str], str],
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._reader = reader
        self._uploads = uploads
        self._texts = texts
        self._sources = sources
        self._keys = keys
        self._new_id = new_id

    async def take(self, client_id: str, upload: Upload, file: FileToRead, call: KeyedCall | None) -> Answer:
        """Store an uploaded file. Raises InvalidInput naming `source`, KeyReused, Unavailable; then nothing is entered."""
        if earlier := await answer_given(self._database, self._keys, call):
            return earlier
        async with self._uploads.admitted():
            source = await self._read_upload(client_id, upload, file)
        answer = problems.created(_view(source))
        async with self._database.transaction() as connection:
            if earlier := await self._keys.earlier_answer(connection, call):
                return earlier
            await self._sources.insert(connection, [source])
            if call is not None:
                await self._keys.answer(connection, call, answer)
        return answer

    async def read_texts(
        self, client_id: str, texts: Sequence[str], fields: Sequence[str], *, together: str
    ) -> list[NewSource]:
        """Read texts out of orders and store their documents as blobs, in their order; the caller enters them. Without an entry
        nobody finds the blob.

        Raises InvalidInput naming the `fields` that cannot be read, or `together`; Unavailable.
        """
        async with self._texts.admitted():
            files = await self._reader.read_texts(texts, fields, together=together)
            source_ids = await self._announced(client_id, len(texts))
            slots = asyncio.Semaphore(BLOBS_AT_ONCE)

            async def stored(source_id: str, text: str, found: ReadFile) -> NewSource:
                sha256 = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
                async with slots:
                    return await self._stored(source_id, client_id, sha256, None, found)

            return await asyncio.gather(*map(stored, source_ids, texts, files))

    async def enter(self, connection: Connection, source: NewSource) -> None:
        await self._sources.insert(connection, [source])

    async def enter_all(self, connection: Connection, sources: Sequence[NewSource]) -> None:
        await self._sources.insert(connection, sources)

    async def find_blob(self, source_id: str, client_id: str) -> BlobRef | None:
        return (await self.find_blobs([source_id], client_id)).get(source_id)

    async def find_blobs(self, source_ids: Sequence[str], client_id: str) -> Mapping[str, BlobRef]:
        """Of the client's own sources; a foreign one is not there."""
        async with self._database.connection() as connection:
            return await self._sources.find_blobs(connection, source_ids, client_id)

    async def find_deliverable(self, deliverable_id: str, client_id: str | None) -> StoredDeliverable:
        """Raises NotFound, also for another client's."""
        async with self._database.connection() as connection:
            found = await self._sources.find_deliverable(connection, deliverable_id, client_id)
        if found is None:
            raise NotFound(f"there is no deliverable {deliverable_id}")
        return found

    async def _read_upload(self, client_id: str, upload: Upload, file: FileToRead) -> NewSource:
        """Read a file and store its document, or the recording that it is, as a blob."""
        media_type = _recording_type(await upload.read(HEAD_BYTES), file)
        if media_type is not None:
            (source_id,) = await self._announced(client_id, 1)
            return await self._stored_recording(source_id, client_id, await upload.read(), file.file_name, media_type)
        found = await self._reader.read(upload.file, upload.size_bytes, file)
        (source_id,) = await self._announced(client_id, 1)
        return await self._stored(source_id, client_id, upload.sha256, file.file_name, found)

    async def _announced(self, client_id: str, count: int) -> list[str]:
        """Ids under which bytes may be stored: they are deleted when nothing comes of it."""
        source_ids = [self._new_id("src") for _ in range(count)]
        async with self._database.connection() as connection:
            await self._sources.announce(connection, source_ids, client_id)
        return source_ids

    async def _stored(self, source_id: str, client_id: str, sha256: str, file_name: str | None, found: ReadFile) -> NewSource:
        blob = await self._blobs.put(f"{source_folder(client_id, source_id)}/document", found.document, inline_limit_bytes=0)
        return NewSource(
            source_id=source_id,
            client_id=client_id,
            title=found.summary.title,
            file_name=file_name,
            media_type=found.summary.media_type,
            words=found.summary.words,
            headings=found.summary.headings,
            characters=found.summary.characters,
            sha256=sha256,
            blob=blob,
        )

    async def _stored_recording(
        self, source_id: str, client_id: str, content: bytes, file_name: str | None, media_type: str
    ) -> NewSource:
        key = f"{source_folder(client_id, source_id)}/recording"
        blob = await self._blobs.put(key, content, media_type=media_type, inline_limit_bytes=0)
        return NewSource(
            source_id=source_id,
            client_id=client_id,
            title=PurePosixPath(file_name or "Recording").stem[:MAX_TITLE_CHARACTERS],
            file_name=file_name,
            media_type=media_type,
            words=0,
            headings=0,
            characters=0,
            sha256=blob.sha256,
            blob=blob,
        )


def _recording_type(head: bytes, file: FileToRead) -> str | None:
    try:
        return recording_type(head, file)
    except Unreadable as unreadable:
        raise invalid("source", unreadable.message, unreadable.mend, code=unreadable.code) from unreadable


def _view(source: NewSource) -> SourceView:
    return SourceView(
        source_id=source.source_id,
        title=source.title,
        words=source.words,
        headings=source.headings,
        sha256=source.sha256,
        characters=source.characters,
        media_type=source.media_type,
        file_name=source.file_name,
    )
