"""`aif doctor`: does this machine have what a factory needs, and is the one that runs here well?"""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import msgspec
from msgspec import Struct
from rich.console import Console
from rich.text import Text

from aif_console.embedded import postgres_binaries
from aif_console.embedded.nats_server import find_nats_server
from aif_console.embedded.ports import is_free
from aif_console.exit_codes import DONE, FAILED
from aif_console.factory.full_disks import disks_of, free_bytes_on
from aif_console.factory.plan import SERVICES, DataFolder
from aif_console.factory.running import RunningFactory, find_running
from aif_console.failures import ConsoleFailure, EmbeddedServerFailure
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.reach import find_reach
from aif_console.gateway.trouble import words_of
from aif_console.memory import memory_of_tree
from aif_console.reading.plain_text import plain, short_path
from aif_console.up import NO_MODEL, models_in
from aif_contracts.workers import ProviderRefusal
from aif_runtime.health import HealthReport
from aif_runtime.ready_file import Ready

LEAST_PYTHON = (3, 11)
LEAST_FREE_BYTES = 1024**3
HEALTH_SECONDS = 5.0
MEBIBYTE = 1024 * 1024
_STATES = {
    "left_alone": "left alone, since it has only failed lately",
    "partly_available": "left alone by some processes, since it has only failed lately",
}


class Finding(Struct, frozen=True, kw_only=True):
    what: str
    is_well: bool
    words: str


class LiveProvider(Struct, frozen=True, kw_only=True):
    name: str
    is_local: bool
    state: str = "available"
    refusals: tuple[ProviderRefusal, ...] = ()


class LiveProviders(Struct, frozen=True, kw_only=True):
    providers: tuple[LiveProvider, ...]


async def run_doctor(folder: DataFolder, port: int, environ: Mapping[str, str], console: Console) -> int:
    """Print what was found. Returns 1 when something is not as it should be."""
    findings = [_python(), *_programs(environ), *_disks(folder)]
    running = find_running(folder.running)
    if running is None:
        findings += [Finding(what="models", is_well=True, words=models_in(environ)), _port(port)]
        findings.append(Finding(what="factory", is_well=True, words=f"none runs over {short_path(folder.path)}"))
    else:
        findings.append(Finding(what="factory", is_well=True, words=f"{running.kam_url}, process {running.pid}"))
        findings.append(await _models_of(running, folder))
        findings += [await _health(folder, service.name) for service in SERVICES]
        findings.append(_memory(running.pid))
    for finding in findings:
        mark, style = ("ok  ", "green") if finding.is_well else ("BAD ", "bold red")
        console.print(Text.assemble((mark, style), (f"{finding.what:<13}", "bold"), plain(finding.words)), soft_wrap=True)
    return DONE if all(finding.is_well for finding in findings) else FAILED


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(what="python", is_well=sys.version_info >= LEAST_PYTHON, words=f"{version} at {sys.executable}")


def _programs(environ: Mapping[str, str]) -> list[Finding]:
    return [_program("nats-server", lambda: find_nats_server(environ)), _program("postgres", postgres_binaries.find)]


def _program(name: str, find: Callable[[], Path]) -> Finding:
    try:
        return Finding(what=name, is_well=True, words=str(find()))
    except EmbeddedServerFailure as missing:
        return Finding(what=name, is_well=False, words=str(missing))


def _disks(folder: DataFolder) -> list[Finding]:
    """Of the data folder, and of its parts that lie elsewhere."""
    there = next(each for each in (folder.path, *folder.path.parents) if each.exists())
    return [_disk(folder.path, there), *(_disk(place, place) for place in disks_of(folder) if place != folder.path)]


def _disk(path: Path, there: Path) -> Finding:
    free = free_bytes_on(there)
    may_write = os.access(there, os.W_OK | os.X_OK)
    words = f"{free / 1024**3:.1f} GiB free for {short_path(path)}"
    if not may_write:
        words = f"{there} cannot be written: name another folder with --data"
    elif free < LEAST_FREE_BYTES:
        words += ": a factory needs 1 GiB at least"
    return Finding(what="disk", is_well=may_write and free >= LEAST_FREE_BYTES, words=words)


def _port(port: int) -> Finding:
    words = f"{port} is free" if is_free(port) else f"{port} is taken; `aif up` takes the next free one"
    return Finding(what="port", is_well=True, words=words)


async def _models_of(running: RunningFactory, folder: DataFolder) -> Finding:
    """What its workers have, which the keys in this terminal's environment do not tell."""
    try:
        reach = find_reach(url=running.kam_url, key=None, folder=folder, environ={})
        async with Gateway(reach.url, reach.key) as gateway:
            found = await gateway.ask("GET", "/api/v1/ai/pipelines/providers", LiveProviders)
    except ConsoleFailure as failure:
        # Its mend is to start a factory, and one runs.
        why = str(failure).partition("\n")[0]
        return Finding(what="models", is_well=True, words=f"not known: {why}")
    paid = [each for each in found.providers if not each.is_local]
    troubled = {each.name: words for each in paid if (words := _trouble_of(each)) is not None}
    named = [f"{each.name} ({troubled[each.name]})" if each.name in troubled else each.name for each in paid]
    return Finding(what="models", is_well=not troubled, words=" and ".join(named) or NO_MODEL)


def _trouble_of(provider: LiveProvider) -> str | None:
    if provider.refusals:
        told = (f"{each.kind} of {each.model}, since {each.since}, last at {each.last_at}" for each in provider.refusals)
        return f"refuses our calls: {'; '.join(told)}"
    return _STATES.get(provider.state)


async def _health(folder: DataFolder, service: str) -> Finding:
    """What the service itself says, on the port that its ready file names."""
    try:
        ready = msgspec.json.decode((folder.marks / f"{service}.ready").read_bytes(), type=Ready)
        async with httpx.AsyncClient(timeout=HEALTH_SECONDS, trust_env=False) as http:
            answer = await http.get(f"http://127.0.0.1:{ready.port}/health")
        report = msgspec.json.decode(answer.content, type=HealthReport)
    except (OSError, httpx.HTTPError, msgspec.MsgspecError) as failure:
        return Finding(
            what=service, is_well=False, words=f"does not answer ({words_of(failure)}); its log: {folder.logs / service}.log"
        )
    wrong = "; ".join(f"{name}: {check.detail}" for name, check in report.checks.items() if check.status != "ok")
    status = "works" if report.status == "ok" and wrong else report.status
    words = f"{status}, process {ready.pid}, port {ready.port}" + (f"; {wrong}" if wrong else "")
    return Finding(what=service, is_well=report.status == "ok" and not wrong, words=words)


def _memory(pid: int) -> Finding:
    size = memory_of_tree(pid)
    words = "unknown on this system" if size is None else f"{size / MEBIBYTE:.0f} MiB in all processes together"
    return Finding(what="memory", is_well=True, words=words)
