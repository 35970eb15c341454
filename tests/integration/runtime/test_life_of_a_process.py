"""A service process as its supervisor sees it: started as a child, watched by its ready file, told by signals."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from support.waiting import eventually

PROGRAM = """
import asyncio, contextlib, sys
from aif_runtime.failures import BusUnavailable, DatabaseUnavailable, MigrationRefused
from aif_runtime.process import Assembled, Part, run_service
from aif_runtime.process_settings import CommonSettings

def tell(text):
    print(text, flush=True)

@contextlib.asynccontextmanager
async def wire(surroundings):
{wiring}
    tell("closed")

sys.exit(run_service(service="hive", settings_type=CommonSettings, wire=wire))
"""

WAITING = """
    async def part(stop):
        await stop.wait()
        tell("drained")
    yield Assembled(parts=(Part(name="part", run=part),))
"""


class Service:
    def __init__(self, process: asyncio.subprocess.Process, ready_file: Path) -> None:
        self._process = process
        self._ready_file = ready_file

    async def ready(self) -> dict[str, Any]:
        await eventually(lambda: self._ready_file.exists() or self._process.returncode is not None, 20, what="it is ready")
        content: dict[str, Any] = msgspec.json.decode(self._ready_file.read_bytes())
        return content

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()

    async def ended(self) -> tuple[int, list[str], list[dict[str, Any]]]:
        """Exit code, what it told, what it logged."""
        out, err = await asyncio.wait_for(self._process.communicate(), 60)
        assert self._process.returncode is not None
        logged = [msgspec.json.decode(line) for line in err.splitlines() if line.startswith(b"{")]
        return self._process.returncode, out.decode().splitlines(), logged

    async def ended_with_lines(self) -> tuple[int | None, list[str]]:
        """Exit code and the plain lines on stderr."""
        _, err = await asyncio.wait_for(self._process.communicate(), 60)
        return self._process.returncode, err.decode().splitlines()

    async def first_words(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()


class Starter:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[Service] = []

    async def __call__(self, *wiring: str, **variables: str) -> Service:
        body = "\n".join(textwrap.dedent(piece) for piece in wiring)
        program = self._folder / "program.py"
        program.write_text(PROGRAM.format(wiring=textwrap.indent(body, "    ")))
        ready_file = self._folder / "ready.json"
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("AIF_", "OTEL_"))}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(program),
            env=environ | {"AIF_READY_FILE": str(ready_file)} | variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        service = Service(process, ready_file)
        self.started.append(service)
        return service


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Starter]:
    starter = Starter(tmp_path)
    yield starter
    for service in starter.started:
        await service.kill()


def events(logged: list[dict[str, Any]]) -> list[str]:
    return [line["event"] for line in logged]


async def test_it_tells_its_port_when_it_is_ready_and_drains_on_sigterm(start: Starter) -> None:
    service = await start(WAITING)
    ready = await service.ready()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ready['port']}") as client:
        health = await client.get("/health")
        metrics = await client.get("/metrics")
        elsewhere = await client.get("/")

    service.send(signal.SIGTERM)
    code, told, logged = await service.ended()

    assert ready["service"] == "hive"
    assert (health.status_code, health.json()["status"], health.json()["draining"]) == (200, "ok", False)
    assert metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert 'aif_service_info{service="hive"' in metrics.text
    assert metrics.text.endswith("# EOF\n")
    assert elsewhere.status_code == 404
    assert (code, told) == (0, ["drained", "closed"])
    assert events(logged) == ["ready", "signal_received", "draining", "stopped"]


async def test_while_it_drains_it_is_not_ready(start: Starter) -> None:
    service = await start(
        """
        async def part(stop):
            await stop.wait()
            tell("draining")
            await asyncio.Event().wait()
        async def check():
            return None
        surroundings.health.add("fine", check)
        yield Assembled(parts=(Part(name="part", run=part),))
        """
    )
    ready = await service.ready()

    service.send(signal.SIGTERM)
    await service.first_words()
    async with httpx.AsyncClient() as client:
        health = await client.get(f"http://127.0.0.1:{ready['port']}/health")

    assert health.status_code == 503
    assert health.json() == {
        "service": "hive",
        "version": health.json()["version"],
        "status": "draining",
        "draining": True,
        "checks": {"fine": {"status": "ok", "detail": ""}},
    }


async def test_a_second_signal_ends_it_at_once(start: Starter) -> None:
    service = await start(
        """
        async def part(stop):
            await stop.wait()
            tell("draining")
            await asyncio.Event().wait()
        yield Assembled(parts=(Part(name="part", run=part),))
        """
    )
    await service.ready()

    service.send(signal.SIGTERM)
    await service.first_words()
    service.send(signal.SIGTERM)
    code, told, _ = await service.ended()

    assert code == 128 + signal.SIGTERM
    assert told == []


async def test_a_part_that_does_not_drain_in_time_is_cancelled(start: Starter) -> None:
    service = await start(
        """
        async def part(stop):
            try:
                await asyncio.Event().wait()
            finally:
                tell("cancelled")
        yield Assembled(parts=(Part(name="stubborn", run=part),))
        """,
        AIF_DRAIN_SECONDS="0.1",
    )
    await service.ready()

    service.send(signal.SIGINT)
    code, told, logged = await service.ended()

    assert (code, told) == (0, ["cancelled", "closed"])
    assert [line["part"] for line in logged if line["event"] == "part_did_not_drain"] == ["stubborn"]


@pytest.mark.parametrize(
    "stuck",
    [
        "await asyncio.Event().wait()",
        "await asyncio.to_thread(time.sleep, 3600)",
        "time.sleep(3600)",
    ],
)
async def test_what_does_not_end_is_left_behind_soon_after_the_drain_time(start: Starter, stuck: str) -> None:
    service = await start(
        f"""
        import time
        async def part(stop):
            while True:
                with contextlib.suppress(asyncio.CancelledError):
                    await stop.wait()
                    {stuck}
        yield Assembled(parts=(Part(name="stubborn", run=part),))
        """,
        AIF_DRAIN_SECONDS="0.1",
    )
    await service.ready()

    service.send(signal.SIGTERM)
    code, _, logged = await service.ended()

    assert code == 1
    assert events(logged)[-1] == "not_ended_in_time"


async def test_a_part_that_breaks_ends_the_process_in_order(start: Starter) -> None:
    service = await start(
        """
        async def broken(stop):
            raise RuntimeError("no more honey")
        async def other(stop):
            await stop.wait()
            tell("drained")
        yield Assembled(parts=(Part(name="broken", run=broken), Part(name="other", run=other)))
        """
    )
    code, told, logged = await service.ended()

    assert (code, told) == (1, ["drained", "closed"])
    [line] = [line for line in logged if line["event"] == "part_broke"]
    assert line["part"] == "broken"
    assert "no more honey" in line["traceback"]


async def test_a_part_that_ends_by_itself_is_a_broken_part(start: Starter) -> None:
    service = await start(
        """
        async def part(stop):
            pass
        yield Assembled(parts=(Part(name="tired", run=part),))
        """
    )
    code, told, logged = await service.ended()

    assert (code, told) == (1, ["closed"])
    assert "part_broke" in events(logged)


async def test_mistakes_in_the_settings_are_one_line_each_and_code_2(start: Starter) -> None:
    service = await start(WAITING, AIF_HEALTH_PORT="honey", AIF_LOG_LEVEL="loud")
    code, lines = await service.ended_with_lines()

    assert code == 2
    assert lines == [
        "hive: AIF_HEALTH_PORT is 'honey': set it to a whole number (Port for /health and /metrics; 0 takes any free one)",
        "hive: AIF_LOG_LEVEL is 'loud': set it to one of debug, info, warning, error (Least level that is logged)",
    ]


async def test_it_waits_for_a_server_that_is_still_starting(start: Starter) -> None:
    service = await start(
        """
        from prometheus_client import Counter
        Counter("tries", "Tries", registry=surroundings.registry).inc()
        with contextlib.suppress(FileExistsError):
            open(surroundings.settings.ready_file + ".first", "x").close()
            raise DatabaseUnavailable("Postgres cannot be reached")
        with contextlib.suppress(FileExistsError):
            open(surroundings.settings.ready_file + ".second", "x").close()
            raise BusUnavailable("the broker does not answer")
        """,
        WAITING,
    )
    ready = await service.ready()
    async with httpx.AsyncClient() as client:
        metrics = await client.get(f"http://127.0.0.1:{ready['port']}/metrics")

    service.send(signal.SIGTERM)
    code, told, logged = await service.ended()

    assert (code, told) == (0, ["drained", "closed"])
    assert "tries_total 1.0" in metrics.text
    assert [(line["event"], line.get("reason")) for line in logged[:3]] == [
        ("waiting_for_server", "Postgres cannot be reached"),
        ("waiting_for_server", "the broker does not answer"),
        ("ready", None),
    ]


async def test_what_waiting_does_not_mend_is_one_clear_line_and_code_2(start: Starter) -> None:
    service = await start(
        """
        raise MigrationRefused("the schema is newer than this program")
        yield
        """
    )
    code, told, logged = await service.ended()

    assert (code, told) == (2, [])
    assert [(line["event"], line["code"], line["reason"]) for line in logged] == [
        ("cannot_start", "migration_refused", "the schema is newer than this program")
    ]


async def test_sigterm_while_it_waits_for_a_server_ends_it_well(start: Starter) -> None:
    service = await start(
        """
        tell("asked")
        raise DatabaseUnavailable("Postgres cannot be reached")
        yield
        """
    )
    await service.first_words()

    service.send(signal.SIGTERM)
    code, _, logged = await service.ended()

    assert code == 0
    assert "ready" not in events(logged)


async def test_a_port_that_is_taken_is_told(start: Starter) -> None:
    taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]

    service = await start(WAITING, AIF_HEALTH_PORT=str(port))
    code, _, logged = await service.ended()
    taken.close()

    assert code == 2
    assert logged[0]["reason"] == (
        f"cannot listen on 127.0.0.1 port {port}: Address already in use; choose another port, or 0 for any"
    )


@pytest.mark.parametrize("answer", ["return 'the broker is away'", "raise DatabaseUnavailable('the broker is away')"])
async def test_a_failing_check_makes_it_unready(start: Starter, answer: str) -> None:
    service = await start(
        f"""
        async def check():
            {answer}
        surroundings.health.add("nats", check)
        """,
        WAITING,
    )
    ready = await service.ready()

    async with httpx.AsyncClient() as client:
        health = await client.get(f"http://127.0.0.1:{ready['port']}/health")

    assert (health.status_code, health.json()["status"]) == (503, "failing")
    assert health.json()["checks"] == {"nats": {"status": "failing", "detail": "the broker is away"}}


async def test_a_face_of_its_own_is_served_in_place_of_the_health_page(start: Starter) -> None:
    service = await start(
        """
        from aif_runtime.process import Face
        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"hello"})
        yield Assembled(face=Face(app=app, host="127.0.0.1", port=0))
        """
    )
    ready = await service.ready()

    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{ready['port']}/")
    service.send(signal.SIGTERM)
    code, told, _ = await service.ended()

    assert answer.text == "hello"
    assert (code, told) == (0, ["closed"])
