"""What one commit stores, and what it leaves to be told; when another writer was quicker, nothing at all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

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
from aif_runtime.postgres import Connection, Database
from aif_runtime.sql_files import load_queries
from support.execution_story import Story, pipeline, stage
from support.orchestrator_line import orchestrator_database
from support.waiting import eventually

SOMEBODY_WAITS = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"
JOURNAL = """
INSERT INTO execution_journal (execution_id, version, leg, is_final, first_sequence, last_sequence, events, is_whole, change)
VALUES ('exec_long', 1, 1, false, NULL, NULL, NULL, true, 'first'),
       ('exec_long', 2, 1, false, NULL, NULL, NULL, true, 'whole'),
       ('exec_long', 4, 1, false, NULL, NULL, NULL, false, 'fourth'),
       ('exec_long', 3, 1, true, 1, 1, '[]', false, NULL),
       ('exec_long', 3, 2, false, 2, 2, '[]', false, 'third'),
       ('exec_short', 1, 1, false, NULL, NULL, NULL, true, 'begun')
"""


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
        self, before: Versioned | None, story: Story, events: Sequence[EmitEvent], published: Sequence[int] = ()
    ) -> tuple[Versioned, Committed]:
        async with self._database.connection() as connection:
            return await self.commits_within(connection, before, story, events, published)

    async def commits_within(
        self,
        connection: Connection,
        before: Versioned | None,
        story: Story,
        events: Sequence[EmitEvent],
        published: Sequence[int] = (),
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
            published=published,
        )
        return revision.after, await self._batches.commit(connection, decided)

    async def left_to_tell(self, older_than_seconds: float = 0) -> list[str]:
        """Ids of the messages in the outbox."""
        async with self._database.transaction() as connection:
            rows = await self._outbox.lock_stale(connection, older_than_seconds=older_than_seconds, but_not=())
        return [str(message.message_id) for row in rows for message in row.messages]

    @asynccontextmanager
    async def takes_what_is_left(self) -> AsyncIterator[list[int]]:
        """Rows of the outbox that are this writer's for a while."""
        async with self._database.transaction() as connection:
            yield [row.outbox_id for row in await self._outbox.lock_stale(connection, older_than_seconds=0, but_not=())]

    async def times(self) -> tuple[int | None, int | None, int | None]:
        """When the only execution began, ended and is to be woken."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow("SELECT created_at, ended_at, wake_at FROM executions")
        assert row is not None
        began, ended, wakes = (None if time is None else round(time.timestamp() * 1000) for time in row)
        return began, ended, wakes

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


@pytest.mark.parametrize("begins", [True, False])
async def test_of_two_who_commit_at_the_same_moment_the_second_stores_nothing(database: Database, begins: bool) -> None:
    writer, story = Writer(database), Story(pipeline(stage("one")))
    before = None
    if not begins:
        before, _ = await writer.commits(None, story)
        story.progress("one", story.granted("one"), 10)

    async with database.transaction() as connection:
        await writer.commits_within(connection, before, story, emitted(story))
        late = asyncio.create_task(writer.commits(before, story))
        await eventually(lambda: connection.fetchval(SOMEBODY_WAITS), what="the second waits for the first")

    with pytest.raises(AlreadyStored):
        await late
    assert await writer.count("execution_journal") == (1 if begins else 2)
    assert await writer.count("executions") == 1


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


async def test_rows_that_were_published_go_with_a_commit_and_no_others(database: Database) -> None:
    writer, story = Writer(database), Story(pipeline(stage("one")))
    begun, first = await writer.commits(None, story)
    story.happens(CancelAsked(reason="no more"))
    ended, _ = await writer.commits(begun, story)
    assert first.outbox_id is not None
    left = await writer.left_to_tell()

    await writer.commits_events(ended, story, [], published=[first.outbox_id])

    assert await writer.left_to_tell() == left[1:]


async def test_times_are_stored_to_the_millisecond(database: Database) -> None:
    writer, story = Writer(database), Story(pipeline(stage("one")), start_at="2023-11-14T22:13:21.456Z")
    story.execution = replace(story.execution, created_at=1_700_000_000_123)
    begun, _ = await writer.commits(None, story)
    assert await writer.times() == (1_700_000_000_123, None, 1_700_000_001_456)
    story.later(1_111)
    story.happens(CancelAsked(reason="no more"))

    await writer.commits(begun, story)

    assert await writer.times() == (1_700_000_000_123, 1_700_000_001_111, None)


async def test_what_was_committed_a_moment_ago_is_left_to_the_replica_that_did_it(database: Database) -> None:
    writer = Writer(database)
    await writer.commits(None, Story(pipeline(stage("one"))))

    assert len(await writer.left_to_tell()) == 1
    assert await writer.left_to_tell(older_than_seconds=60) == []


async def test_what_is_left_is_taken_in_its_order_some_at_a_time_and_by_nobody_twice(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("INSERT INTO outbox (content) SELECT '\\x80' FROM generate_series(1, 70)")

    writer = Writer(database)
    async with asyncio.timeout(10), writer.takes_what_is_left() as first, writer.takes_what_is_left() as second:
        assert (first, second) == (list(range(1, 51)), list(range(51, 71)))


@pytest.mark.parametrize(
    ("execution_id", "newest"), [("exec_long", (4, [b"whole", b"third", b"fourth"])), ("exec_short", (1, [b"begun"]))]
)
async def test_an_execution_is_made_up_of_its_own_newest_whole_state_and_what_came_after(
    database: Database, execution_id: str, newest: tuple[int, list[bytes]]
) -> None:
    async with database.connection() as connection:
        await connection.execute(JOURNAL)

        read = await connection.fetchrow("SELECT version, changes FROM newest_changes($1)", execution_id)

    assert read is not None
    assert tuple(read) == newest
