"""The address of the operator's own NATS server, looked at before anything is started."""

from pathlib import Path

import pytest
from rich.console import Console

from aif_console.factory.external_nats import look_for_nats
from aif_console.factory.plan import DataFolder
from aif_console.failures import NatsUnusable
from aif_console.up import UpWishes, run_up

NOWHERE = "nats://user:secret@127.0.0.1:1"
MEND = ": name one that runs, as in nats://host:4222"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:4222", "'http://127.0.0.1:4222' is no address that begins with nats:// or tls://"),
        ("nats://", "'nats://' is no address that begins with nats:// or tls://"),
        ("nats://user:secret@host:port", "'nats://host:port' is no address: Port could not be cast to integer value as 'port'"),
        ("nats://host:4222,", "'' is no address that begins with nats:// or tls://"),
    ],
)
async def test_what_is_no_address_of_a_nats_server_is_refused_with_what_is_wrong(url: str, reason: str) -> None:
    with pytest.raises(NatsUnusable) as refused:
        await look_for_nats(url)

    assert str(refused.value) == f"no NATS server can be used ({reason}){MEND}"


async def test_a_factory_over_a_nats_server_that_does_not_run_says_so_before_it_starts_anything(tmp_path: Path) -> None:
    wishes = UpWishes(folder=DataFolder(tmp_path / "data"), port=8420, nats_url=NOWHERE)

    with pytest.raises(NatsUnusable, match=r"127\.0\.0\.1:1 is not reached: ") as refused:
        await run_up(wishes, {}, Console())

    assert "secret" not in str(refused.value)
    assert not (tmp_path / "data").exists()


async def test_one_of_several_nats_servers_is_enough(fresh_nats: str) -> None:
    await look_for_nats(f"{NOWHERE},{fresh_nats}")
