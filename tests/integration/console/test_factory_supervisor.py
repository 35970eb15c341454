"""The supervisor over pretended services: starts, restarts, refusals, ends."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import nats
import pytest
from msgspec.structs import replace

from aif_console.factory.factory import Factory
from aif_console.factory.plan import DataFolder
from aif_console.factory.running import RunningFactory, find_running, note_running
from aif_console.failures import DataFolderUnusable, FactoryIsRunning, FactoryUnreachable, ServerDidNotStart
from aif_console.gateway.reach import find_reach
from support.kernel_view import environment, is_alive
from support.pretended_services import NOWHERE, let_go_on, notes_of, plan_of, pretended
from support.waiting import eventually

HOST_OF_A_FACTORY = """
import asyncio, json, sys
from pathlib import Path
from aif_console.factory.factory import Factory
from support.pretended_services import plan_of, pretended

async def main():
    factory = Factory(plan_of(Path(sys.argv[1]), pretended("one"), pretended("two", "deaf")))
    await factory.start()
    print(json.dumps(factory.pids), flush=True)
    await factory.wait()

asyncio.run(main())
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def test_it_is_ready_when_all_services_are(data_dir: Path) -> None:
    plan = plan_of(data_dir, pretended("one"), pretended("two"))
    factory = Factory(plan)

    await factory.start()
    pids = factory.pids
    await factory.stop()

    assert pids.keys() == {"one", "two"}
    assert sorted(notes_of(plan)[:2]) == ["one starts", "two starts"]
    assert not any(is_alive(pid) for pid in pids.values())


async def test_others_on_the_machine_learn_where_it_is_while_it_runs(data_dir: Path) -> None:
    factory = Factory(plan_of(data_dir, pretended("one")))

    await factory.start()
    running = find_running(DataFolder(data_dir).running)
    await factory.stop()

    assert running is not None
    assert (running.pid, running.kam_url, running.nats_url) == (os.getpid(), factory.kam_url, NOWHERE)
    assert find_running(DataFolder(data_dir).running) is None


async def test_the_note_of_a_factory_that_was_killed_is_none_of_a_running_one(data_dir: Path) -> None:
    factory = Factory(plan_of(data_dir, pretended("one")))
    await factory.start()
    note = DataFolder(data_dir).running
    left = note.read_bytes()
    await factory.stop()

    note.write_bytes(left)
    with pytest.raises(FactoryUnreachable, match="no factory runs over"):
        find_reach(url=None, key=None, folder=DataFolder(data_dir), environ={})

    assert find_running(note) is None


async def test_while_a_factory_starts_nobody_takes_the_note_of_a_killed_one_for_its_own(data_dir: Path) -> None:
    folder = DataFolder(data_dir)
    folder.make()
    note_running(folder.running, RunningFactory(pid=1, kam_url="http://127.0.0.1:1", nats_url=NOWHERE))
    factory = Factory(plan_of(data_dir, pretended("mute", "silent")))

    starting = asyncio.create_task(factory.start())
    await eventually(lambda: factory.pids, what="it starts")
    seen = find_running(folder.running)
    starting.cancel()
    await asyncio.wait([starting])

    assert seen is None


async def test_a_service_that_is_killed_runs_again_and_it_is_told(data_dir: Path) -> None:
    told: list[str] = []
    factory = Factory(
        plan_of(data_dir, pretended("one"), pretended("two")), tell=lambda name, words: told.append(f"{name} {words}")
    )
    await factory.start()
    other = factory.pids["two"]

    killed = factory.kill("one")
    await eventually(lambda: factory.pids.get("one", killed) != killed, what="another process serves")
    await eventually(lambda: any("runs again" in words for words in told))
    untouched = factory.pids["two"]
    await factory.stop()

    assert told[0] == "one killed by signal 9; starting it again in 0.01 s"
    assert untouched == other


async def test_a_second_factory_over_the_same_folder_is_refused_by_the_pid_of_the_first(data_dir: Path) -> None:
    first = Factory(plan_of(data_dir, pretended("one")))
    await first.start()

    second = Factory(plan_of(data_dir, pretended("one")))
    with pytest.raises(FactoryIsRunning, match=f"process {os.getpid()}") as refused:
        await second.start()
    await second.stop()
    still, note = first.pids, find_running(DataFolder(data_dir).running)
    await first.stop()

    assert refused.value.pid == os.getpid()
    assert still.keys() == {"one"}
    assert note is not None, "the refused one has taken the note of the first away"


async def test_after_the_end_of_one_the_next_factory_begins_over_the_same_folder(data_dir: Path) -> None:
    plan = plan_of(data_dir, pretended("one"))
    first = Factory(plan)
    await first.start()
    await first.stop()

    second = Factory(plan)
    await second.start()
    await second.stop()

    assert second.keys == first.keys
    assert notes_of(plan).count("one starts") == 2


async def test_a_service_that_cannot_start_ends_the_others_and_shows_its_last_words(data_dir: Path) -> None:
    plan = plan_of(data_dir, pretended("good"), pretended("bad", "broken"))
    factory = Factory(plan)

    with pytest.raises(ServerDidNotStart, match="settings are all wrong") as failure:
        await factory.start()

    assert failure.value.server == "bad"
    assert factory.pids == {}
    assert find_running(DataFolder(data_dir).running) is None


