"""The Postgres server that a single machine runs for itself."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from aif_console.embedded import postgres_binaries
from aif_console.embedded.child_process import log_tail
from aif_console.embedded.postgres_server import EmbeddedPostgres
from aif_console.failures import (
    AdminPasswordLost,
    BinaryMissing,
    CredentialsUnreadable,
    DataFolderInUse,
    DataFolderUnusable,
    NoUnprivilegedUser,
    PortTaken,
    ServerDidNotStart,
)
from support.kernel_view import environment, is_alive, tcp_listeners, unix_listeners
from support.waiting import eventually

LOCALHOST = "0100007F"
StartSupervisor = Callable[..., Awaitable[asyncio.subprocess.Process]]

only_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="about root's ways around Postgres's refusal of root")


def namespaces_are_allowed() -> bool:
    unshare = shutil.which("unshare")
    command = [unshare or "", "--user", "--map-user=1000", "true"]
    return unshare is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_namespaces = pytest.mark.skipif(not namespaces_are_allowed(), reason="user namespaces are closed here")


@pytest_asyncio.fixture
async def server(server_dir: Path) -> AsyncIterator[EmbeddedPostgres]:
    embedded = EmbeddedPostgres(server_dir, durable=False)
    yield embedded
    await embedded.stop()


def names_of_files_with(secret: str, folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_file() and secret in path.read_text()]


def permissions(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def ask(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def store_orders(url: str) -> None:
    await ask(url, "CREATE TABLE orders (id int)")
    await ask(url, "INSERT INTO orders VALUES (1), (2)")


async def count_orders(url: str) -> object:
    return await ask(url, "SELECT count(*) FROM orders")


def is_asked_for_a_password(postmaster: int | None) -> bool:
    """Whether somebody's connection is being made to it just now."""
    try:
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return any(b"authentication" in Path(f"/proc/{child}/cmdline").read_bytes() for child in children)
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_second_start_continues_with_the_data_at_the_same_url(server_dir: Path) -> None:
    first = EmbeddedPostgres(server_dir)
    await first.start()
    await store_orders(first.admin_url)
    await first.stop()

    second = EmbeddedPostgres(server_dir)
    await second.start()
    orders = await count_orders(second.admin_url)
    await second.stop()

    assert orders == 2
    assert second.admin_url == first.admin_url


async def test_a_killed_server_has_everything_committed_after_the_next_start(server_dir: Path) -> None:
    durable = EmbeddedPostgres(server_dir)
    await durable.start()
    await store_orders(durable.admin_url)

    for _ in range(3):
        await durable.kill()
        await durable.start()
    orders = await count_orders(durable.admin_url)
    await durable.stop()

    assert orders == 2


async def test_a_busy_connection_does_not_keep_it_from_recovering_at_once(server: EmbeddedPostgres) -> None:
    await server.start()
    await store_orders(server.admin_url)
    busy = await asyncpg.connect(server.admin_url)
    query = asyncio.create_task(busy.execute("SELECT pg_sleep(60)"))
    watching = await asyncpg.connect(server.admin_url)
    while not await watching.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"):
        pass

    await server.kill()
    await server.start()

    assert await count_orders(server.admin_url) == 2
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await query
    busy.terminate()
    watching.terminate()


async def test_a_stuck_backend_of_a_killed_postmaster_is_waited_for(server: EmbeddedPostgres) -> None:
    await server.start()
    await store_orders(server.admin_url)
    connection = await asyncpg.connect(server.admin_url)
    backend = connection.get_server_pid()
    os.kill(backend, signal.SIGSTOP)
    await server.kill()

    restart = asyncio.create_task(server.start())
    await eventually(lambda: "pre-existing shared memory block" in log_tail(server.log_path), what="Postgres refuses")
    os.kill(backend, signal.SIGCONT)
    await restart

    assert await count_orders(server.admin_url) == 2
    connection.terminate()


