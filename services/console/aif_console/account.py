"""`aif account`: a client's tier and coins."""

from rich.console import Console

from aif_console.budget import checked_client
from aif_console.exit_codes import DONE
from aif_console.failures import BadInput
from aif_console.gateway.accounts import AccountAnswer, AccountChange, account_of, change_account, own_account
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.reach import Reach
from aif_console.reading.hanging import rows
from aif_console.reading.json_output import print_json

_FREE = "free"


async def run_show_account(client_id: str | None, reach: Reach, console: Console, *, as_json: bool) -> int:
    """One's own; the operator's look at a client's."""
    async with Gateway(reach.url, reach.key) as gateway:
        answer = await own_account(gateway) if client_id is None else await account_of(gateway, checked_client(client_id))
    return _told(answer, console, as_json=as_json)


async def run_set_account(
    client_id: str, tier: str | None, coins: int | None, reach: Reach, console: Console, *, as_json: bool
) -> int:
    """The client's next orders go by it. Raises BadInput when nothing is to be changed."""
    if tier is None and coins is None:
        raise BadInput("--tier", "nothing is to be changed", "name --tier, --coins or both")
    async with Gateway(reach.url, reach.key) as gateway:
        answer = await change_account(gateway, checked_client(client_id), AccountChange(tier=tier, coins=coins))
    return _told(answer, console, as_json=as_json)


def _told(answer: AccountAnswer, console: Console, *, as_json: bool) -> int:
    if as_json:
        print_json(console, answer)
        return DONE
    models = "cheap models only" if answer.tier == _FREE else "all models"
    facts = [("Client", answer.client_id), ("Tier", f"{answer.tier}: {models}"), ("Coins", f"{answer.coins:,}")]
    console.print(rows(facts), soft_wrap=True)
    return DONE
