"""`aif clients`: who may use the factory."""

from rich.console import Console
from rich.text import Text

from aif_console.budget import checked_client
from aif_console.exit_codes import DONE
from aif_console.gateway.clients import (
    ClientAnswer,
    add_client,
    disable_client,
    enable_client,
    list_clients,
    read_client,
    rename_client,
)
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.reach import Reach
from aif_console.moments import local_time
from aif_console.reading.columns import Columns
from aif_console.reading.hanging import rows
from aif_console.reading.json_output import print_json
from aif_console.reading.plain_text import plain

HEADINGS = ("CLIENT", "STATUS", "TIER", "SINCE", "NAME")


async def run_clients(
    is_disabled: bool | None, cursor: str | None, limit: int, reach: Reach, console: Console, *, as_json: bool
) -> int:
    """By their ids."""
    async with Gateway(reach.url, reach.key) as gateway:
        page = await list_clients(gateway, is_disabled=is_disabled, cursor=cursor, limit=limit)
    if as_json:
        print_json(console, page)
        return DONE
    if not page.clients:
        _say(console, "there is no such client")
        return DONE
    console.print(Columns(HEADINGS, (_cells(client) for client in page.clients)), soft_wrap=True)
    if page.next_cursor is not None:
        console.print(Text(f"there are more: --cursor {page.next_cursor}", style="dim"), soft_wrap=True)
    return DONE


async def run_show_client(client_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """One of them."""
    async with Gateway(reach.url, reach.key) as gateway:
        client = await read_client(gateway, checked_client(client_id))
    if as_json:
        print_json(console, client)
        return DONE
    since = "" if client.disabled_at is None else f" since {local_time(client.disabled_at)}"
    facts = [
        ("Client", client.client_id),
        ("Name", client.display_name),
        ("Status", f"{client.status}{since}"),
        ("Tier", client.tier),
        ("Made", local_time(client.created_at)),
        ("More", f"aif keys --client {client_id}, aif account --client {client_id}, aif budget --client {client_id}"),
    ]
    console.print(rows(facts), soft_wrap=True)
    return DONE


async def run_add_client(
    client_id: str, display_name: str | None, tier: str | None, reach: Reach, console: Console, *, as_json: bool
) -> int:
    """It cannot call before it has a key."""
    async with Gateway(reach.url, reach.key) as gateway:
        client = await add_client(gateway, checked_client(client_id), display_name=display_name, tier=tier)
    return _told(client, f"is made; a key for it: aif keys add NAME --client {client_id}", console, as_json=as_json)


async def run_rename_client(client_id: str, display_name: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """In its profile."""
    async with Gateway(reach.url, reach.key) as gateway:
        client = await rename_client(gateway, checked_client(client_id), display_name)
    return _told(client, f"is called {client.display_name}" if client.display_name else "has no name", console, as_json=as_json)


async def run_disable_client(client_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """None of its keys is good any more."""
    async with Gateway(reach.url, reach.key) as gateway:
        client = await disable_client(gateway, checked_client(client_id))
    return _told(client, "is disabled: none of its keys is good, and what it had ordered goes on", console, as_json=as_json)


async def run_enable_client(client_id: str, reach: Reach, console: Console, *, as_json: bool) -> int:
    """Its keys are good again."""
    async with Gateway(reach.url, reach.key) as gateway:
        client = await enable_client(gateway, checked_client(client_id))
    return _told(client, "is active: its keys that were not revoked are good", console, as_json=as_json)


def _told(client: ClientAnswer, words: str, console: Console, *, as_json: bool) -> int:
    if as_json:
        print_json(console, client)
    else:
        _say(console, f"{client.client_id} {words}")
    return DONE


def _cells(client: ClientAnswer) -> tuple[str, ...]:
    return (client.client_id, client.status, client.tier, local_time(client.created_at)[:10], client.display_name)


def _say(console: Console, words: str) -> None:
    console.print(Text(plain(words)), soft_wrap=True)
