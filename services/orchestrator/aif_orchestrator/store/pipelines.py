"""Pipeline versions. A stored version never changes."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from aif_pipelines.definition import Pipeline
from aif_pipelines.loading import dump_pipeline, pipeline_digest, restore_pipeline
from aif_runtime.postgres import Connection, Record
from aif_runtime.sql_files import Queries

FACTORY = ""
"""Owner of the pipelines that are offered to everybody."""


class PipelineNotKept(Exception):
    """Root of what keeps a pipeline from being stored."""


class PipelineVersionTaken(PipelineNotKept):
    """Another definition is stored under this name and version already."""

    def __init__(self, name: str, version: str) -> None:
        super().__init__(f"pipeline {name} {version} is stored with another definition; give the changed one a new version")
        self.name = name
        self.version = version


class PipelineNameTaken(PipelineNotKept):
    """A client's pipeline has the name of one of the factory's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is the name of one of the factory's pipelines; give yours another one")
        self.name = name


class StoredPipeline(Struct, frozen=True, kw_only=True):
    pipeline_id: int
    owner: str
    """A client's id, or FACTORY."""
    digest: str
    pipeline: Pipeline
    created_at: datetime


class PipelineVersion(Struct, frozen=True, kw_only=True):
    pipeline_id: int
    owner: str
    name: str
    version: str


class PipelineStore:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def keep(self, connection: Connection, pipeline: Pipeline, owner: str = FACTORY) -> bool:
        """Store a version; True when it is new. The same again is harmless. Raises PipelineVersionTaken, PipelineNameTaken."""
        await self._check_name(connection, pipeline.name, owner)
        digest = pipeline_digest(pipeline)
        name, version = pipeline.name, pipeline.version
        insert = self._queries["insert_pipeline"]
        if await connection.fetchval(insert, owner, name, version, digest, dump_pipeline(pipeline)):
            return True
        await self._check_digest(connection, pipeline, owner)
        return False

    async def would_be_new(self, connection: Connection, pipeline: Pipeline, owner: str) -> bool:
        """What `keep` would say or raise, without storing anything."""
        await self._check_name(connection, pipeline.name, owner)
        return await self._check_digest(connection, pipeline, owner) is None

    async def list_unknown(self, connection: Connection, known_ids: Sequence[int], limit: int = 500) -> list[StoredPipeline]:
        """Versions of all owners, without those that are known; empty when none is left."""
        rows = await connection.fetch(self._queries["list_unknown_pipelines"], known_ids, limit)
        return [_stored(row) for row in rows]

    async def list_versions(self, connection: Connection, client_id: str | None, name: str) -> list[PipelineVersion]:
        """Those of a name: a client's own and the factory's, everybody's for no client; in no order."""
        rows = await connection.fetch(self._queries["list_pipeline_versions"], client_id is None, client_id or FACTORY, name)
        return [PipelineVersion(**row) for row in rows]

    async def list_behind(self, connection: Connection, client_id: str | None, name: str, limit: int) -> list[PipelineVersion]:
        """The next ones behind a name, so many at least if there are: a client's own and the factory's, everybody's for no
        client; in no order, but all versions of the names that are in it."""
        if client_id is None:
            rows = await connection.fetch(self._queries["list_everybodys_pipelines_behind"], name, limit)
        else:
            rows = await connection.fetch(self._queries["list_pipelines_behind"], client_id, name, limit)
        return [PipelineVersion(**row) for row in rows]

    async def find_name(self, connection: Connection, pipeline_id: int) -> str | None:
        name: str | None = await connection.fetchval(self._queries["find_pipeline_name"], pipeline_id)
        return name

    async def read(self, connection: Connection, pipeline_ids: Sequence[int]) -> dict[int, StoredPipeline]:
        """By id."""
        rows = await connection.fetch(self._queries["read_pipelines"], pipeline_ids)
        return {row["pipeline_id"]: _stored(row) for row in rows}

    async def _check_name(self, connection: Connection, name: str, owner: str) -> None:
        if owner != FACTORY and await connection.fetchval(self._queries["is_factory_name"], name, owner):
            raise PipelineNameTaken(name)

    async def _check_digest(self, connection: Connection, pipeline: Pipeline, owner: str) -> str | None:
        """The digest that is stored; None when there is no such version."""
        name, version = pipeline.name, pipeline.version
        stored: str | None = await connection.fetchval(self._queries["find_pipeline_digest"], owner, name, version)
        if stored is not None and stored != pipeline_digest(pipeline):
            raise PipelineVersionTaken(name, version)
        return stored


def _stored(row: Record) -> StoredPipeline:
    return StoredPipeline(
        pipeline_id=row["pipeline_id"],
        owner=row["owner"],
        digest=row["digest"],
        pipeline=restore_pipeline(row["definition"]),
        created_at=row["created_at"],
    )
