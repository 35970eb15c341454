"""`aif keys`: what a client, or the operator, calls with."""

import contextlib
import re
from collections.abc import Iterator
from http import HTTPStatus

from msgspec import Struct
from rich.console import Console
from rich.text import Text

from aif_console.budget import checked_client
from aif_console.exit_codes import DONE
from aif_console.failures import BadInput, RequestRefused
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.keys import KeyAnswer, MintedAnswer, add_key, list_keys, read_key, revoke_key, rotate_key
from aif_console.gateway.reach import Reach
from aif_console.moments import coming_moment, local_time, span_seconds
from aif_console.reading.columns import Columns
from aif_console.reading.hanging import rows
from aif_console.reading.json_output import print_json
from aif_console.reading.plain_text import plain
from aif_runtime.clock import Clock

HEADINGS = ("KEY", "CLIENT", "SCOPE", "STATUS", "USED", "EXPIRES", "NAME")
OPERATORS = "(operator)"
_ID = re.compile(r"(?:af_live_)?([0-9a-f]{16})")


class KeyWish(Struct, frozen=True, kw_only=True):
    """What the command line of `aif keys add` asks for."""

    name: str
    scope: str
    client_id: str | None
    """None for the caller's own client, and for the operator's own keys."""
    expires: str | None


async def run_keys(
    client_id: str | None,
    is_active: bool | None,
    cursor: str | None,
    limit: int,
    reach: Reach,
    console: Console,
    *,
    as_json: bool,
) -> int:
    """Newest first."""
    owner = None if client_id is None else checked_client(client_id)
    async with Gateway(reach.url, reach.key) as gateway:
        page = await list_keys(gateway, client_id=owner, scope=None, is_active=is_active, cursor=cursor, limit=limit)
    if as_json:
        print_json(console, page)
        return DONE
    if not page.keys:
        console.print(Text("there is no such key"), soft_wrap=True)
        return DONE
    console.print(Columns(HEADINGS, (_cells(key) for key in page.keys)), soft_wrap=True)
    if page.next_cursor is not None:
        console.print(Text(f"there are more: --cursor {page.next_cursor}", style="dim"), soft_wrap=True)
    return DONE


async def run_show_key(key_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """What is known of one."""
    async with Gateway(reach.url, reach.key) as gateway:
        key = await read_key(gateway, checked_key_id(key_id))
    _show(key, console, as_json=as_json)
    return DONE


async def run_add_key(wish: KeyWish, reach: Reach, console: Console, clock: Clock, *, as_json: bool) -> int:
    """Shown this once."""
    owner = None if wish.client_id is None else checked_client(wish.client_id)
    expires_at = _end(wish.expires, clock)
    async with Gateway(reach.url, reach.key) as gateway:
        with _or_as_operator("name the client with --client"):
            minted = await add_key(gateway, name=wish.name, scope=wish.scope, client_id=owner, expires_at=expires_at)
    _reveal(minted, console, as_json=as_json)
    return DONE


async def run_rotate_key(
    key_id: str, grace: str, expires: str | None, reach: Reach, console: Console, clock: Clock, *, as_json: bool
) -> int:
    """The new one is shown this once."""
    grace_seconds, expires_at = span_seconds(grace, "--grace"), _end(expires, clock)
    async with Gateway(reach.url, reach.key) as gateway:
        with _or_as_operator("add --operator"):
            minted = await rotate_key(gateway, checked_key_id(key_id), grace_seconds=grace_seconds, expires_at=expires_at)
    _reveal(minted, console, as_json=as_json)
    if minted.replaces is not None and not as_json:
        _warn_if_in_hand(minted.replaces, reach, console)
    return DONE


async def run_revoke_key(key_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """At once and for good."""
    async with Gateway(reach.url, reach.key) as gateway:
        with _or_as_operator("add --operator"):
            key = await revoke_key(gateway, checked_key_id(key_id))
    if as_json:
        print_json(console, key)
        return DONE
    console.print(Text(plain(f"{key.key_id} ({key.name}) is revoked, for good")), soft_wrap=True)
    _warn_if_in_hand(key, reach, console)
    return DONE


def checked_key_id(text: str) -> str:
    """The id, also where it comes as the prefix of the key. Raises BadInput, which does not repeat what could be a key."""
    found = _ID.fullmatch(text)
    if found is None:
        mend = "give the 16 characters that `aif keys` shows, which follow af_live_ in the key"
        raise BadInput("ID", "what is given is no key's id", mend)
    return found.group(1)


@contextlib.contextmanager
def _or_as_operator(how: str) -> Iterator[None]:
    """Whoever may not change keys is told how the operator does it."""
    try:
        yield
    except RequestRefused as refused:
        if refused.status != HTTPStatus.FORBIDDEN:
            raise
        mend = f"with the operator's key, which the factory's own machine has, {how}"
        raise RequestRefused(refused.title, refused.detail, refused.mistakes, status=refused.status, mend=mend) from refused


def _end(text: str | None, clock: Clock) -> str | None:
    return coming_moment(text, "--expires", clock.now(), left_out="have no end, or the one of the key that it replaces")


def _reveal(minted: MintedAnswer, console: Console, *, as_json: bool) -> None:
    if as_json:
        print_json(console, minted)
        return
    console.print(rows(_facts(minted)), soft_wrap=True)
    old = minted.replaces
    if old is not None:
        ending = f"goes on until {local_time(old.expires_at)}" if old.revoked_at is None else "is revoked"
        console.print(Text(f"\n{old.key_id}, which it replaces, {ending}"), soft_wrap=True)
    if minted.key is None:
        words = f"\nThe key went astray on its way here. Another one: aif keys rotate {minted.key_id} --grace 0"
        console.print(Text(words), soft_wrap=True)
        return
    console.print(Text("\nThe key, which nobody can show again:\n", style="dim"), soft_wrap=True)
    console.print(Text(minted.key), soft_wrap=True)


def _warn_if_in_hand(key: KeyAnswer, reach: Reach, console: Console) -> None:
    if reach.key.startswith(f"{key.prefix}_"):
        where = f"the environment, or {reach.folder.keys}"
        console.print(Text(f"\nThis terminal called with {key.key_id}: put another one into {where}"), soft_wrap=True)


def _show(key: KeyAnswer, console: Console, *, as_json: bool) -> None:
    if as_json:
        print_json(console, key)
    else:
        console.print(rows(_facts(key)), soft_wrap=True)


def _facts(key: KeyAnswer) -> list[tuple[str, str]]:
    return [
        ("Key", f"{key.key_id}, {key.status}"),
        ("Client", key.client_id or OPERATORS),
        ("Name", key.name),
        ("Scope", key.scope),
        ("Made", f"{local_time(key.created_at)} by {key.created_by or 'the settings'}"),
        ("Used", "never" if key.last_used_at is None else f"last within an hour of {local_time(key.last_used_at)}"),
        ("Expires", "never" if key.expires_at is None else local_time(key.expires_at)),
        ("Revoked", local_time(key.revoked_at)),
        ("Replaced", "" if key.replaced_by is None else f"by {key.replaced_by}"),
    ]


def _cells(key: KeyAnswer) -> tuple[str, ...]:
    return (
        key.key_id,
        key.client_id or OPERATORS,
        key.scope,
        key.status,
        local_time(key.last_used_at)[:16] or "never",
        local_time(key.expires_at)[:16] or "never",
        key.name,
    )
