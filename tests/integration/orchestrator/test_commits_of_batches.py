"""What one commit stores, and what it leaves to be told; when another writer was quicker, nothing at all."""

from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio
from msgspec.structs import replace

from aif_orchestrator.execution.commands import EmitEvent
from aif_orchestrator.execution.happenings import CancelAsked
from aif_orchestrator.store.accounts import AccountStore, DefaultBudget
from aif_orchestrator.store.batches import BatchStore, Committed, Decided
from aif_orchestrator.store.journal import Versioned, entries_of, revised
from aif_orchestrator.store.outbox import OutboxStore, event_messages
from aif_runtime.failures import AlreadyStored
from aif_runtime.postgres import Database
from aif_runtime.sql_files import load_queries
from support.execution_story import Story, pipeline, stage
from support.orchestrator_line import orchestrator_database


@pytest_asyncio.fixture
async def database(fresh_orchestrator_database: str) -> AsyncIterator[Database]:
    async with orchestrator_database(fresh_orchestrator_database) as opened:
        yield opened


def emitted(story: Story) -> list[EmitEvent]:
    """By the last step."""
    return [command for command in story.commands if isinstance(command, EmitEvent)]


class Writer:
    """A replica's commits of one execution."""

    def __init__(self, database: Database) -> None:
        queries = load_queries("aif_orchestrator.store")
        self._database = database
        self._batches = BatchStore(queries, AccountStore(queries, DefaultBudget()))
        self._outbox = OutboxStore(queries)

    async def commits(self, before: Versioned | None, story: Story) -> tuple[Versioned, Committed]:
        """What the last step of the story has brought, on top of what this writer takes for the newest version."""
        return await self.commits_events(before, story, emitted(story))

    async def commits_events(
        self, before: Versioned | None, story: Story, events: Sequence[EmitEvent]
    ) -> tuple[Versioned, Committed]:
        revision = revised(before, story.execution, story.wakes_at(), events)
        entries = entries_of(revision)
        decided = Decided(
            checked={} if before is None else {story.execution.execution_id: before.version},
            revisions=[revision],
            entries=entries,
            attempts=(),
            calls=(),
            settlements=(),
            moves=(),
            messages=[message for entry in entries for message in event_messages(entry.told, {})],
            packets=(),
            published=(),
        )
        async with self._database.connection() as connection:
            return revision.after, await self._batches.commit(connection, decided)

    async def left_to_tell(self) -> list[str]:
        """Ids of the messages in the outbox."""
        async with self._database.transaction() as connection:
            rows = await self._outbox.lock_stale(connection, older_than_seconds=0, but_not=())
        return [str(message.message_id) for row in rows for message in row.messages]

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


async def test_a_version_that_ends_one_leg_and_begins_another_is_told_leg_by_leg_and_once(database: Database) -> None:
    writer, story = Writer(database), Story(pipeline(stage("one")))
    begun, _ = await writer.commits(None, story)
    [started] = await writer.left_to_tell()
    story.happens(CancelAsked(reason="no more"))
    of_first_leg = emitted(story)
    [last] = of_first_leg[-1:]
    following = replace(last.event, id="exec_1:9", sequence=9)

    await writer.commits_events(begun, story, [*of_first_leg, EmitEvent(event=following, leg=2)])

    assert await writer.left_to_tell() == [started, last.event.id, "exec_1:9"]
