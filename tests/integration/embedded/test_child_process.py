"""A server process under its supervisor, shown with shells instead of servers."""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from aif_console.embedded.child_process import LOG_KEPT_BYTES, ChildProcess, log_tail, run_to_end, stop_orphan
from aif_console.embedded.identity import ourselves
from support.kernel_view import is_alive
from support.waiting import eventually


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


async def start_shell(script: str, log_path: Path) -> ChildProcess:
    return await ChildProcess.start(["/bin/sh", "-c", script], identity=ourselves(), log_path=log_path)


def fill(path: Path, size_bytes: int) -> None:
    path.write_bytes(b"x" * size_bytes)


async def until_it_says(word: str, log_path: Path) -> None:
    await eventually(lambda: word in log_tail(log_path), what=f"the log says {word}")


async def test_a_process_that_ends_politely_is_not_killed(log_path: Path) -> None:
    child = await start_shell("trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done", log_path)
    await until_it_says("ready", log_path)

    await child.stop([(signal.SIGTERM, 30.0)])

    assert await child.wait() == 7
    assert "bye" in log_tail(log_path)


async def test_a_process_that_ignores_every_signal_is_killed_in_the_end(log_path: Path) -> None:
    child = await start_shell("trap '' TERM INT; echo ready; while :; do sleep 0.01; done", log_path)
    await until_it_says("ready", log_path)

    async with asyncio.timeout(30):
        await child.stop([(signal.SIGINT, 0.05), (signal.SIGTERM, 0.05)])

    assert await child.wait() == -signal.SIGKILL


async def test_stopping_what_has_ended_does_nothing(log_path: Path) -> None:
    child = await start_shell("exit 3", log_path)
    await child.wait()

    await child.stop([(signal.SIGTERM, 30.0)])

    assert await child.wait() == 3


async def test_ctrl_c_in_the_terminal_does_not_reach_it(log_path: Path) -> None:
    child = await start_shell("echo ready; while :; do sleep 0.01; done", log_path)
    await until_it_says("ready", log_path)

    groups = os.getpgid(child.pid), os.getsid(child.pid)
    await child.kill()

    assert groups == (child.pid, child.pid)


async def test_a_program_that_takes_too_long_is_gone_afterwards(log_path: Path) -> None:
    with pytest.raises(TimeoutError):
        # Far more than the shell needs to say its number.
        await run_to_end(["/bin/sh", "-c", "echo $$; exec sleep 600"], identity=ourselves(), log_path=log_path, limit_seconds=3)

    assert not is_alive(int(log_tail(log_path)))


async def test_a_long_log_is_set_aside_at_the_next_start(log_path: Path) -> None:
    fill(log_path, LOG_KEPT_BYTES + 1)

    code = await run_to_end(["/bin/sh", "-c", "echo new"], identity=ourselves(), log_path=log_path, limit_seconds=30)

    assert code == 0
    assert log_tail(log_path) == "new\n"
    assert log_path.with_name("server.log.1").stat().st_size == LOG_KEPT_BYTES + 1


@pytest.mark.parametrize("arguments", [["60", "elsewhere"], ["60", "the-folder-and-more"]])
async def test_a_process_of_somebody_else_is_never_stopped(log_path: Path, arguments: Sequence[str]) -> None:
    script = "echo ready; while :; do sleep 0.01; done"
    stranger = await ChildProcess.start(["/bin/sh", "-c", script, *arguments], identity=ourselves(), log_path=log_path)
    await until_it_says("ready", log_path)

    stopped = await stop_orphan(stranger.pid, marker="the-folder", escalation=[(signal.SIGTERM, 1.0)])
    survived = stranger.is_running
    await stranger.kill()

    assert stopped is False
    assert survived


async def test_an_orphan_that_ignores_the_polite_signal_is_killed(log_path: Path) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.01; done"
    orphan = await ChildProcess.start(["/bin/sh", "-c", script, "the-folder"], identity=ourselves(), log_path=log_path)
    await until_it_says("ready", log_path)

    stopped = await stop_orphan(orphan.pid, marker="the-folder", escalation=[(signal.SIGTERM, 0.05)])

    assert stopped is True
    assert await orphan.wait() == -signal.SIGKILL
