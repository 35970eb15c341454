import asyncio
import contextlib
import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg
import pytest
import uvloop

from aif_console.embedded.postgres_server import EmbeddedPostgres
from aif_runtime.connection_line import arriving
from aif_runtime.failures import DatabaseUnavailable, SettingsInvalid, TooManyWait
from aif_runtime.postgres import CLOSE_SECONDS, READERS_CONNECTIONS, Database, reading
from support.harmed_link import harmed_link


async def test_json_columns_are_bytes_in_both_directions(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test")
    async with database.transaction() as connection:
        await connection.execute("CREATE TABLE notes (id integer, body jsonb, raw json)")
        await connection.execute("INSERT INTO notes VALUES ($1, $2, $3)", 1, b'{"a":1}', b"[1]")
        await connection.execute(
            "INSERT INTO notes SELECT * FROM unnest($1::int[], $2::jsonb[], $3::json[])", [2], [b"2"], [b"3"]
        )

    async with database.connection() as connection:
        rows = await connection.fetch("SELECT body, raw FROM notes ORDER BY id")

    assert [tuple(row) for row in rows] == [(b'{"a": 1}', b"[1]"), (b"2", b"3")]
    await database.close()


async def test_a_statement_of_300_kilobytes_leaves_through_the_unix_socket_at_once(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test")
    async with database.connection() as connection:
        transport = connection._transport  # type: ignore[attr-defined]
        assert transport.get_extra_info("socket").family == socket.AF_UNIX
        await connection.fetchval("SELECT length($1::bytea)", b"")

        asked = asyncio.create_task(connection.fetchval("SELECT length($1::bytea)", bytes(300_000)))
        await asyncio.sleep(0)
        left_behind = transport.get_write_buffer_size()

        assert await asked == 300_000
        assert left_behind == 0
    await database.close()


async def test_an_exception_rolls_the_transaction_back(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test")
    async with database.connection() as connection:
        await connection.execute("CREATE TABLE notes (id integer)")

    async def insert_and_fail() -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO notes VALUES (1)")
            raise LookupError

    with pytest.raises(LookupError):
        await insert_and_fail()

    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM notes") == 0
    await database.close()


async def test_every_session_has_its_time_limits_and_search_path(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test", schema="kam")

    async with database.connection() as connection:
        limits = [
            await connection.fetchval(f"SHOW {name}")
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "search_path", "timezone")
        ]

    assert limits == ["5s", "2s", "10s", "kam", "UTC"]
    await database.close()


async def test_many_readers_leave_connections_to_those_who_do_not_only_read(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test", acquire_seconds=0.5)
    async with contextlib.AsyncExitStack() as held:
        with reading():
            for _ in range(READERS_CONNECTIONS):
                await held.enter_async_context(database.connection())

            with pytest.raises(DatabaseUnavailable, match="too many read at once"):
                await _one(database)
            with reading(False):
                assert await _one(database) == 1
            assert await database.check() is None
        assert await _one(database) == 1

    with reading():
        assert await _one(database) == 1
    await database.close()


async def test_who_came_first_goes_first_at_each_of_its_questions(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test", max_size=1)
    answered: list[str] = []

    async def ask(who: str, questions: int) -> None:
        with arriving():
            for _ in range(questions):
                await _one(database)
                answered.append(who)

    async with database.connection():
        callers = [asyncio.create_task(ask(who, 3)) for who in ("first", "second", "third")]
        await asyncio.sleep(0)
    await asyncio.gather(*callers)

    # Who has just been answered is not there yet when the next turn comes, so two are under way.
    assert answered == ["first", "second"] * 3 + ["third"] * 3
    await database.close()


async def test_readers_too_wait_while_others_of_them_are_answered(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test", acquire_seconds=0.1, patience_seconds=5)
    loop = asyncio.get_running_loop()
    until = loop.time() + 0.4

    async def keep_reading() -> None:
        with reading():
            while loop.time() < until:
                await _one(database)

    others = [asyncio.create_task(keep_reading()) for _ in range(2 * READERS_CONNECTIONS)]
    await asyncio.sleep(0)

    with reading(), arriving():
        assert await _one(database) == 1
    assert loop.time() >= until
    await asyncio.gather(*others)
    await database.close()


async def test_readers_wait_on_while_those_in_front_of_them_stand_behind_others_who_are_answered(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test", acquire_seconds=0.1, patience_seconds=5)
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as held:
        with reading():
            for _ in range(READERS_CONNECTIONS):
                await held.enter_async_context(database.connection())
            reader = asyncio.create_task(_one(database))
        until = loop.time() + 0.4
        while loop.time() < until:
            await _one(database)

        assert not reader.done()

    assert await reader == 1
    await database.close()


async def test_the_health_page_asks_before_all_who_wait_for_a_connection(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test", max_size=1)
    done: list[str] = []

    async def ask() -> None:
        await _one(database)
        done.append("caller")

    async def look() -> None:
        assert await database.check() is None
        done.append("health")

    async with database.connection():
        with arriving():
            callers = [asyncio.create_task(ask()) for _ in range(3)]
            await asyncio.sleep(0)
        with arriving():
            looking = asyncio.create_task(look())
            await asyncio.sleep(0)
    await asyncio.gather(*callers, looking)

    assert done == ["health", *["caller"] * 3]
    await database.close()


async def test_a_line_that_moves_is_waited_in_for_longer_than_one_that_stands(fresh_database: str) -> None:
    database = await Database.open(
        fresh_database, application_name="test", max_size=1, acquire_seconds=0.1, patience_seconds=0.5
    )
    loop = asyncio.get_running_loop()

    async def ask_until(time: float) -> None:
        """For those who came before; of two of them one always waits."""
        while loop.time() < time:
            await _one(database)

    async def ask_beside(others_seconds: float) -> object:
        until = loop.time() + others_seconds
        others = [asyncio.create_task(ask_until(until)) for _ in range(2)]
        await asyncio.sleep(0)
        try:
            with arriving():
                return await _one(database)
        finally:
            await asyncio.gather(*others)

    assert await ask_beside(0.3) == 1
    with pytest.raises(TooManyWait, match=r"all 1 connections of this process to Postgres were in use by others for 0\.5 s"):
        await ask_beside(0.7)
    assert await _one(database) == 1
    await database.close()


async def test_who_gives_up_waiting_for_a_connection_leaves_it_to_the_next(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test", max_size=1)
    async with database.connection():
        gone, next_one = (asyncio.create_task(_one(database)) for _ in range(2))
        await asyncio.sleep(0)
    # Its turn has come, and it does not know yet.
    gone.cancel()

    assert await next_one == 1
    assert gone.cancelled()
    await database.close()


async def _one(database: Database) -> object:
    async with database.transaction() as connection:
        return await connection.fetchval("SELECT 1")


async def test_a_lock_that_is_not_given_in_time_is_a_retryable_failure(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test")
    async with database.connection() as connection:
        await connection.execute("CREATE TABLE notes (id integer)")

    async def read() -> None:
        async with database.transaction() as other:
            await other.execute("SET LOCAL lock_timeout = '20ms'")
            await other.execute("SELECT * FROM notes")

    async with database.transaction() as holder:
        await holder.execute("LOCK TABLE notes")
        with pytest.raises(DatabaseUnavailable, match="could not finish in time: canceling statement due to lock timeout"):
            await read()
    await database.close()


async def test_a_connection_that_postgres_is_just_leaving_is_an_outage(fresh_database: str, postgres_admin_url: str) -> None:
    database = await Database.open(fresh_database, application_name="test")

    async def end_session(pid: int) -> None:
        admin = await asyncpg.connect(postgres_admin_url)
        await admin.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
        await admin.close()

    async def ask_between_last_words_and_end() -> None:
        async with database.connection() as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            # Elsewhere, so that our loop has read nothing of it.
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(asyncio.run, end_session(pid)).result()
            # One turn of the loop reads the server's last words, the next one the end of the stream.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await connection.fetchval("SELECT pg_backend_pid()")

    with pytest.raises(DatabaseUnavailable, match="Postgres has left this connection"):
        await ask_between_last_words_and_end()

    async with database.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await database.close()


async def test_a_mistake_in_a_query_is_not_hidden_as_an_outage(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test")

    with pytest.raises(asyncpg.UndefinedTableError):
        async with database.connection() as connection:
            await connection.execute("SELECT * FROM nowhere")
    with pytest.raises(asyncpg.InterfaceError):
        async with database.connection() as connection:
            await connection.fetch("SELECT $1::int", 1, 2)
    await database.close()


@pytest.mark.parametrize("used", ["pool", "held"])
async def test_what_goes_wrong_beside_the_database_is_not_told_as_an_outage(fresh_database: str, used: str) -> None:
    database = await Database.open(fresh_database, application_name="test")
    held = database.held()
    connection_of = held.connection if used == "held" else database.connection

    async def read_a_file() -> None:
        async with connection_of():
            raise FileNotFoundError(2, "No such file or directory", "/nowhere/to/be/found")

    async def take_too_long() -> None:
        async with connection_of() as connection, asyncio.timeout(0.02):
            await connection.execute("SELECT pg_sleep(2)")

    with pytest.raises(FileNotFoundError, match="/nowhere/to/be/found"):
        await read_a_file()
    with pytest.raises(TimeoutError):
        await take_too_long()
    await held.close()
    await database.close()


async def test_a_query_that_the_driver_gives_up_is_an_outage(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test")

    async def ask() -> None:
        async with database.transaction() as connection:
            await connection.fetchval("SELECT pg_sleep(2)", timeout=0.02)

    with pytest.raises(DatabaseUnavailable, match="no answer in time"):
        await ask()
    await database.close()


async def test_a_pool_that_is_used_up_answers_in_time(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test", max_size=1, acquire_seconds=0.05)

    async with database.connection():
        with pytest.raises(DatabaseUnavailable, match=r"all 1 connections of this process to Postgres were in use for 0\.05 s"):
            async with database.connection():
                pass
    await database.close()


async def test_a_wrong_password_is_told_without_it(fresh_database: str) -> None:
    user, place = fresh_database.split("@")
    url = user.rsplit(":", 1)[0] + ":not-the-password@" + place

    with pytest.raises(DatabaseUnavailable) as failure:
        await Database.open(url, application_name="test")

    assert "Postgres refuses us: password authentication failed" in str(failure.value)
    assert "not-the-password" not in str(failure.value)


async def test_a_url_that_is_none_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(SettingsInvalid, match="the database URL cannot be used"):
        await Database.open("mysql://somewhere", application_name="test")


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
        await Database.open("postgres://kam:x@127.0.0.1:1/aif", application_name="test")


async def test_a_unix_socket_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="there is no Unix socket where the database URL says"):
        await Database.open(f"postgres://kam:x@/aif?host={tmp_path}&port=5432", application_name="test")


def test_a_unix_socket_that_takes_nobody_any_more_is_told_in_words() -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as sockets:
        frozen = sockets.enter_context(socket.socket(socket.AF_UNIX))
        frozen.bind(f"{folder}/.s.PGSQL.5432")
        frozen.listen(0)
        sockets.enter_context(socket.socket(socket.AF_UNIX)).connect(f"{folder}/.s.PGSQL.5432")

        with pytest.raises(DatabaseUnavailable, match="it takes no more connections at its Unix socket, so it hangs"):
            # The event loop of every service; asyncio's own takes the kernel's word for a connection.
            uvloop.run(Database.open(f"postgres://kam:x@/aif?host={folder}&port=5432", application_name="test"))


async def test_the_pool_survives_a_restart_of_postgres(servers_dir: Path) -> None:
    server = EmbeddedPostgres(servers_dir / "restarted", durable=False)
    await server.start()
    database = await Database.open(server.admin_url, application_name="test", max_size=3)

    async with database.connection() as held:
        await server.stop()
        with pytest.raises(DatabaseUnavailable):
            async with database.connection():
                pass
        await server.start()
        with pytest.raises((DatabaseUnavailable, asyncpg.InterfaceError, asyncpg.PostgresConnectionError)):
            await held.fetchval("SELECT 1")
    answers = [await database.check() for _ in range(5)]

    assert answers == [None] * 5
    await database.close()
    await server.stop()


async def test_a_connection_cut_in_the_middle_of_a_transaction_is_a_retryable_failure(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test")

    async def write() -> None:
        async with database.transaction() as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            async with database.connection() as other:
                await other.execute("SELECT pg_terminate_backend($1)", pid)
            await connection.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        await write()

    assert await database.check() is None
    await database.close()


async def test_closing_does_not_wait_for_ever_for_a_connection_in_use(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test")

    async with database.connection():
        await asyncio.wait_for(database.close(within_seconds=0.05), CLOSE_SECONDS - 1)


async def test_a_held_connection_is_the_same_until_it_is_gone(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test", max_size=2)
    held = database.held()
    pids = []
    for _ in range(3):
        async with held.connection() as connection:
            pids.append(await connection.fetchval("SELECT pg_backend_pid()"))
    async with database.connection() as other:
        await other.execute("SELECT pg_terminate_backend($1)", pids[0])

    # Whether it is known already that it is gone depends on who was quicker.
    with contextlib.suppress(DatabaseUnavailable):
        async with held.connection() as connection:
            await connection.fetchval("SELECT pg_backend_pid()")
    async with held.connection() as connection:
        new = await connection.fetchval("SELECT pg_backend_pid()")

    assert len(set(pids)) == 1
    assert new != pids[0]
    await held.close()
    await database.close()


async def test_a_held_connection_goes_back_to_the_pool_after_a_failure_and_when_it_is_closed(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test", max_size=1, acquire_seconds=1)
    held = database.held()

    with pytest.raises(asyncpg.UndefinedTableError):
        async with held.connection() as connection:
            await connection.execute("SELECT * FROM nowhere")
    async with database.connection() as other:
        assert await other.fetchval("SELECT 1") == 1
    async with held.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    with pytest.raises(DatabaseUnavailable):
        async with database.connection():
            pass
    await held.close()

    async with database.connection() as other:
        assert await other.fetchval("SELECT 1") == 1
    await database.close()


async def test_a_server_without_room_is_told_of_although_it_answers(fresh_database: str) -> None:
    database = await Database.open(fresh_database, application_name="test")
    full = "DO $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
    before = await database.check()
    held = database.held()

    with pytest.raises(DatabaseUnavailable, match="the disk of Postgres is full: could not extend file"):
        async with held.connection() as connection:
            await connection.execute(full)

    assert before is None
    assert await database.check() == "the disk of Postgres is full: could not extend file: No space left on device"
    await held.close()
    await database.close()


async def test_over_tcp_both_sides_soon_let_go_who_cannot_be_reached(fresh_database: str) -> None:
    database = await Database.open(_over_tcp(fresh_database), application_name="test")

    async with database.connection() as connection:
        names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
        of_the_server = [await connection.fetchval(f"SHOW {name}") for name in names]
        opened = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        is_probed = opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        of_ours = [opened.getsockopt(socket.IPPROTO_TCP, option) for option in options]

    assert of_the_server == ["4", "2", "3", "10000"]
    assert is_probed
    assert of_ours == [4, 2, 3, 10_000]
    await database.close()


async def test_a_statement_that_the_network_has_lost_is_an_outage_within_seconds_and_the_next_one_finds_a_way(
    fresh_database: str,
) -> None:
    async with harmed_link(_port_of(fresh_database)) as link:
        database = await Database.open(_over_tcp(fresh_database, link.port), application_name="test")
        link.fall_silent()

        async with asyncio.timeout(11):
            with pytest.raises(DatabaseUnavailable):
                async with database.transaction() as connection:
                    await connection.fetchval("SELECT 1")

        link.come_back()
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT 2") == 2
        await database.close()


def _port_of(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or int(parse_qs(parts.query)["port"][0])


def _over_tcp(url: str, port: int | None = None) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port or _port_of(url)}", query=""))
