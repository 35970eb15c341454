"""`aif up`: run everything on this machine until somebody ends it."""

import asyncio
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.text import Text

from aif_console.exit_codes import DONE, FAILED, INTERRUPTED
from aif_console.factory.external_nats import look_for_nats
from aif_console.factory.factory import Factory
from aif_console.factory.plan import DataFolder, FactoryPlan, read_by_nobody
from aif_console.reading.plain_text import short_path
from aif_console.service_logs import NAME_WIDTH, LogFollower
from aif_contracts import subjects

_KEYS_OF_PROVIDERS = (
    ("OPENAI_API_KEY", "OpenAI"),
    ("OPENAI_API_KEY_FILE", "OpenAI"),
    ("ANTHROPIC_API_KEY", "Anthropic"),
    ("ANTHROPIC_API_KEY_FILE", "Anthropic"),
)

_KEYS_OF_DEEPGRAM = ("DEEPGRAM_API_KEY", "DEEPGRAM_API_KEY_FILE")
NO_MODEL = "local extractive provider, no key needed (OPENAI_API_KEY, ANTHROPIC_API_KEY or AIF_OPENAI_BASE_URL bring a model)"


class UpWishes(Struct, frozen=True, kw_only=True):
    """What the command line of `aif up` asks for."""

    folder: DataFolder
    port: int
    verbose: bool = False
    nats_url: str | None = None
    postgres_url: str | None = None


async def run_up(wishes: UpWishes, environ: Mapping[str, str], console: Console) -> int:
    """Run a factory until SIGINT or SIGTERM; a second one does not wait for the services. Returns the exit code.

    Raises ConsoleFailure when it cannot start, SettingsInvalid for wrong settings of all services.
    """
    if wishes.nats_url is not None:
        await look_for_nats(wishes.nats_url)
    factory = Factory(
        FactoryPlan(
            data_dir=wishes.folder.path,
            settings=environ,
            kam_port=wishes.port,
            nats_url=wishes.nats_url,
            postgres_url=wishes.postgres_url,
        ),
        tell=lambda member, words: console.print(_told(member, words)),
    )
    signals = _Signals()
    logs = {kind.name: wishes.folder.logs / f"{kind.name}.log" for kind in factory.plan.services}
    logs |= {"nats": wishes.folder.nats / "nats.log", "postgres": wishes.folder.postgres / "postgres.log"}
    follower = LogFollower(logs, show=console.print, everything=wishes.verbose)
    following = asyncio.create_task(follower.run())
    try:
        return await _live(factory, wishes, environ, console, signals)
    finally:
        # A terminal that was closed makes printing fail; the factory is to end in order all the same.
        await factory.stop()
        following.cancel()
        await asyncio.wait([following])


class _Signals:
    """Counts the wishes to end."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._received)

    def _received(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


async def _live(factory: Factory, wishes: UpWishes, environ: Mapping[str, str], console: Console, signals: _Signals) -> int:
    begun = time.monotonic()
    console.print(f"starting the factory over {short_path(wishes.folder.path)} …")
    for name in read_by_nobody(environ, factory.plan.services):
        console.print(_told("settings", f"nobody reads {name} here; deploy/env.example has every name"))
    starting = asyncio.create_task(factory.start())
    if not await _before(signals.first, starting):
        starting.cancel()
        await asyncio.wait([starting])
        console.print("stopped before it was ready")
        return DONE
    await starting
    console.print(greeting(factory, wishes, environ, time.monotonic() - begun))
    living = asyncio.create_task(factory.wait())
    ended_by_itself = await _before(signals.first, living)
    console.print("stopping: what is in work is finished or handed back; Ctrl-C again kills")
    stopping = asyncio.create_task(factory.stop())
    if not await _before(signals.second, stopping):
        stopping.cancel()
        await asyncio.wait([stopping])
        await factory.kill_all()
        console.print("killed; what was in work is taken up again at the next start")
        return INTERRUPTED
    await stopping
    if ended_by_itself:
        await living
        return FAILED
    living.cancel()
    console.print(f"stopped. The data stays in {short_path(wishes.folder.path)}")
    return DONE


async def _before(wish: asyncio.Event, step: asyncio.Task[None]) -> bool:
    """Wait for a step or for the wish to end. True when the step was first."""
    wishing = asyncio.create_task(wish.wait())
    await asyncio.wait([wishing, step], return_when=asyncio.FIRST_COMPLETED)
    wishing.cancel()
    return step.done()


def greeting(factory: Factory, wishes: UpWishes, environ: Mapping[str, str], seconds: float) -> Text:
    """Where to look, and how to order. Commands stand on one line each, to be copied."""
    folder, url = factory.folder, factory.kam_url
    rows = [("Ready", f"after {seconds:.1f} s")]
    if factory.kam_port != wishes.port:
        rows.append(("Port", f"{wishes.port} is taken, so it is {factory.kam_port} this time"))
    rows += [
        ("Factory", url),
        ("API", f"{url}/docs"),
        ("Health", f"{url}/health"),
        ("NATS", f"{factory.nats_url}   orders: {subjects.submit(factory.keys.client_id)}"),
        *([("", f"user and password: {short_path(folder.nats_url)}")] if wishes.nats_url is None else []),
        ("Data", f"{short_path(folder.path)}   logs: {short_path(folder.logs)}"),
        ("Models", models_in(environ)),
        ("Order", _order_line(wishes)),
        ("or", _curl_line(factory)),
        ("Stop", "Ctrl-C; the data stays, and the next start continues"),
    ]
    text = Text()
    for name, words in rows:
        text.append(f"\n  {name:<9}", style="bold")
        text.append(words)
    return text.append("\n")


def models_in(environ: Mapping[str, str]) -> str:
    """Who writes the structures and who hears recordings, by the keys that are set."""
    named = list(dict.fromkeys(name for variable, name in _KEYS_OF_PROVIDERS if environ.get(variable)))
    compatible = environ.get("AIF_OPENAI_BASE_URL")
    if compatible:
        named = [f"the OpenAI-compatible server at {compatible}", *(name for name in named if name != "OpenAI")]
    hears = any(environ.get(variable) for variable in _KEYS_OF_DEEPGRAM)
    return (" and ".join(named) or NO_MODEL) + ("; Deepgram hears recordings" if hears else "")


def _order_line(wishes: UpWishes) -> str:
    elsewhere = "" if wishes.folder.path == Path("var").resolve() else f" --data {shlex.quote(short_path(wishes.folder.path))}"
    return f"{_program()} order course --source samples/beekeeping.md --watch{elsewhere}"


def _program() -> str:
    """How to call `aif` from where the operator stands: it need not be on the search path."""
    found = shutil.which("aif")
    return "aif" if found else shlex.quote(short_path(Path(sys.executable).with_name("aif")))


def _curl_line(factory: Factory) -> str:
    return (
        f'curl {factory.kam_url}/api/kam/sources -H "X-API-Key: $(cat {shlex.quote(short_path(factory.folder.client_key))})" '
        "-F source=@samples/beekeeping.md"
    )


def _told(member: str, words: str) -> Text:
    text = Text()
    text.append(f"{member:<{NAME_WIDTH}}", style="cyan")
    return text.append(words, style="yellow")
