"""A factory over a NATS and a Postgres server that are there already."""

from pathlib import Path

from msgspec.structs import replace

from aif_console.embedded.nats_server import EmbeddedNats
from aif_console.embedded.postgres_server import EmbeddedPostgres
from aif_console.factory.factory import Factory
from support.factory import plan_for_tests
from support.http_client import SAMPLES, client_of


async def test_services_run_over_servers_of_the_operators_own(factory_dir: Path) -> None:
    nats = EmbeddedNats(factory_dir / "own-nats", sync_interval="2m", passwords={"factory": "secret"})
    postgres = EmbeddedPostgres(factory_dir / "own-postgres", durable=False)
    await nats.start()
    await postgres.start()
    settings = {"AIF_NATS_USER": "factory", "AIF_NATS_PASSWORD": "secret"}
    plan = plan_for_tests(factory_dir / "data", settings)
    factory = Factory(replace(plan, nats_url=nats.url, postgres_url=postgres.admin_url))

    await factory.start()
    async with client_of(factory) as client:
        source = await client.upload(SAMPLES / "beekeeping.md")
        accepted = await client.order("content_granulation_quiz", {"source": source})
        ended = await client.ended(accepted["request_id"])
    names = factory.pids.keys()
    await factory.stop()
    are_running = (nats.is_running, postgres.is_running)
    await postgres.stop()
    await nats.stop()

    assert ended["status"] == "completed"
    assert names == {"orchestrator", "granulator", "researcher", "analyst", "planner", "classifier", "kam"}
    assert are_running == (True, True)
