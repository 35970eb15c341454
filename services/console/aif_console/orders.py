"""`aif order`, `aif watch`: from a file or a topic to a deliverable on the disk and on the terminal."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field
from rich.console import Console
from rich.text import Text

from aif_console.embedded.credentials import write_private
from aif_console.exit_codes import DONE, FAILED
from aif_console.failures import BadInput
from aif_console.following.display import follow
from aif_console.gateway.answers import Result
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.ids import checked_name
from aif_console.gateway.reach import Reach
from aif_console.moments import local_time
from aif_console.parameters import SOURCE, look_for, read_file, schema_of, typed
from aif_console.reading.figures import rendered_totals
from aif_console.reading.json_output import print_json
from aif_console.reading.outline import rendered_structure
from aif_console.reading.plain_text import plain, short_path
from aif_contracts.money import UsdText
from aif_runtime.clock import Clock

TEMPLATES = {"course": "content_granulation_course", "quiz": "content_granulation_quiz"}
SAVED_WIDTH = 11
"""As wide as the names of the figures above it."""
_NOT_FOR_FILE_NAMES = re.compile(r"[^A-Za-z0-9_-]+")


class OrderWish(Struct, frozen=True, kw_only=True):
    """What the command line of `aif order` asks for. None leaves a parameter to the template."""

    template: str
    source: Path | None = None
    topic: str | None = None
    level: int | None = None
    audience: str | None = None
    questions: int | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    """Further parameters by the template's own names, as they were typed."""
    urgency: str = "normal"
    start_at: str | None = None
    """RFC 3339; None for at once."""
    max_cost_usd: UsdText | None = None
    """None for the operator's limit."""
    version: str | None = None
    """None for the newest of the template."""

    @property
    def kind(self) -> str:
        """As people say it: a course, a quiz, or the pipeline's name."""
        return next((kind for kind, template in TEMPLATES.items() if template == self.template), self.template)

    def parameters(self) -> dict[str, Any]:
        """By the names of the template, without the source and without what was typed by name."""
        named = {
            "topic": self.topic,
            "granularityLevel": self.level,
            "targetAudience": self.audience,
            "questionCount": self.questions,
        }
        return {name: value for name, value in named.items() if value is not None}


def template_of(kind: str | None, pipeline: str | None) -> str:
    """The template that `aif order course`, `aif order NAME` or `--pipeline NAME` means. Raises BadInput unless it is exactly
    one."""
    name = kind or pipeline
    if name is None or (kind is not None and pipeline is not None):
        raise BadInput(
            "--pipeline", "say either course or quiz, or which pipeline, and only one of them", "aif order --pipeline NAME"
        )
    if kind is None:
        return checked_name(name, "--pipeline")
    return TEMPLATES.get(name) or checked_name(name)


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
    if wish.kind in TEMPLATES and wish.source is None and wish.topic is None and not wish.texts:
        raise BadInput(
            "--source", "there is nothing to make it from", "name a document with --source FILE, or give --topic TEXT"
        )
    content = None if wish.source is None else read_file(wish.source, "--source", "name a readable file")
    async with Gateway(reach.url, reach.key) as gateway:
        parameters = wish.parameters()
        if wish.texts:
            parameters |= typed(wish.texts, await schema_of(gateway, wish.template, wish.version))
        if wish.source is not None and content is not None:
            await look_for(gateway, wish.template, wish.version)
            source = await gateway.upload(wish.source.name, content)
            parameters[SOURCE] = source.source_id
            size = f"{source.words} words, {source.headings} headings" if source.words else f"{len(content):,} bytes of sound"
            _say(output, f"{wish.source.name}: {source.title}, {size}")
        ordered = await gateway.order(
            wish.template,
            parameters,
            message=_message(wish),
            urgency=wish.urgency,
            start_at=wish.start_at,
            max_cost_usd=wish.max_cost_usd,
            version=wish.version,
        )
        _say(output, f"{ordered.request_id} ordered, execution {ordered.execution_id}")
        if wish.start_at is not None:
            _say(output, f"it starts at {local_time(wish.start_at)}; to call it off: aif cancel {ordered.request_id}")
        if watch:
            return await _until_end(gateway, ordered.request_id, reach, output)
        if output.as_json:
            print_json(output.console, ordered)
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
    saved = save_deliverables(result, reach, output.out)
    if output.as_json:
        print_json(output.console, result)
    else:
        _print_result(result, progress.why, saved, output.console)
    return DONE if result.request.status in ("completed", "partially_completed") else FAILED


def save_deliverables(result: Result, reach: Reach, out: Path | None) -> list[Path]:
    """Write each as readable JSON, the first one to `out` if that is given. Raises BadInput when a file cannot be written."""
    request = result.request
    names = [item.name for item in request.deliverables if item.media_type == "application/json"][:1]
    made = [(name, result.structure) for name in names] + [(each.name, each.structure) for each in result.further]
    saved = []
    for number, (name, structure) in enumerate(made):
        file_name = _NOT_FOR_FILE_NAMES.sub("_", f"{name}-{request.request_id}")
        path = out if out is not None and number == 0 else reach.folder.deliverables / f"{file_name}.json"
        write_deliverable(path, bytes(structure or b"null"))
        saved.append(path)
    return saved


def write_deliverable(path: Path, structure: bytes) -> None:
    """As a file that only its owner may read; a device, a pipe or what a link leads to is written into and stays what it is.

    Raises BadInput.
    """
    content = msgspec.json.format(structure, indent=2) + b"\n"
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            path.write_bytes(content)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, content)
    except OSError as refused:
        raise BadInput(
            "--out", f"{path} cannot be written: {refused.strerror}", "name a file in a folder of yours"
        ) from refused


def _print_result(result: Result, why: str, saved: Sequence[Path], console: Console) -> None:
    request, execution = result.request, result.execution
    made = [] if result.structure is None else [result.structure, *(each.structure for each in result.further)]
    for structure in made:
        console.print()
        console.print(rendered_structure(bytes(structure)))
    console.print()
    if request.status not in ("completed",):
        reason = why or (request.problem.message if request.problem is not None else "")
        console.print(Text(f"{request.status}: {plain(reason)}".removesuffix(": "), style="red"), soft_wrap=True)
    if execution is not None:
        console.print(rendered_totals(execution))
    for path in saved:
        console.print(Text.assemble((f"{'Saved':<{SAVED_WIDTH}}", "bold"), short_path(path)), soft_wrap=True)


def _message(wish: OrderWish) -> str:
    about = wish.topic or (wish.source.name if wish.source is not None else "")
    return (f"{wish.kind} from {about}" if about else wish.kind)[:4000]


def _say(output: Output, words: str) -> None:
    if output.progress is not None:
        output.progress.print(Text(plain(words), style="dim"), soft_wrap=True)
