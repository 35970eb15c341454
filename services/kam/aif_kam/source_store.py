"""Source documents and deliverables in Postgres: whose they are, and where their bytes lie."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from aif_contracts.blobs import BlobRef
from aif_kam.failures import Unavailable
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


def source_folder(client_id: str, source_id: str) -> str:
    """Where the blob store holds its bytes, and nothing else."""
    return f"sources/{client_id}/{source_id}"


class SourceStore:
    def __init__(self, queries: Mapping[str, str]) -> None:
        self._sql = queries

    async def announce(self, connection: Connection, source_ids: Sequence[str], client_id: str) -> None:
        """That their bytes are going to be stored."""
        await connection.execute(self._sql["announce_sources"], list(source_ids), client_id)

    async def insert(self, connection: Connection, sources: Sequence[NewSource]) -> None:
        """Raises Unavailable when the bytes of one were stored so long ago that they are being deleted."""
        entered = await connection.fetch(
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
        if len(entered) < len(sources):
            raise Unavailable("reading the source took more than a day; send it again")

    async def find_blobs(self, connection: Connection, source_ids: Sequence[str], client_id: str) -> Mapping[str, BlobRef]:
        """Whoever finds one has a day to order something of it before it may be released."""
        await connection.execute(self._sql["touch_sources"], list(source_ids), client_id)
        rows = await connection.fetch(self._sql["find_source_blobs"], list(source_ids), client_id)
        return {row["source_id"]: _BLOB.decode(row["blob"]) for row in rows}

    async def release_unused(self, connection: Connection, keep_days: int, limit: int) -> int:
        """How many were looked at."""
        looked_at: int = await connection.fetchval(self._sql["release_unused_sources"], keep_days, limit)
        return looked_at

    async def take_loose(self, connection: Connection, limit: int) -> list[tuple[str, str]]:
        """Source and client of each whose bytes are to be deleted now, by whoever took them and nobody else."""
        rows = await connection.fetch(self._sql["take_loose_sources"], limit)
        return [(row["source_id"], row["client_id"]) for row in rows]

    async def forget_loose(self, connection: Connection, source_ids: Sequence[str]) -> None:
        await connection.execute(self._sql["forget_loose_sources"], list(source_ids))

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
