"""The blobs of deleted executions go, after a while; those of all others stay, whatever happens in between."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from aif_contracts.blobs import BlobRef
from aif_orchestrator import blob_collection
from aif_orchestrator.blob_collection import BlobCollection
from aif_orchestrator.retention import Retention
from aif_orchestrator.store.executions import ExecutionStore
from aif_runtime.blobs import DeletingBlobStore
from aif_runtime.failures import AlreadyStored, BlobMissing, BlobStoreUnavailable
from aif_runtime.nats_blobs import NatsBlobStore
from aif_runtime.nats_bus import NatsBus
from aif_runtime.obstore_blobs import ObstoreBlobStore
from aif_runtime.postgres import Database
from aif_runtime.sql_files import load_queries
from support.orchestrator_line import orchestrator_database
from support.waiting import eventually

KEEP_DAYS = 90
GRACE_HOURS = 24.0
BEGIN = """
SELECT commit_batch(
    '{}', ARRAY[ROW($1, 'acme', NULL, 'line', '1.0.0', 'running', now.ms, NULL, now.ms, '')::new_execution],
    '{}', '{}', '{}', '', '{}', NULL
)
FROM (SELECT (extract(epoch FROM now()) * 1000)::bigint AS ms) AS now
"""
END = "UPDATE executions SET status = 'failed', ended_at = now(), wake_at = NULL WHERE execution_id = $1 AND ended_at IS NULL"
RESUME = "UPDATE executions SET status = 'running', ended_at = NULL, wake_at = now() WHERE execution_id = $1"
DELETED_DAYS_AGO = """
INSERT INTO deleted_executions (execution_id, deleted_at)
SELECT 'exec_' || n, now() - make_interval(days => days)
FROM unnest($1::int[]) WITH ORDINALITY AS deleted (days, n)
"""
TIME_PASSES = (
    "UPDATE executions SET created_at = created_at - $1::interval, ended_at = ended_at - $1::interval",
    "UPDATE deleted_executions SET deleted_at = deleted_at - $1::interval, taken_at = taken_at - $1::interval",
)


class DyingStore:
    """Deletes some folders and is gone, like a process that is killed."""

    def __init__(self, blobs: DeletingBlobStore, after: int) -> None:
        self._blobs = blobs
        self._after = after
        self.put, self.get, self.delete_fragments = blobs.put, blobs.get, blobs.delete_fragments

    async def delete_folders(self, folders: Sequence[str]) -> int:
        await self._blobs.delete_folders(folders[: self._after])
        raise BlobStoreUnavailable("killed")


class AwayAtFirst(DyingStore):
    """Is away when it is first asked to delete something."""

    def __init__(self, blobs: DeletingBlobStore) -> None:
        super().__init__(blobs, 0)
        self.was_asked = False

    async def delete_folders(self, folders: Sequence[str]) -> int:
        if self.was_asked:
            return await self._blobs.delete_folders(folders)
        self.was_asked = True
        raise BlobStoreUnavailable("away")


class SlowStore(DyingStore):
    """Deletes what it is asked to, when it is let."""

    def __init__(self, blobs: DeletingBlobStore) -> None:
        super().__init__(blobs, 0)
        self.is_at_it = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def delete_folders(self, folders: Sequence[str]) -> int:
        self.is_at_it.set()
        await self.may_go_on.wait()
        return await self._blobs.delete_folders(folders)


class History:
    """Executions with their blobs, in a database whose past can be moved further back."""

    def __init__(self, database: Database, blobs: DeletingBlobStore) -> None:
        self._database = database
        self._executions = ExecutionStore(load_queries("aif_orchestrator.store"))
        self.blobs = blobs
        self.refs: dict[str, list[BlobRef]] = {}

    async def begin(self, execution_id: str) -> None:
        self.refs[execution_id] = []
        await self._execute(BEGIN, execution_id)

    async def end(self, execution_id: str) -> None:
        await self._execute(END, execution_id)

    async def resume(self, execution_id: str) -> None:
        await self._execute(RESUME, execution_id)

    async def store(self, execution_id: str, content: bytes) -> None:
        key = f"data/{execution_id}/stage_{len(self.refs[execution_id])}/output"
        self.refs[execution_id].append(await self.blobs.put(key, content, inline_limit_bytes=0))

    async def time_passes(self, time: timedelta) -> None:
        for statement in TIME_PASSES:
            await self._execute(statement, time)

    async def delete_old(self) -> int:
        return await Retention(database=self._database, executions=self._executions, keep_days=KEEP_DAYS).delete_old()

    async def delete_long_ago(self, execution_id: str) -> None:
        """An execution with a blob, which may be collected now."""
        await self.begin(execution_id)
        await self.store(execution_id, b"old")
        await self.end(execution_id)
        await self.time_passes(timedelta(days=91))
        await self.delete_old()
        await self.time_passes(timedelta(hours=25))

    def collection(
        self,
        blobs: DeletingBlobStore | None = None,
        at_once: int = 3,
        taken_for_seconds: float = 3600.0,
        registry: CollectorRegistry | None = None,
    ) -> BlobCollection:
        return BlobCollection(
            database=self._database,
            executions=self._executions,
            blobs=blobs or self.blobs,
            grace_hours=GRACE_HOURS,
            registry=registry or CollectorRegistry(),
            at_once=at_once,
            taken_for_seconds=taken_for_seconds,
        )

    async def not_to_be_touched(self) -> set[str]:
        """Executions that are there, or were until a moment ago."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "SELECT execution_id FROM executions UNION "
                "SELECT execution_id FROM deleted_executions WHERE deleted_at > now() - interval '23 hours'"
            )
        return {row["execution_id"] for row in rows}

    async def there(self, execution_id: str) -> int:
        """How many of its blobs are."""
        return sum([await self._is_there(ref) for ref in self.refs[execution_id]])

    async def _is_there(self, ref: BlobRef) -> bool:
        try:
            await self.blobs.get(ref)
        except BlobMissing:
            return False
        return True

    async def _execute(self, statement: str, *values: object) -> None:
        async with self._database.connection() as connection:
            await connection.execute(statement, *values)


