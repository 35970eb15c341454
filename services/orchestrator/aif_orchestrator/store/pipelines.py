"""Pipeline versions. A stored version never changes."""

from aif_pipelines.definition import Pipeline
from aif_pipelines.loading import dump_pipeline, pipeline_digest, restore_pipeline
from aif_runtime.postgres import Connection
from aif_runtime.sql_files import Queries


class PipelineVersionTaken(Exception):
    """Another definition is stored under this name and version already."""

    def __init__(self, name: str, version: str) -> None:
        super().__init__(f"pipeline {name} {version} is stored with another definition; give the changed one a new version")
        self.name = name
        self.version = version


class PipelineStore:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def keep(self, connection: Connection, pipeline: Pipeline) -> None:
        """Store a version; storing the same again is harmless. Raises PipelineVersionTaken."""
        digest = pipeline_digest(pipeline)
        name, version = pipeline.name, pipeline.version
        await connection.execute(self._queries["insert_pipeline"], name, version, digest, dump_pipeline(pipeline))
        if await connection.fetchval(self._queries["find_pipeline_digest"], name, version) != digest:
            raise PipelineVersionTaken(name, version)

    async def list_all(self, connection: Connection) -> list[Pipeline]:
        rows = await connection.fetch(self._queries["list_pipelines"])
        return [restore_pipeline(row["definition"]) for row in rows]
