"""An operator who has set a wrong key hears of it, though nobody but a client has seen an order fail."""

import io
from pathlib import Path

from rich.console import Console

from aif_console.doctor import run_doctor
from aif_console.factory.factory import Factory
from support.factory import running_factory
from support.factory_settings import model_settings
from support.http_client import client_of
from support.provider_double.server import provider_double
from support.waiting import eventually


async def test_the_doctor_tells_of_a_key_that_a_provider_refuses_and_not_what_it_is(factory_dir: Path) -> None:
    async with provider_double() as provider:
        settings = {**model_settings(provider), "ANTHROPIC_API_KEY": "sk-wrong"}
        async with running_factory(factory_dir, settings) as factory, client_of(factory) as client:
            well, _ = await _doctor(factory)
            order = await client.order("content_granulation_course", {"topic": "Keeping bees"})
            ended = await client.ended(order["request_id"])

            async def is_told() -> bool:
                return "anthropic (refuses our calls: key of claude-sonnet-5-5" in (await _doctor(factory))[1]

            await eventually(is_told, what="the registry tells of it")
            code, told = await _doctor(factory)

    (granulator,) = [line for line in told.splitlines() if "granulator" in line]
    assert (well, ended["status"], code) == (0, "failed", 1)
    assert granulator.startswith("BAD granulator   works, process ")
    assert "providers: anthropic refuses its key since " in granulator
    assert "sk-wrong" not in told


async def _doctor(factory: Factory) -> tuple[int, str]:
    page = io.StringIO()
    console = Console(file=page, width=500)
    return await run_doctor(factory.folder, factory.kam_port, {}, console), page.getvalue()
