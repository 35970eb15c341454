"""Source documents and deliverables in Postgres: whose they are, and where their bytes lie."""

from collections.abc import Mapping, Sequence

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
    execution_id: str
    name: str
    media_type: str
    blob: BlobRef


class SourceStore:
    def __init__(self, queries: Mapping[str, str]) -> None:
        self._sql = queries

    async def insert(self, connection: Connection, sources: Sequence[NewSource]) -> None:
        await connection.execute(
            self._sql["insert_sources"],
            [source.source_id for source in sources],
            [source.client_id for source in sources],
            [source.title for source in sources],
            [source.file_name for source in sources],
            [source.media_type for source in sources],
            [source.words for source in sources],
            [source.headings for source in sources],
            [source.characters for source in sources],
            [source.sha256 for source in sources],
            [msgspec.json.encode(source.blob) for source in sources],
        )

    async def find_blobs(self, connection: Connection, source_ids: Sequence[str], client_id: str) -> Mapping[str, BlobRef]:
        rows = await connection.fetch(self._sql["find_source_blobs"], list(source_ids), client_id)
        return {row["source_id"]: _BLOB.decode(row["blob"]) for row in rows}

    async def find_deliverable(
        self, connection: Connection, deliverable_id: str, client_id: str | None
    ) -> StoredDeliverable | None:
        row = await connection.fetchrow(self._sql["find_deliverable"], deliverable_id, client_id)
        if row is None:
            return None
        return StoredDeliverable(
            execution_id=row["execution_id"],
            name=row["name"],
            media_type=row["media_type"],
            blob=_BLOB.decode(row["blob"]),
        )
