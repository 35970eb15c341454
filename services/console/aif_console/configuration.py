"""`aif config`: what the operator changes while the factory runs."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from aif_console.exit_codes import DONE
from aif_console.failures import BadInput
from aif_console.gateway.configuration import ConfigAnswer, list_config, read_config, set_config, unset_config
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.reach import Reach
from aif_console.moments import local_time
from aif_console.reading.columns import Columns
from aif_console.reading.hanging import rows
from aif_console.reading.json_output import print_json
from aif_console.reading.plain_text import plain

HEADINGS = ("KEY", "VALUE", "CHANGED")
MOST_FILE_BYTES = 1024 * 1024
_MOST_SHOWN = 60


async def run_config(reach: Reach, console: Console, *, as_json: bool) -> int:
    """All keys that there always are, and the others that are set."""
    async with Gateway(reach.url, reach.key) as gateway:
        page = await list_config(gateway)
    if as_json:
        print_json(console, page)
    else:
        console.print(Columns(HEADINGS, (_cells(each) for each in page.config)), soft_wrap=True)
    return DONE


async def run_get_config(key: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """One key with its value in full."""
    async with Gateway(reach.url, reach.key) as gateway:
        answer = await read_config(gateway, key)
    if as_json:
        print_json(console, answer)
    else:
        console.print(rows(_facts(answer)), soft_wrap=True)
    return DONE


async def run_set_config(key: str, value: Any, reach: Reach, console: Console, *, version: int | None, as_json: bool) -> int:
    """Every process goes by it within a second."""
    async with Gateway(reach.url, reach.key) as gateway:
        answer = await set_config(gateway, key, value, version)
    return _told(answer, console, as_json=as_json)


async def run_unset_config(key: str, reach: Reach, console: Console, *, version: int | None, as_json: bool) -> int:
    """Each process goes by its settings again."""
    async with Gateway(reach.url, reach.key) as gateway:
        answer = await unset_config(gateway, key, version)
    return _told(answer, console, as_json=as_json)


def typed_value(text: str | None, file: Path | None) -> Any:
    """What was typed: a JSON value as it is, anything else as text. Raises BadInput."""
    if (text is None) == (file is None):
        raise BadInput("VALUE", "give either a value or --file", 'such as `aif config set KEY "gpt-4o-mini"`')
    if text is not None:
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(text)
        return text
    assert file is not None
    return _document(file)


def _document(file: Path) -> Any:
    try:
        content = file.read_bytes()
    except OSError as wrong:
        raise BadInput("--file", f"{file} cannot be read: {wrong.strerror}", "name a file that is there") from wrong
    if len(content) > MOST_FILE_BYTES:
        raise BadInput("--file", f"{file} has {len(content)} bytes", f"send at most {MOST_FILE_BYTES}")
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise BadInput("--file", f"{file} holds no JSON: {wrong}", "write the value as JSON") from wrong


def _told(answer: ConfigAnswer, console: Console, *, as_json: bool) -> int:
    if as_json:
        print_json(console, answer)
    else:
        said = f"{answer.key} is {_short(answer.value)}" if answer.is_set else f"{answer.key} is not set"
        console.print(Text(plain(said)), soft_wrap=True)
        if answer.remark:
            console.print(Text(f"note: {plain(answer.remark)}", style="yellow"), soft_wrap=True)
    return DONE


def _cells(answer: ConfigAnswer) -> tuple[str, ...]:
    return (answer.key, _short(answer.value) if answer.is_set else "", local_time(answer.updated_at)[:16])


def _facts(answer: ConfigAnswer) -> list[tuple[str, str]]:
    changed = f"{local_time(answer.updated_at)} by {answer.updated_by}" if answer.is_set else ""
    return [
        ("Key", answer.key),
        ("Value", plain(_json(answer.value)) if answer.is_set else "not set"),
        ("Means", answer.description),
        ("Version", str(answer.version)),
        ("Changed", changed),
    ]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _short(value: Any) -> str:
    text = _json(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"
