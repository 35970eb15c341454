"""What one commit stores when another writer was quicker: nothing at all."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from aif_orchestrator.execution.commands import EmitEvent
from aif_orchestrator.execution.happenings import CancelAsked
from aif_orchestrator.store.accounts import AccountStore, DefaultBudget
from aif_orchestrator.store.batches import BatchStore, Committed, Decided
from aif_orchestrator.store.journal import Versioned, entries_of, revised
from aif_runtime.failures import AlreadyStored
from aif_runtime.postgres import Database
from aif_runtime.sql_files import load_queries
from support.execution_story import Story, pipeline, stage
from support.orchestrator_line import orchestrator_database


@pytest_asyncio.fixture
async def database(fresh_orchestrator_database: str) -> AsyncIterator[Database]:
    async with orchestrator_database(fresh_orchestrator_database) as opened:
        yield opened


class Writer:
    """A replica's commits of one execution."""

    def __init__(self, database: Database) -> None:
        queries = load_queries("aif_orchestrator.store")
        self._database = database
        self._batches = BatchStore(queries, AccountStore(queries, DefaultBudget()))

    async def commits(self, before: Versioned | None, story: Story) -> tuple[Versioned, Committed]:
        """What the last step of the story has brought, on top of what this writer takes for the newest version."""
        events = [command for command in story.commands if isinstance(command, EmitEvent)]
        revision = revised(before, story.execution, story.wakes_at(), events)
        decided = Decided(
            checked={} if before is None else {story.execution.execution_id: before.version},
            revisions=[revision],
            entries=entries_of(revision),
            attempts=(),
            calls=(),
            settlements=(),
            moves=(),
            messages=(),
            packets=(),
            published=(),
        )
        async with self._database.connection() as connection:
            return revision.after, await self._batches.commit(connection, decided)

    async def count(self, table: str) -> int:
        async with self._database.connection() as connection:
            count: int = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 a name of this file
        return count


async def test_of_two_who_have_worked_from_the_same_version_the_second_stores_nothing(database: Database) -> None:
    writer, story = Writer(database), Story(pipeline(stage("one")))
    first, _ = await writer.commits(None, story)
    story.progress("one", story.granted("one"), 10)
    await writer.commits(first, story)

    _, late = await writer.commits(first, story)

    assert late.stale == {"exec_1"}
    assert await writer.count("execution_journal") == 2


async def test_an_execution_that_is_begun_twice_is_stored_once(database: Database) -> None:
    writer, story = Writer(database), Story(pipeline(stage("one")))
    await writer.commits(None, story)

    _, again = await writer.commits(None, story)

    assert again.stale == {"exec_1"}
    assert await writer.count("execution_journal") == 1


async def test_what_was_deleted_since_it_was_read_is_not_brought_back(database: Database) -> None:
    writer, story = Writer(database), Story(pipeline(stage("one")))
    begun, _ = await writer.commits(None, story)
    story.happens(CancelAsked(reason="no more"))
    ended, _ = await writer.commits(begun, story)
    async with database.connection() as connection:
        await connection.execute("DELETE FROM executions")
        await connection.execute("DELETE FROM execution_journal")
    story.happens(CancelAsked(reason="no more"))

    with pytest.raises(AlreadyStored):
        await writer.commits(ended, story)

    assert await writer.count("execution_journal") == 0
    assert await writer.count("executions") == 0