async def test_what_stands_in_its_way_in_the_folder_is_named(data_dir: Path) -> None:
    folder = DataFolder(data_dir)
    folder.make()
    folder.client_key.mkdir()
    factory = Factory(plan_of(data_dir, pretended("one")))

    with pytest.raises(DataFolderUnusable, match=r"client\.key"):
        await factory.start()
    folder.client_key.rmdir()
    await factory.start()
    await factory.stop()


async def test_services_that_are_not_ready_for_long_are_told_of_and_waited_for(data_dir: Path) -> None:
    told: list[str] = []
    plan = plan_of(data_dir, pretended("sleepy", "slow"), pretended("mute", "silent"), slow_start_seconds=0.2)
    factory = Factory(plan, tell=lambda name, words: told.append(f"{name} {words}"))

    starting = asyncio.create_task(factory.start())
    await eventually(lambda: sum(words.startswith("mute") for words in told) > 1, what="it is told of again")
    await eventually(lambda: any("it said last" in words for words in told), what="it is told what one has said")
    pids = factory.pids
    starting.cancel()
    await asyncio.wait([starting])

    last_of = {words.split()[0]: words for words in told}
    assert last_of["sleepy"].endswith(f"process {pids['sleepy']}; it said last: waiting_for_server  reason=no answer")
    assert last_of["mute"].endswith(f"process {pids['mute']}; it has said nothing")


async def test_a_service_that_takes_its_time_is_ready_in_the_end(data_dir: Path) -> None:
    told: list[str] = []
    plan = plan_of(data_dir, pretended("sleepy", "slow"), slow_start_seconds=0.2)
    factory = Factory(plan, tell=lambda name, words: told.append(f"{name} {words}"))

    starting = asyncio.create_task(factory.start())
    await eventually(lambda: told, what="it is told of")
    let_go_on(plan)
    await starting
    is_running = "sleepy" in factory.pids
    await factory.stop()

    assert is_running


async def test_services_drain_before_they_end(data_dir: Path) -> None:
    settings = {"PRETENDED_DRAIN_SECONDS": "1", "AIF_DRAIN_SECONDS": "30"}
    plan = plan_of(data_dir, pretended("one"), pretended("two"), settings=settings)
    factory = Factory(plan)
    await factory.start()

    await factory.stop()

    # All begin before one has ended: they drain at the same time.
    assert sorted(notes_of(plan)[2:4]) == ["one drains", "two drains"]
    assert sorted(notes_of(plan)[4:]) == ["one drained", "two drained"]


async def test_the_servers_still_run_while_the_services_drain(data_dir: Path) -> None:
    plan = replace(plan_of(data_dir, pretended("kam", "asking"), settings={"AIF_DRAIN_SECONDS": "30"}), nats_url=None)
    factory = Factory(plan)
    await factory.start()
    broker = factory.pids["nats"]

    await factory.stop()

    assert notes_of(plan) == ["kam starts", "kam drains", "kam hears INFO", "kam drained"]
    assert not is_alive(broker)


async def test_nobody_reaches_the_broker_without_a_password(data_dir: Path) -> None:
    factory = Factory(replace(plan_of(data_dir, pretended("kam")), nats_url=None, durable=False))
    await factory.start()
    address = DataFolder(data_dir).nats_url

    reader, writer = await asyncio.open_connection("127.0.0.1", factory.nats.port)
    writer.write(b"CONNECT {}\r\nPING\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    as_operator = await nats.connect(address.read_text().strip(), allow_reconnect=False)
    await as_operator.close()
    await factory.stop()

    assert b"-ERR 'Authorization Violation'" in answer
    assert address.stat().st_mode & 0o777 == 0o600
    assert (DataFolder(data_dir).nats / "nats.conf").stat().st_mode & 0o777 == 0o600


async def test_a_broker_that_is_killed_runs_again_where_it_was(data_dir: Path) -> None:
    factory = Factory(replace(plan_of(data_dir, pretended("kam")), nats_url=None, durable=False))
    await factory.start()
    url = factory.nats_url

    killed = factory.kill("nats")
    await eventually(lambda: factory.pids.get("nats", killed) != killed, what="another broker serves")
    again = factory.nats.url
    await factory.stop()

    assert again == url


async def test_a_service_that_does_not_end_is_killed_in_the_end(data_dir: Path) -> None:
    plan = plan_of(data_dir, pretended("deaf", "deaf"))
    factory = Factory(replace(plan, beyond_drain_seconds=1.5))
    await factory.start()
    pid = factory.pids["deaf"]

    await factory.stop()

    assert not is_alive(pid)
    assert "deaf ignores" in notes_of(plan)


async def test_a_service_sees_its_own_settings_only(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-shell")
    factory = Factory(plan_of(data_dir, pretended("one"), settings={"ANTHROPIC_API_KEY": "sk-given"}))
    await factory.start()

    seen = environment(factory.pids["one"])
    await factory.stop()

    assert "PRETENDED_NOTES" in seen
    assert not any("sk-" in value for value in seen.values())


async def test_when_the_supervisor_is_killed_its_services_end_and_a_deaf_one_is_ended_by_the_next(data_dir: Path) -> None:
    host = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOST_OF_A_FACTORY, str(data_dir)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert host.stdout is not None
    pids = json.loads(await host.stdout.readline())

    host.send_signal(signal.SIGKILL)
    await host.wait()
    await eventually(lambda: not is_alive(pids["one"]), what="the polite service follows its supervisor")
    assert is_alive(pids["two"])
    next_one = Factory(plan_of(data_dir, pretended("one"), pretended("two")))
    await next_one.start()
    await next_one.stop()

    assert not is_alive(pids["two"])