async def test_a_postmaster_that_is_killed_while_it_starts_is_one_that_did_not_start(server: EmbeddedPostgres) -> None:
    await server.start()

    async def refused_while_killed() -> ServerDidNotStart | None:
        await server.stop()
        starting = asyncio.create_task(server.start())
        while not starting.done() and not is_asked_for_a_password(server.pid):  # noqa: ASYNC110  only the kernel knows
            await asyncio.sleep(0)
        if server.pid is not None:
            os.kill(server.pid, signal.SIGKILL)
        try:
            await starting
        except ServerDidNotStart as refused:
            return refused
        return None

    # A start may be over before the connection that asks whether it is ready was seen on its way.
    refused = await eventually(refused_while_killed, within_seconds=60)

    assert "ended with code -9" in str(refused)


async def test_a_stop_does_not_wait_for_open_connections(server: EmbeddedPostgres) -> None:
    await server.start()
    connection = await asyncpg.connect(server.admin_url)
    await connection.execute("BEGIN")

    async with asyncio.timeout(15):  # one that waits for them is told again after 20
        await server.stop()

    assert server.is_running is False
    connection.terminate()


async def test_one_that_was_told_to_end_when_its_clients_have_gone_ends_at_once(server: EmbeddedPostgres) -> None:
    await server.start()
    client = await asyncpg.connect(server.admin_url)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGTERM)
    with pytest.raises(asyncpg.CannotConnectNowError, match="shutting down"):
        await eventually(lambda: ask(server.admin_url, "SELECT NULL"))

    code = await asyncio.wait_for(server.wait(), 10)

    assert code == 0
    client.terminate()


async def test_a_stale_pid_file_with_a_stranger_s_number_is_no_obstacle(server: EmbeddedPostgres, server_dir: Path) -> None:
    await server.start()
    await store_orders(server.admin_url)
    note = server_dir / "cluster" / "postmaster.pid"
    written = note.read_text().splitlines()
    await server.kill()
    # Of the same user as Postgres, which minds only those.
    stranger = await asyncio.create_subprocess_exec("sleep", "60", user=(server_dir / "cluster").stat().st_uid)
    note.write_text("\n".join([str(stranger.pid), *written[1:]]) + "\n")

    await server.start()
    stranger_survived = stranger.returncode is None and is_alive(stranger.pid)
    stranger.kill()
    await stranger.wait()

    assert stranger_survived
    assert await count_orders(server.admin_url) == 2


async def test_a_broken_pid_file_is_reported_in_the_words_of_postgres(server: EmbeddedPostgres, server_dir: Path) -> None:
    await server.start()
    await server.stop()
    (server_dir / "cluster" / "postmaster.pid").write_text("")

    with pytest.raises(ServerDidNotStart, match=r"postmaster\.pid"):
        await server.start()


async def test_two_clusters_run_at_once_and_know_nothing_of_each_other(server: EmbeddedPostgres, server_dir: Path) -> None:
    other = EmbeddedPostgres(server_dir.with_name(f"{server_dir.name}-other"), durable=False)

    await asyncio.gather(server.start(), other.start())
    await store_orders(server.admin_url)
    orders_of_other = await ask(other.admin_url, "SELECT to_regclass('orders')")
    await other.stop()

    assert orders_of_other is None
    assert await count_orders(server.admin_url) == 2


async def test_it_listens_on_localhost_and_on_a_unix_socket_of_its_own_alone(
    server: EmbeddedPostgres, server_dir: Path
) -> None:
    await server.start()
    assert server.pid is not None

    assert tcp_listeners(server.pid) == [(LOCALHOST, server.port)]
    assert unix_listeners(server.pid) == [f"{server_dir}/socket/.s.PGSQL.{server.port}"]


async def test_the_unix_socket_is_for_the_user_of_postgres_alone(server: EmbeddedPostgres, server_dir: Path) -> None:
    await server.start()
    folder = server_dir / "socket"
    socket_file = folder / f".s.PGSQL.{server.port}"

    assert (permissions(folder), permissions(socket_file)) == (0o700, 0o700)
    assert folder.stat().st_uid == socket_file.stat().st_uid == (server_dir / "cluster").stat().st_uid


