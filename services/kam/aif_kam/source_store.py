"""Source documents and deliverables in Postgres: whose they are, and where their bytes lie."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from aif_contracts.blobs import BlobRef
from aif_runtime.postgres import Connection

_BLOB = msgspec.json.Decoder(BlobRef)


class NewSource(Struct, frozen=True, kw_only=True):
    source_id: str
    client_id: str
    title: str
    file_name: str | None
    media_type: str
    words: int
    headings: int
    characters: int
    sha256: str
    """Of the file as it was sent."""
    blob: BlobRef


class StoredDeliverable(Struct, frozen=True, kw_only=True):
    name: str
    media_type: str
    blob: BlobRef


class SourceStore:
    def __init__(self, queries: Mapping[str, str]) -> None:
        self._sql = queries

    async def insert(self, connection: Connection, source: NewSource) -> None:
        await connection.execute(
            self._sql["insert_source"],
            source.source_id,
            source.client_id,
            source.title,
            source.file_name,
            source.media_type,
            source.words,
            source.headings,
            source.characters,
            source.sha256,
            msgspec.json.encode(source.blob),
        )

    async def find_blob(self, connection: Connection, source_id: str, client_id: str) -> BlobRef | None:
        content = await connection.fetchval(self._sql["find_source_blob"], source_id, client_id)
        return None if content is None else _BLOB.decode(content)

    async def find_deliverable(
        self, connection: Connection, deliverable_id: str, client_id: str | None
    ) -> StoredDeliverable | None:
        row = await connection.fetchrow(self._sql["find_deliverable"], deliverable_id, client_id)
        if row is None:
            return None
        return StoredDeliverable(name=row["name"], media_type=row["media_type"], blob=_BLOB.decode(row["blob"]))