@pytest.fixture
async def database(fresh_orchestrator_database: str) -> AsyncIterator[Database]:
    async with orchestrator_database(fresh_orchestrator_database) as opened:
        yield opened


@pytest.fixture(params=["nats", "folder"])
async def history(
    request: pytest.FixtureRequest, fresh_nats: str, tmp_path: Path, database: Database
) -> AsyncIterator[History]:
    if request.param == "folder":
        yield History(database, ObstoreBlobStore.from_url(tmp_path.as_uri()))
        return
    async with await NatsBus.connect(fresh_nats, name="orchestrator") as bus:
        await bus.declare_topology()
        yield History(database, NatsBlobStore(bus))


async def test_the_blobs_of_a_deleted_execution_go_a_day_after_it(history: History) -> None:
    for execution_id in ("exec_1", "exec_10"):
        await history.begin(execution_id)
        await history.store(execution_id, b"small")
        await history.store(execution_id, bytes(600_000))
    await history.end("exec_1")

    await history.time_passes(timedelta(days=91))
    assert await history.collection().collect() == 0
    assert await history.delete_old() == 1
    assert await history.collection().collect() == 0
    assert await history.there("exec_1") == 2
    await history.time_passes(timedelta(hours=25))

    assert await history.collection().collect() == 2
    assert await history.there("exec_1") == 0
    assert await history.there("exec_10") == 2
    assert await history.collection().collect() == 0


async def test_what_another_factory_keeps_in_the_same_store_stays(history: History) -> None:
    ref = await history.blobs.put("data/exec_foreign/stage/output", b"theirs", inline_limit_bytes=0)
    await history.begin("exec_1")
    await history.end("exec_1")
    await history.time_passes(timedelta(days=91))
    await history.delete_old()
    await history.time_passes(timedelta(days=400))

    await history.collection().collect()

    assert await history.blobs.get(ref) == b"theirs"


async def test_an_execution_that_is_begun_anew_under_its_id_keeps_its_blobs(history: History) -> None:
    await history.begin("exec_1")
    await history.end("exec_1")
    await history.time_passes(timedelta(days=91))
    await history.delete_old()
    await history.time_passes(timedelta(days=2))
    await history.begin("exec_1")
    await history.store("exec_1", b"anew")

    assert await history.collection().collect() == 0
    assert await history.there("exec_1") == 1

    await history.end("exec_1")
    await history.time_passes(timedelta(days=91))
    await history.delete_old()
    await history.time_passes(timedelta(days=2))
    assert await history.collection().collect() == 1


async def test_no_execution_is_begun_while_the_blobs_of_an_older_one_of_its_id_are_being_deleted(history: History) -> None:
    await history.delete_long_ago("exec_1")
    slow = SlowStore(history.blobs)

    collecting = asyncio.create_task(history.collection(slow).collect())
    await slow.is_at_it.wait()
    with pytest.raises(AlreadyStored):
        await history.begin("exec_1")
    slow.may_go_on.set()

    assert await collecting == 1
    await history.begin("exec_1")
    await history.store("exec_1", b"old")
    await history.time_passes(timedelta(hours=25))
    assert await history.collection().collect() == 0
    assert await history.there("exec_1") == 1