async def test_the_url_leads_to_the_unix_socket(server: EmbeddedPostgres, server_dir: Path) -> None:
    await server.start()

    assert server.admin_url.endswith(f"@/postgres?host={server_dir}/socket&port={server.port}")
    assert await ask(server.admin_url, "SELECT inet_client_addr() IS NULL") is True


async def test_whoever_knows_the_password_may_come_by_tcp_too(server: EmbeddedPostgres, server_dir: Path) -> None:
    await server.start()
    password = json.loads((server_dir / "credentials.json").read_text())["aif_admin"]

    by_tcp = f"postgresql://aif_admin:{password}@127.0.0.1:{server.port}/postgres"

    assert await ask(by_tcp, "SELECT host(inet_client_addr())") == "127.0.0.1"


async def test_nobody_enters_without_the_password(server: EmbeddedPostgres, server_dir: Path) -> None:
    await server.start()
    by_tcp = f"127.0.0.1:{server.port}/postgres"
    by_socket = f"/postgres?host={server_dir}/socket&port={server.port}"

    for place in (by_tcp, by_socket):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"postgresql://aif_admin:guess@{place}")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"postgresql://aif_admin@{place}", passfile="/nowhere")


async def test_a_socket_left_by_a_killed_postmaster_is_no_obstacle(server: EmbeddedPostgres, server_dir: Path) -> None:
    await server.start()
    await store_orders(server.admin_url)
    socket_file = server_dir / "socket" / f".s.PGSQL.{server.port}"
    await server.kill()
    # Of the same user as Postgres, which minds only those.
    stranger = await asyncio.create_subprocess_exec("sleep", "60", user=(server_dir / "cluster").stat().st_uid)
    note = socket_file.with_name(f"{socket_file.name}.lock")
    note.write_text("\n".join([str(stranger.pid), *note.read_text().splitlines()[1:]]) + "\n")
    socket_was_left = socket_file.is_socket()

    await server.start()
    stranger_survived = stranger.returncode is None and is_alive(stranger.pid)
    stranger.kill()
    await stranger.wait()

    assert socket_was_left
    assert stranger_survived
    assert await count_orders(server.admin_url) == 2


async def test_a_stop_takes_the_socket_away(server: EmbeddedPostgres, server_dir: Path) -> None:
    await server.start()

    await server.stop()

    assert list((server_dir / "socket").iterdir()) == []


@pytest.mark.parametrize(
    "folder",
    ["with a space", "Über & 100% +=?#@", 'a "quoted" one', "back\\slash'"],
)
async def test_a_folder_of_any_name_is_named_in_the_url(server_dir: Path, folder: str) -> None:
    server = EmbeddedPostgres(server_dir / folder, durable=False)
    await server.start()

    by_socket = await ask(server.admin_url, "SELECT inet_client_addr() IS NULL")
    psql = await asyncio.create_subprocess_exec(
        *(str(postgres_binaries.find() / "psql"), "--no-psqlrc", "--tuples-only", "--no-align"),
        *("--command", "SELECT inet_client_addr() IS NULL", server.admin_url),
        stdout=asyncio.subprocess.PIPE,
    )
    by_psql, _ = await psql.communicate()
    await server.stop()

    assert by_socket is True
    assert by_psql == b"t\n"


@pytest.mark.parametrize(("length", "has_socket"), [(107, True), (108, False)])
async def test_a_path_that_is_too_long_for_a_socket_leaves_tcp(server_dir: Path, length: int, has_socket: bool) -> None:
    before, after = len(f"{server_dir}/"), len("/socket/.s.PGSQL.12345")
    server = EmbeddedPostgres(server_dir / ("x" * (length - before - after)), durable=False)
    await server.start()
    assert server.pid is not None

    by_socket = await ask(server.admin_url, "SELECT inet_client_addr() IS NULL")
    sockets = unix_listeners(server.pid)
    await server.stop()

    assert by_socket is has_socket
    assert len(sockets) == (1 if has_socket else 0)


