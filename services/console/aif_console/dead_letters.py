"""`aif dead-letters`: messages that could not be processed, for the operator."""

import base64
from contextlib import suppress

import msgspec
from rich.console import Console
from rich.text import Text

from aif_console.exit_codes import DONE
from aif_console.gateway.dead_letters import (
    dismiss_dead_letter,
    list_dead_letters,
    read_dead_letter,
    replay_dead_letter,
)
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.ids import checked_id
from aif_console.gateway.reach import Reach
from aif_console.moments import local_time
from aif_console.reading.columns import Columns
from aif_console.reading.hanging import rows
from aif_console.reading.json_output import print_json
from aif_console.reading.plain_text import plain, size
from aif_contracts.dead_letters import DeadLetterContent, DeadLetterView

KIND = "dead"
LISTED_BY = "aif dead-letters"
MOST_LISTED = 100
HEADINGS = ("DEAD LETTER", "FOUND", "STATUS", "ORIGIN", "REASON")


class Dismissed(msgspec.Struct, frozen=True, kw_only=True):
    """How many."""

    dismissed: int


async def run_dead_letters(
    reach: Reach, console: Console, *, status: str | None, origin: str | None, limit: int, as_json: bool
) -> int:
    """Newest first."""
    async with Gateway(reach.url, reach.key) as gateway:
        page = await list_dead_letters(gateway, status=status, origin=origin, limit=limit)
    if as_json:
        print_json(console, page)
        return DONE
    if not page.dead_letters:
        console.print("no dead letter" if status is None else f"no dead letter is {status}")
        return DONE
    console.print(Columns(HEADINGS, (_cells(each) for each in page.dead_letters)), soft_wrap=True)
    if page.next_cursor is not None:
        console.print(Text(f"these are the newest {limit}; --limit shows more, up to 100", style="dim"))
    return DONE


async def run_show_dead_letter(dead_letter_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """One of them with its headers and bytes."""
    async with Gateway(reach.url, reach.key) as gateway:
        content = await read_dead_letter(gateway, checked_id(dead_letter_id, KIND, LISTED_BY))
    if as_json:
        print_json(console, content)
        return DONE
    console.print(rows(_facts(content)), soft_wrap=True)
    console.print()
    for line in payload_lines(content.payload):
        console.print(Text(plain(line)), soft_wrap=True)
    return DONE


async def run_replay(dead_letter_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """Send the message again as it was."""
    async with Gateway(reach.url, reach.key) as gateway:
        letter = await replay_dead_letter(gateway, checked_id(dead_letter_id, KIND, LISTED_BY))
    return _decided(letter, console, as_json=as_json)


async def run_dismiss(dead_letter_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """Nobody needs it any more."""
    async with Gateway(reach.url, reach.key) as gateway:
        letter = await dismiss_dead_letter(gateway, checked_id(dead_letter_id, KIND, LISTED_BY))
    return _decided(letter, console, as_json=as_json)


async def run_dismiss_all(reach: Reach, console: Console, *, origin: str | None, as_json: bool) -> int:
    """Nobody needs those that wait now; what comes meanwhile goes on waiting. Each is a decision of its own."""
    dismissed, cursor, is_more = 0, None, True
    async with Gateway(reach.url, reach.key) as gateway:
        while is_more:
            page = await list_dead_letters(gateway, status="waiting", origin=origin, limit=MOST_LISTED, cursor=cursor)
            for letter in page.dead_letters:
                await dismiss_dead_letter(gateway, letter.dead_letter_id)
                dismissed += 1
            cursor, is_more = page.next_cursor, page.next_cursor is not None
    if as_json:
        print_json(console, Dismissed(dismissed=dismissed))
        return DONE
    of_origin = "" if origin is None else f" of {plain(origin)}"
    console.print(Text(f"dead letters{of_origin} dismissed: {dismissed}"), soft_wrap=True)
    return DONE


def payload_lines(payload: bytes) -> list[str]:
    """JSON in its lines; other text, and JSON nested too deeply for that, as it is; other bytes in base64."""
    with suppress(msgspec.MsgspecError, RecursionError):
        payload = msgspec.json.format(payload, indent=2)
    try:
        return payload.decode().splitlines()
    except UnicodeDecodeError:
        return base64.encodebytes(payload).decode().splitlines()


def _decided(letter: DeadLetterView, console: Console, *, as_json: bool) -> int:
    if as_json:
        print_json(console, letter)
    else:
        by = f" by {letter.decided_by}" if letter.decided_by else ""
        console.print(Text(plain(f"{letter.dead_letter_id} is {letter.status.value}{by}")), soft_wrap=True)
    return DONE


def _cells(letter: DeadLetterView) -> tuple[str, ...]:
    return (letter.dead_letter_id, local_time(letter.found_at)[5:16], letter.status.value, letter.origin, letter.reason)


def _facts(content: DeadLetterContent) -> list[tuple[str, str]]:
    letter = content.dead_letter
    decided = f" by {letter.decided_by} at {local_time(letter.decided_at)}" if letter.decided_by else ""
    return [
        ("Dead letter", letter.dead_letter_id),
        ("Status", letter.status.value + decided),
        ("Reason", letter.reason),
        ("Subject", letter.subject),
        ("Found", f"{local_time(letter.found_at)} by {letter.found_by}, delivery {letter.deliveries}"),
        ("Execution", letter.execution_id or ""),
        ("Size", size(letter.size_bytes)),
        *((f"  {name}", value) for name, value in content.headers.items()),
    ]
