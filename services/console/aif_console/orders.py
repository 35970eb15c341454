"""`aif order`, `aif watch`: from a file or a topic to a deliverable on the disk and on the terminal."""

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.text import Text

from aif_console.embedded.credentials import write_private
from aif_console.exit_codes import DONE, FAILED
from aif_console.failures import BadInput
from aif_console.following.display import follow
from aif_console.gateway.answers import Result
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.reach import Reach
from aif_console.reading.figures import rendered_totals
from aif_console.reading.outline import rendered_structure
from aif_console.reading.plain_text import plain, short_path
from aif_runtime.clock import Clock

TEMPLATES = {"course": "content_granulation_course", "quiz": "content_granulation_quiz"}
SAVED_WIDTH = 11
"""As wide as the names of the figures above it."""
_NOT_FOR_FILE_NAMES = re.compile(r"[^A-Za-z0-9_-]+")


class OrderWish(Struct, frozen=True, kw_only=True):
    """What the command line of `aif order` asks for. None leaves a parameter to the template."""

    kind: str
    source: Path | None = None
    topic: str | None = None
    level: int | None = None
    audience: str | None = None
    questions: int | None = None

    def parameters(self) -> dict[str, Any]:
        """By the names of the template, without the source."""
        named = {
            "topic": self.topic,
            "granularityLevel": self.level,
            "targetAudience": self.audience,
            "questionCount": self.questions,
        }
        return {name: value for name, value in named.items() if value is not None}


class Output(Struct, frozen=True, kw_only=True):
    """Where results go."""

    console: Console
    """For the result."""
    progress: Console | None
    """For what happens meanwhile; None for silence."""
    clock: Clock
    as_json: bool = False
    out: Path | None = None
    """Where the deliverable is saved; None for the data folder."""


async def run_order(wish: OrderWish, reach: Reach, output: Output, *, watch: bool) -> int:
    """Returns the exit code. Raises ConsoleFailure."""
    content = _read_source(wish)
    async with Gateway(reach.url, reach.key) as gateway:
        parameters = wish.parameters()
        if wish.source is not None and content is not None:
            source = await gateway.upload(wish.source.name, content)
            parameters["source"] = source.source_id
            _say(output, f"{wish.source.name}: {source.title}, {source.words} words, {source.headings} headings")
        ordered = await gateway.order(TEMPLATES[wish.kind], parameters, message=_message(wish))
        _say(output, f"{ordered.request_id} ordered, execution {ordered.execution_id}")
        if watch:
            return await _until_end(gateway, ordered.request_id, reach, output)
        if output.as_json:
            output.console.out(msgspec.json.encode(ordered).decode(), highlight=False)
        else:
            output.console.print(f"watch it: aif watch {ordered.request_id}", soft_wrap=True)
        return DONE


async def run_watch(some_id: str, reach: Reach, output: Output) -> int:
    """Follow an execution, running or ended, to its result."""
    async with Gateway(reach.url, reach.key) as gateway:
        return await _until_end(gateway, some_id, reach, output)


async def _until_end(gateway: Gateway, some_id: str, reach: Reach, output: Output) -> int:
    try:
        progress = await follow(gateway.events(some_id), console=output.progress, clock=output.clock)
        result = await gateway.result(some_id)
    except asyncio.CancelledError:
        _say(output, f"it goes on without you; come back with: aif watch {some_id}")
        raise
    saved = None if result.structure is None else save_deliverable(result, reach, output.out)
    if output.as_json:
        output.console.out(msgspec.json.encode(result).decode(), highlight=False)
    else:
        _print_result(result, progress.why, saved, output.console)
    return DONE if result.request.status in ("completed", "partially_completed") else FAILED


def save_deliverable(result: Result, reach: Reach, out: Path | None) -> Path:
    """Write the structure as readable JSON. Raises BadInput when the file cannot be written."""
    request = result.request
    name = _NOT_FOR_FILE_NAMES.sub("_", f"{request.deliverables[0].name}-{request.request_id}")
    path = out if out is not None else reach.folder.deliverables / f"{name}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, msgspec.json.format(bytes(result.structure or b"null"), indent=2) + b"\n")
    except OSError as refused:
        raise BadInput(
            "--out", f"{path} cannot be written: {refused.strerror}", "name a file in a folder of yours"
        ) from refused
    return path


def _print_result(result: Result, why: str, saved: Path | None, console: Console) -> None:
    request, execution = result.request, result.execution
    if result.structure is not None:
        console.print()
        console.print(rendered_structure(bytes(result.structure)))
    console.print()
    if request.status not in ("completed",):
        reason = why or (request.problem.message if request.problem is not None else "")
        console.print(Text(f"{request.status}: {plain(reason)}".removesuffix(": "), style="red"), soft_wrap=True)
    if execution is not None:
        console.print(rendered_totals(execution))
    if saved is not None:
        console.print(Text.assemble((f"{'Saved':<{SAVED_WIDTH}}", "bold"), short_path(saved)), soft_wrap=True)


def _read_source(wish: OrderWish) -> bytes | None:
    if wish.source is None and wish.topic is None:
        raise BadInput(
            "--source", "there is nothing to make it from", "name a document with --source FILE, or give --topic TEXT"
        )
    if wish.source is None:
        return None
    try:
        return wish.source.read_bytes()
    except OSError as refused:
        raise BadInput("--source", f"{wish.source} cannot be read: {refused.strerror}", "name a readable file") from refused


def _message(wish: OrderWish) -> str:
    about = wish.topic or (wish.source.name if wish.source is not None else "")
    return f"{wish.kind} from {about}"[:4000]


def _say(output: Output, words: str) -> None:
    if output.progress is not None:
        output.progress.print(Text(plain(words), style="dim"), soft_wrap=True)