@pytest.mark.parametrize("folder", ["one,two", "b\udce4d"])
async def test_a_folder_that_no_url_can_name_leaves_tcp(server_dir: Path, folder: str) -> None:
    server = EmbeddedPostgres(server_dir / folder, durable=False)
    await server.start()

    by_socket = await ask(server.admin_url, "SELECT inet_client_addr() IS NULL")
    await server.stop()

    assert by_socket is False


async def test_secrets_lie_in_files_of_their_owner_alone(server: EmbeddedPostgres, server_dir: Path) -> None:
    await server.start()
    password = json.loads((server_dir / "credentials.json").read_text())["aif_admin"]

    assert names_of_files_with(password, server_dir) == ["credentials.json"]
    assert permissions(server_dir / "credentials.json") == 0o600
    assert permissions(server_dir / "cluster") == 0o700


async def test_it_does_not_inherit_the_secrets_of_the_supervisor(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-yours")

    await server.start()
    assert server.pid is not None

    assert "OPENAI_API_KEY" not in environment(server.pid)


async def test_only_a_cluster_that_may_be_lost_runs_without_fsync(server: EmbeddedPostgres, server_dir: Path) -> None:
    durable = EmbeddedPostgres(server_dir.with_name(f"{server_dir.name}-durable"))
    await asyncio.gather(server.start(), durable.start())

    fsync_of_test = await ask(server.admin_url, "SHOW fsync")
    fsync_of_durable = await ask(durable.admin_url, "SHOW fsync")
    await durable.stop()

    assert (fsync_of_test, fsync_of_durable) == ("off", "on")


@pytest.mark.skipif(sys.platform != "linux", reason="another method elsewhere")
async def test_a_commit_is_written_and_made_durable_by_one_call(server: EmbeddedPostgres) -> None:
    await server.start()

    assert await ask(server.admin_url, "SHOW wal_sync_method") == "open_datasync"


async def test_an_interrupted_first_start_is_begun_anew(server: EmbeddedPostgres, server_dir: Path) -> None:
    half_made = server_dir / "cluster.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")

    await server.start()

    assert await ask(server.admin_url, "SELECT 1") == 1
    assert not half_made.exists()


async def test_a_second_supervisor_of_one_folder_is_refused(server: EmbeddedPostgres, server_dir: Path) -> None:
    await server.start()

    with pytest.raises(DataFolderInUse, match="stop that one first"):
        await EmbeddedPostgres(server_dir, durable=False).start()

    assert await ask(server.admin_url, "SELECT 1") == 1


async def test_a_taken_port_that_was_asked_for_is_named(server_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]

        with pytest.raises(PortTaken, match=f"127.0.0.1:{port}"):
            await EmbeddedPostgres(server_dir, port, durable=False).start()


@pytest.mark.parametrize("content", [None, "{}", '{"aif_admin": "wrong"}'])
async def test_a_lost_password_keeps_the_data_and_names_the_mend(
    server: EmbeddedPostgres, server_dir: Path, content: str | None
) -> None:
    await server.start()
    await server.stop()
    credentials = server_dir / "credentials.json"
    if content is None:
        credentials.unlink()
    else:
        credentials.write_text(content)

    with pytest.raises(AdminPasswordLost, match="restore that file from a backup"):
        await server.start()

    assert (server_dir / "cluster" / "PG_VERSION").exists()


async def test_a_damaged_credentials_file_is_not_overwritten(server: EmbeddedPostgres, server_dir: Path) -> None:
    await server.start()
    await server.stop()
    (server_dir / "credentials.json").write_text("{half")

    with pytest.raises(CredentialsUnreadable, match=r"credentials\.json does not hold the names and passwords"):
        await server.start()

    assert (server_dir / "credentials.json").read_text() == "{half"


async def test_a_file_in_the_way_of_the_data_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("I was here first")

    with pytest.raises(DataFolderUnusable, match="Not a directory"):
        await EmbeddedPostgres(tmp_path / "data" / "postgres").start()


