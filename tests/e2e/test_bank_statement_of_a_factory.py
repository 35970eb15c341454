"""A whole factory against the provider's bill: orders, failing calls, killed workers, and no call that nobody knows of."""

import asyncio
from decimal import Decimal
from pathlib import Path

import asyncpg

from aif_console.factory.factory import Factory
from support.factory import running_factory
from support.factory_settings import model_settings
from support.http_client import FactoryClient, client_of
from support.provider_double.bill import BillEntry
from support.provider_double.faults import Fault, FaultKind, FaultMix
from support.provider_double.server import ProviderDouble, provider_double
from support.waiting import eventually

ORDERS = 12
KILLED_AFTER_CALLS = (4, 9)
FAULTS = FaultMix(
    seed=11,
    shares=tuple(
        (Fault(kind=kind), 0.04)
        for kind in (
            FaultKind.SERVER_ERROR,
            FaultKind.RESET,
            FaultKind.CUT_OFF,
            FaultKind.BREAKS_SCHEMA,
            FaultKind.NO_USAGE,
            FaultKind.SILENT_AFTER_BILLING,
            FaultKind.ERROR_EVENT,
        )
    ),
)
SHORT_PATIENCE = {"AIF_PROVIDER_SILENCE_SECONDS": "1", "AIF_PROVIDER_TIMEOUT_SECONDS": "5"}


async def test_with_failing_calls_and_killed_workers_the_ledger_accounts_for_the_whole_bill(factory_dir: Path) -> None:
    async with provider_double() as provider:
        provider.mix, provider.hidden_usage_seed, provider.seconds_for_an_answer = FAULTS, 11, 0.4
        settings = {**model_settings(provider), **SHORT_PATIENCE}
        async with running_factory(factory_dir, settings) as factory, client_of(factory) as client:
            accepted = [
                await client.order("content_granulation_course", {"topic": f"Keeping bees, part {n}"}) for n in range(ORDERS)
            ]
            for calls in KILLED_AFTER_CALLS:
                await _kill_a_worker_in_the_middle_of_a_call(factory, provider, calls)
            provider.plan(FaultKind.RESET, FaultKind.NO_USAGE)
            ended = await asyncio.gather(*(client.ended(order["request_id"], 90) for order in accepted))
            rows = await _rows_when_all_is_told(factory, provider)
            told = await _told_costs(client, [order["request_id"] for order in accepted])

    bill = {str(entry.client_request_id): entry for entry in provider.bill}
    assert len(bill) == len(provider.bill)
    assert set(bill) <= set(rows)
    assert sum(request["status"] == "completed" for request in ended) > ORDERS // 2
    settled = {key: row for key, row in rows.items() if row["cost_usd"] is not None}
    assert {key: _booked(row) for key, row in settled.items()} == {key: _billed(bill.get(key)) for key in settled}
    unsettled = [row for key, row in rows.items() if key not in settled]
    assert {"started", "in_doubt"} <= {row["outcome"] for row in unsettled}
    for row in unsettled:
        assert row["upper_bound_usd"] >= _billed(bill.get(row["call_key"]))[-1], row
    assert told == sum((row["cost_usd"] for row in settled.values()), Decimal(0))


async def _kill_a_worker_in_the_middle_of_a_call(factory: Factory, provider: ProviderDouble, calls: int) -> None:
    await eventually(lambda: len(provider.bill) >= calls, 60, what=f"{calls} calls are under way or done")
    old_pid = factory.kill("granulator")
    await eventually(lambda: factory.pids.get("granulator", old_pid) != old_pid, 20, what="the granulator is started again")


async def _rows_when_all_is_told(factory: Factory, provider: ProviderDouble) -> dict[str, asyncpg.Record]:
    """The ledger's calls by key, once the end of every call that is not lost has arrived."""
    connection = await asyncpg.connect(factory.database_urls["orchestrator"])

    async def calls() -> list[asyncpg.Record]:
        return await connection.fetch("SELECT * FROM provider_calls")

    async def winners_are_told() -> bool:
        missing = await connection.fetchval(
            "SELECT count(*) FROM provider_calls c JOIN stage_attempts a USING (execution_id, stage_id, attempt)"
            " WHERE a.success AND c.outcome = 'started'"
        )
        return missing == 0 and len(await calls()) >= len(provider.bill)

    try:
        await eventually(winners_are_told, 20, what="the calls of what was accepted are booked")
        return {row["call_key"]: row for row in await calls()}
    finally:
        await connection.close()


async def _told_costs(client: FactoryClient, request_ids: list[str]) -> Decimal:
    """What the client is told that its orders cost."""
    requests = [await client.request(request_id) for request_id in request_ids]
    return sum((Decimal(request["total_cost_usd"]) for request in requests), Decimal(0))


def _booked(row: asyncpg.Record) -> tuple[int, int, int, int, Decimal]:
    return (
        row["prompt_tokens"],
        row["completion_tokens"],
        row["cache_read_tokens"],
        row["reasoning_tokens"],
        row["cost_usd"],
    )


def _billed(entry: BillEntry | None) -> tuple[int, int, int, int, Decimal]:
    if entry is None:
        return 0, 0, 0, 0, Decimal(0)
    return entry.prompt_tokens, entry.output_tokens, entry.cache_read_tokens, entry.reasoning_tokens, entry.cost_usd