async def test_a_collector_that_takes_too_long_stops_before_others_take_its_work_over(history: History) -> None:
    await history.delete_long_ago("exec_1")
    stuck = SlowStore(history.blobs)

    with pytest.raises(BlobStoreUnavailable, match="not deleted in time"):
        await history.collection(stuck, taken_for_seconds=0.02).collect()

    assert await history.there("exec_1") == 1
    await history.time_passes(timedelta(hours=2))
    assert await history.collection().collect() == 1


async def test_the_longest_deleted_are_collected_first_a_chunk_at_a_time_and_none_by_two(database: Database) -> None:
    executions = ExecutionStore(load_queries("aif_orchestrator.store"))
    async with database.connection() as connection:
        await connection.execute(DELETED_DAYS_AGO, [2, 4, 3, 0])

        async def taken() -> set[str]:
            return set(await executions.take_deleted(connection, deleted_before_seconds=3600, taken_for_seconds=60, limit=2))

        assert [await taken(), await taken(), await taken()] == [{"exec_2", "exec_3"}, {"exec_1"}, set()]
        await executions.forget_deleted(connection, ["exec_2", "exec_3"])
        left = await connection.fetchval("SELECT array_agg(execution_id ORDER BY execution_id) FROM deleted_executions")
    assert left == ["exec_1", "exec_4"]


async def test_a_collector_does_not_wait_for_what_another_one_is_taking(history: History, database: Database) -> None:
    await history.delete_long_ago("exec_1")
    await history.delete_long_ago("exec_2")

    async with database.transaction() as another, asyncio.timeout(10):
        await another.execute("SELECT FROM deleted_executions WHERE execution_id = 'exec_1' FOR UPDATE")
        assert await history.collection().collect() == 1

    assert (await history.there("exec_1"), await history.there("exec_2")) == (1, 0)


async def test_what_could_not_be_collected_while_the_store_was_away_is_collected_the_next_time_and_counted(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_collection, "EVERY_SECONDS", 0.01)
    await history.delete_long_ago("exec_1")
    blobs, registry = AwayAtFirst(history.blobs), CollectorRegistry()

    collecting = asyncio.create_task(history.collection(blobs, registry=registry).run())
    await eventually(lambda: blobs.was_asked, what="it is tried in vain")
    await history.time_passes(timedelta(hours=2))

    await eventually(lambda: registry.get_sample_value("aif_blobs_collected_total") == 1, what="the blob is counted")
    assert await history.there("exec_1") == 0
    collecting.cancel()
    await asyncio.wait([collecting])


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_the_blobs_of_the_living_stay_and_those_of_the_dead_go(history: History, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(8):
        await history.begin(f"exec_{number}")

    for _ in range(60):
        await _something_happens(history, chance)
        for execution_id in await history.not_to_be_touched():
            assert await history.there(execution_id) == len(history.refs[execution_id])

    living = await history.not_to_be_touched()
    await history.time_passes(timedelta(hours=25))
    await history.collection().collect()
    for execution_id, refs in history.refs.items():
        assert await history.there(execution_id) == (
            len(refs) if execution_id in living & await history.not_to_be_touched() else 0
        )


async def _something_happens(history: History, chance: random.Random) -> None:
    living = sorted(await history.not_to_be_touched())
    one = chance.choice(living) if living else None
    match chance.choice(
        ["begin", "store", "store", "store", "end", "end", "resume", "time", "time", "delete", "collect", "die"]
    ):
        case "begin":
            await history.begin(f"exec_{len(history.refs)}")
        case "store" if one is not None:
            await history.store(one, chance.randbytes(chance.choice([100, 10_000, 600_000])))
        case "end" if one is not None:
            await history.end(one)
        case "resume" if one is not None:
            await history.resume(one)
        case "time":
            await history.time_passes(timedelta(hours=chance.choice([1, 13, 25, 24 * 40, 24 * 91])))
        case "delete":
            await history.delete_old()
        case "collect":
            await asyncio.gather(*(history.collection(at_once=chance.randint(1, 3)).collect() for _ in range(3)))
        case "die":
            with suppress(BlobStoreUnavailable):
                await history.collection(DyingStore(history.blobs, after=chance.randint(0, 2))).collect()
        case _:
            pass