async def test_it_dies_with_a_killed_supervisor(server_dir: Path, start_supervisor: StartSupervisor) -> None:
    supervisor = await start_supervisor("postgres", server_dir)
    assert supervisor.stdout is not None
    pid = json.loads(await supervisor.stdout.readline())["pid"]

    supervisor.kill()
    await supervisor.wait()

    await eventually(lambda: not is_alive(pid), what="the postmaster has ended")


async def test_a_postmaster_left_behind_by_a_killed_supervisor_is_replaced(
    server: EmbeddedPostgres, server_dir: Path, start_supervisor: StartSupervisor
) -> None:
    supervisor = await start_supervisor("postgres", server_dir)
    assert supervisor.stdout is not None
    orphan = json.loads(await supervisor.stdout.readline())
    await store_orders(orphan["url"])
    os.kill(orphan["pid"], signal.SIGSTOP)  # too stuck to act on its supervisor's death
    supervisor.kill()
    await supervisor.wait()

    await server.start()

    assert not is_alive(orphan["pid"])
    assert server.admin_url == orphan["url"]
    assert await count_orders(server.admin_url) == 2


@pytest.fixture
def closed_dir(tmp_path: Path) -> Path:
    """A folder that only its owner may enter."""
    tmp_path.chmod(0o700)
    return tmp_path


@only_as_root
@needs_namespaces
async def test_root_s_closed_folders_are_reached_in_a_user_namespace(
    closed_dir: Path, start_supervisor: StartSupervisor
) -> None:
    supervisor = await start_supervisor("postgres", closed_dir / "data")
    assert supervisor.stdout is not None
    started = json.loads(await supervisor.stdout.readline())

    answer = await ask(started["url"], "SELECT 1")
    supervisor.kill()
    await supervisor.wait()

    assert answer == 1
    assert (closed_dir / "data" / "cluster").stat().st_uid == 0
    assert permissions(closed_dir) == 0o700
    await eventually(lambda: not is_alive(started["pid"]), what="the postmaster has ended")


@only_as_root
@needs_namespaces
async def test_a_cluster_follows_when_its_folder_is_closed_and_opened(server_dir: Path) -> None:
    folder = server_dir / "outer" / "data"
    folder.mkdir(parents=True)
    server = EmbeddedPostgres(folder, durable=False)
    await server.start()
    await store_orders(server.admin_url)
    await server.stop()

    owners, orders = [], []
    for mode in (0o700, 0o711):
        folder.parent.chmod(mode)
        await server.start()
        orders.append(await count_orders(server.admin_url))
        owners.append((folder / "cluster").stat().st_uid)
        await server.stop()

    assert orders == [2, 2]
    assert owners == [0, 65534]


@only_as_root
async def test_root_without_a_way_out_is_told_what_to_do(closed_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = closed_dir / "programs"
    programs.mkdir()
    (programs / "test").symlink_to(shutil.which("test") or "")
    monkeypatch.setenv("PATH", str(programs))

    with pytest.raises(NoUnprivilegedUser, match=r"start as an ordinary user.*AIF_POSTGRES_URL"):
        await EmbeddedPostgres(closed_dir / "data").start()


@only_as_root
@needs_namespaces
async def test_an_ordinary_user_runs_it_directly(closed_dir: Path, start_supervisor: StartSupervisor) -> None:
    ordinary = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    supervisor = await start_supervisor("postgres", closed_dir / "data", prefix=ordinary)
    assert supervisor.stdout is not None
    started = json.loads(await supervisor.stdout.readline())

    answer = await ask(started["url"], "SELECT 1")
    await supervisor.communicate(b"")

    assert answer == 1
    assert supervisor.returncode == 0
    assert not is_alive(started["pid"])


def test_a_platform_without_the_wheel_is_told_of_the_external_server() -> None:
    with pytest.raises(BinaryMissing, match="AIF_POSTGRES_URL"):
        postgres_binaries.find("no-such-wheel")
