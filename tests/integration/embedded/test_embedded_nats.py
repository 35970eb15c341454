"""The NATS server that a single machine runs for itself."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import nats
import pytest
import pytest_asyncio

from aif_console.embedded.nats_server import EmbeddedNats, find_nats_server
from aif_console.failures import BinaryMissing, DataFolderInUse, PortTaken, ServerDidNotStart, ServerIsRunning
from support.kernel_view import environment, is_alive, tcp_listeners
from support.waiting import eventually

LOCALHOST = "0100007F"
StartSupervisor = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest_asyncio.fixture
async def server(server_dir: Path) -> AsyncIterator[EmbeddedNats]:
    embedded = EmbeddedNats(server_dir)
    yield embedded
    await embedded.stop()


async def store_orders(url: str, *orders: bytes) -> None:
    connection = await nats.connect(url)
    jetstream = connection.jetstream()
    await jetstream.add_stream(name="orders", subjects=["orders"])
    for order in orders:
        await jetstream.publish("orders", order)
    await connection.close()


async def stored_streams(url: str) -> dict[str, int]:
    connection = await nats.connect(url)
    streams = {str(s.config.name): s.state.messages for s in await connection.jetstream().streams_info()}
    await connection.close()
    return streams


async def test_a_second_start_continues_with_the_data_on_the_same_port(server_dir: Path) -> None:
    first = EmbeddedNats(server_dir)
    await first.start()
    await store_orders(first.url, b"one", b"two")
    await first.stop()

    second = EmbeddedNats(server_dir)
    await second.start()
    streams = await stored_streams(second.url)
    await second.stop()

    assert streams == {"orders": 2}
    assert second.url == first.url


async def test_a_killed_server_has_every_acknowledged_message_after_the_next_start(server: EmbeddedNats) -> None:
    await server.start()
    await store_orders(server.url, b"one", b"two", b"three")

    await server.kill()
    running_after_kill = server.is_running
    await server.start()

    assert running_after_kill is False
    assert await stored_streams(server.url) == {"orders": 3}


async def test_a_wiped_server_starts_with_an_empty_store(server: EmbeddedNats) -> None:
    await server.start()
    await store_orders(server.url, b"one")
    await server.stop()

    server.wipe()
    await server.start()

    assert await stored_streams(server.url) == {}


async def test_the_store_of_a_running_server_is_not_wiped(server: EmbeddedNats, server_dir: Path) -> None:
    await server.start()
    await store_orders(server.url, b"one")

    with pytest.raises(ServerIsRunning, match="stop it before you delete its store"):
        server.wipe()
    with pytest.raises(DataFolderInUse):
        EmbeddedNats(server_dir).wipe()

    assert await stored_streams(server.url) == {"orders": 1}


async def test_it_listens_on_localhost_only(server: EmbeddedNats) -> None:
    await server.start()
    assert server.pid is not None

    assert tcp_listeners(server.pid) == [(LOCALHOST, server.port)]


async def test_it_syncs_every_message_before_the_acknowledgement(server: EmbeddedNats, server_dir: Path) -> None:
    await server.start()

    configuration = json.loads((server_dir / "nats.conf").read_text())

    assert configuration["jetstream"]["sync_interval"] == "always"
    assert configuration["max_payload"] == 1_048_576


async def test_it_does_not_inherit_the_secrets_of_the_supervisor(server: EmbeddedNats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-yours")

    await server.start()
    assert server.pid is not None

    assert "OPENAI_API_KEY" not in environment(server.pid)


async def test_two_servers_run_at_once(server: EmbeddedNats, server_dir: Path) -> None:
    other = EmbeddedNats(server_dir.with_name(f"{server_dir.name}-other"))

    await asyncio.gather(server.start(), other.start())
    await store_orders(server.url, b"one")
    other_streams = await stored_streams(other.url)
    await other.stop()

    assert other_streams == {}


async def test_a_second_supervisor_of_one_folder_is_refused(server: EmbeddedNats, server_dir: Path) -> None:
    await server.start()

    with pytest.raises(DataFolderInUse, match="stop that one first"):
        await EmbeddedNats(server_dir).start()

    assert server.is_running


async def test_a_taken_port_that_was_asked_for_is_named(server_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]

        with pytest.raises(PortTaken, match=f"127.0.0.1:{port}"):
            await EmbeddedNats(server_dir, port).start()


async def test_a_stranger_on_the_remembered_port_makes_it_choose_another(server: EmbeddedNats, server_dir: Path) -> None:
    await server.start()
    first_port = server.port
    await server.stop()

    with socket.create_server(("127.0.0.1", first_port)):
        await server.start()

    assert server.port != first_port
    assert (server_dir / "port").read_text() == f"{server.port}\n"


def remember(folder: Path, port: str) -> None:
    folder.mkdir()
    (folder / "port").write_text(port)


@pytest.mark.parametrize("noted", ["", "nonsense", "-5", "0", "99999999"])
async def test_a_remembered_port_that_is_none_makes_it_choose_another(
    server: EmbeddedNats, server_dir: Path, noted: str
) -> None:
    remember(server_dir, noted)

    await server.start()

    assert (server_dir / "port").read_text() == f"{server.port}\n"


async def test_a_server_that_cannot_start_says_why_in_its_own_words(server_dir: Path) -> None:
    broken = EmbeddedNats(server_dir, sync_interval="sometimes")

    with pytest.raises(ServerDidNotStart, match="sync_interval"):
        await broken.start()

    assert broken.is_running is False


async def test_its_end_is_noticed(server: EmbeddedNats) -> None:
    await server.start()
    assert server.pid is not None

    os.kill(server.pid, signal.SIGKILL)
    code = await asyncio.wait_for(server.wait(), 30)

    assert code == -signal.SIGKILL


async def test_it_dies_with_a_killed_supervisor(server_dir: Path, start_supervisor: StartSupervisor) -> None:
    supervisor = await start_supervisor("nats", server_dir)
    assert supervisor.stdout is not None
    pid = json.loads(await supervisor.stdout.readline())["pid"]

    supervisor.kill()
    await supervisor.wait()

    await eventually(lambda: not is_alive(pid), what="the server has ended")


async def test_a_server_left_behind_by_a_killed_supervisor_is_replaced(
    server: EmbeddedNats, server_dir: Path, start_supervisor: StartSupervisor
) -> None:
    supervisor = await start_supervisor("nats", server_dir)
    assert supervisor.stdout is not None
    orphan = json.loads(await supervisor.stdout.readline())
    await store_orders(orphan["url"], b"one")
    os.kill(orphan["pid"], signal.SIGSTOP)  # too stuck to act on its supervisor's death
    supervisor.kill()
    await supervisor.wait()

    with pytest.raises(ServerIsRunning):
        server.wipe()
    await server.start()

    assert not is_alive(orphan["pid"])
    assert server.url == orphan["url"]
    assert await stored_streams(server.url) == {"orders": 1}


def test_a_wrong_program_in_the_environment_is_named() -> None:
    with pytest.raises(BinaryMissing, match="AIF_NATS_SERVER names /nowhere/nats-server"):
        find_nats_server({"AIF_NATS_SERVER": "/nowhere/nats-server"})
