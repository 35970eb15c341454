"""What it costs to have each call through the door announced and recorded at a broker."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from aif_console.embedded.nats_server import EmbeddedNats
from aif_contracts.metering import CallOutcome, ProviderCall, Purpose
from aif_runtime.nats_bus import NatsBus
from aif_runtime.topology import factory_topology
from load.door_askers import MODEL, at_the_broker, in_memory, provider_in_another_process, through_the_door
from load.door_timing import IN_FLIGHT, Burst, DoorScale, burst, medians_in_turn, on_a_loop_of_the_services
from load.processes import own_cpu_ms
from load.spread import figure, spread

SYNC_INTERVALS = ("2m", "always")
"""Of NATS: its own default, and as `aif up` sets it."""


class Booked(Struct, frozen=True, kw_only=True):
    added_ms: list[float]
    """By announcing and recording, a median for each round."""
    announcing_ms: float
    many: Burst


async def tell_books(folder: Path, sync_interval: str, say: Callable[[str], None], *, scale: DoorScale) -> None:
    nats = EmbeddedNats(folder, sync_interval=sync_interval)
    await nats.start()
    try:
        async with provider_in_another_process(0.0) as url:
            booked = await on_a_loop_of_the_services(lambda: _measured(nats.url, url, scale))
    finally:
        await nats.stop()
    say(f"\ndoor: announced and recorded at a broker with sync_interval {sync_interval}")
    say(
        f"  one at a time {spread(booked.added_ms)} ms more than in memory, {figure(booked.announcing_ms)} ms of them before "
        "the call is made (medians)"
    )
    say(
        f"  {IN_FLIGHT} in flight {figure(booked.many.per_second)} calls/s, {figure(booked.many.cpu_ms_per_call)} ms CPU each "
        "(with the load, without the broker)"
    )


async def _measured(nats_url: str, provider_url: str, scale: DoorScale) -> Booked:
    async with (
        await NatsBus.connect(nats_url, name="bench", topology=factory_topology()) as bus,
        through_the_door(provider_url, in_memory) as unbooked,
        through_the_door(provider_url, at_the_broker(bus)) as booked,
    ):
        added: list[float] = []
        for _ in range(scale.rounds):
            medians = await medians_in_turn({"unbooked": unbooked, "booked": booked}, scale)
            added.append(medians["booked"] - medians["unbooked"])
        announcing_ms = await _announcing_ms(bus, scale.pairs)
        many = await burst(booked, scale.many, cpu_ms=own_cpu_ms)
    return Booked(added_ms=added, announcing_ms=announcing_ms, many=many)


async def _announcing_ms(bus: NatsBus, calls: int) -> float:
    """Median."""
    new_attempt = at_the_broker(bus)
    row = ProviderCall(
        call_key="",
        execution_id="",
        client_id="bench",
        stage_id="ask",
        attempt=1,
        worker_name="bench",
        action="ask",
        capability="llm_generation",
        provider="openai",
        model=MODEL,
        purpose=Purpose.FIRST_TRY,
        outcome=CallOutcome.STARTED,
        upper_bound_usd="0.01",
    )
    times = []
    for _ in range(calls):
        attempt = new_attempt()
        call = replace(row, call_key=f"{attempt.execution_id}.ask.1.1", execution_id=attempt.execution_id)
        began = time.perf_counter()
        await attempt.announce_call(call)
        times.append((time.perf_counter() - began) * 1_000)
    return statistics.median(times)
