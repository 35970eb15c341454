"""Alerts over a real database: each is said once, by one of the replicas, whoever dies in between."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.budgets import AlertKind, BudgetAlert
from aif_orchestrator.alerts.lookout import Lookout
from aif_orchestrator.alerts.store import AlertStore
from aif_orchestrator.engine.figures import Figures
from aif_orchestrator.engine.relay import Relay
from aif_orchestrator.store.outbox import OutboxStore
from aif_orchestrator.usage.rolling import Pace, UsageRolling
from aif_orchestrator.usage.store import UsageStore
from aif_runtime.bus import Bus, Outgoing
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.metrics import metrics_page, new_registry
from aif_runtime.postgres import Database
from aif_runtime.sql_files import load_queries
from support.orchestrator_line import orchestrator_database

ALERTS = AlertStore(load_queries("aif_orchestrator.alerts"))


@pytest.fixture
async def database(fresh_orchestrator_database: str) -> AsyncIterator[Database]:
    async with orchestrator_database(fresh_orchestrator_database) as opened:
        yield opened


def relay_over(bus: Bus, database: Database) -> Relay:
    figures = Figures(new_registry(service="orchestrator", version="test"))
    outbox = OutboxStore(load_queries("aif_orchestrator.store"))
    return Relay(bus=bus, database=database, outbox=outbox, figures=figures, replica="one")


def lookout(database: Database, *, mark: str = "50", relay: Relay | None = None) -> Lookout:
    """Unless it is given one, its relay does not run: what it would publish stays in the outbox."""
    return Lookout(
        database=database,
        alerts=ALERTS,
        relay=relay or relay_over(MemoryBus(MemoryBroker()), database),
        registry=new_registry(service="orchestrator", version="test"),
        weekly_mark_usd=Decimal(mark),
        every_seconds=60,
    )


async def account(
    database: Database, client_id: str, *, spent: str, limit: str = "100", month: str | None = None, energy: int = 0
) -> None:
    """An account of this month, or of another. Its pace never matters: a tenth above it is already spent."""
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO budget_windows (client_id, budget_window, limit_usd, policy, energy_limit, spent_usd, energy_spent)"
            " VALUES ($1, coalesce($5, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')), $2, 'warn', 10, $3, $4)"
            " ON CONFLICT (client_id, budget_window) DO UPDATE SET spent_usd = EXCLUDED.spent_usd,"
            " limit_usd = EXCLUDED.limit_usd",
            client_id,
            Decimal(limit),
            Decimal(spent),
            energy,
            month,
        )


async def call(database: Database, key: str, client_id: str, cost: str, *, days_ago: int = 0) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO provider_calls (call_key, execution_id, client_id, stage_id, attempt, worker_name, action, capability,"
            " provider, model, purpose, reason, outcome, prompt_tokens, completion_tokens, cache_read_tokens,"
            " cache_write_tokens, reasoning_tokens, audio_ms, characters, cost_usd, basis, latency_ms, booked_at)"
            " VALUES ($1, 'exec_1', $2, 's', 1, 'maker', 'make', 'generate', 'openai', 'gpt-5', 'first_try', '', 'answered',"
            " 1, 1, 0, 0, 0, 0, 0, $3, 'usage', 5, now() - make_interval(days => $4))",
            key,
            client_id,
            Decimal(cost),
            days_ago,
        )


async def last_month(database: Database) -> str:
    async with database.connection() as connection:
        month: str = await connection.fetchval(
            "SELECT to_char(date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 day', 'YYYY-MM')"
        )
    return month


def said(alerts: list[BudgetAlert]) -> list[tuple[str, str, int]]:
    """Without forecasts, which depend on the day of the month."""
    return sorted(
        (each.client_id, each.kind.value, each.threshold_percent) for each in alerts if each.kind is not AlertKind.FORECAST
    )


async def outbox_messages(database: Database) -> list[Outgoing]:
    outbox = OutboxStore(load_queries("aif_orchestrator.store"))
    async with database.transaction() as connection:
        rows = await outbox.lock_stale(connection, older_than_seconds=0, but_not=())
    return [message for row in rows for message in row.messages]


async def test_a_threshold_is_said_once_and_of_several_that_are_passed_at_once_the_highest(database: Database) -> None:
    looking = lookout(database)
    await account(database, "acme", spent="50")

    first = await looking.look()
    again = await looking.look()
    await account(database, "acme", spent="100")
    later = await looking.look()
    at_the_end = await looking.look()

    assert said(first) == [("acme", "spent", 50)]
    assert said(again) == []
    assert said(later) == [("acme", "spent", 100)]
    assert said(at_the_end) == []


async def test_a_limit_that_was_raised_is_said_when_it_is_reached_and_the_old_one_is_not_said_again(database: Database) -> None:
    looking = lookout(database)
    await account(database, "acme", spent="60", limit="50")
    await looking.look()
    await account(database, "acme", spent="60", limit="100")
    raised = await looking.look()
    await account(database, "acme", spent="80", limit="100")
    later = await looking.look()
    await account(database, "acme", spent="80", limit="50")

    back = await looking.look()

    assert (said(raised), said(later), said(back)) == ([("acme", "spent", 50)], [("acme", "spent", 80)], [])
    assert len({message.message_id for message in await outbox_messages(database)}) >= 3


async def test_what_is_said_is_in_the_outbox_under_the_alerts_id(database: Database) -> None:
    await account(database, "acme", spent="0", energy=5)

    (alert,) = await lookout(database).look()

    (message,) = await outbox_messages(database)
    assert message.subject == "aif.alert.acme"
    assert message.message_id == alert.alert_id
    assert msgspec.json.decode(message.payload, type=BudgetAlert) == alert


async def test_what_is_said_does_not_wait_in_the_outbox_to_be_found(database: Database) -> None:
    await account(database, "acme", spent="0", energy=5)
    bus = MemoryBus(MemoryBroker())
    relay = relay_over(bus, database)
    running = asyncio.create_task(relay.run())

    async with bus.listen(subjects.alert("acme")) as heard:
        (alert,) = await lookout(database, relay=relay).look()
        message = await heard.next(30)

    assert message is not None
    assert msgspec.json.decode(message.payload, type=BudgetAlert) == alert
    running.cancel()
    await asyncio.wait([running])
    await bus.close()


async def test_of_several_replicas_one_says_it(database: Database) -> None:
    for client in ("acme", "beta", "gamma"):
        await account(database, client, spent="90")

    told = await asyncio.gather(*(lookout(database).look() for _ in range(6)))

    assert said([alert for each in told for alert in each]) == [(client, "spent", 80) for client in ("acme", "beta", "gamma")]
    messages = [each for each in await outbox_messages(database) if b'"spent"' in each.payload]
    assert len(messages) == 3


async def test_a_month_that_is_over_is_still_charged_and_said(database: Database) -> None:
    last = await last_month(database)
    await account(database, "acme", spent="80", month=last)
    await account(database, "ancient", spent="80", month="2024-01")

    alerts = await lookout(database).look()

    assert [(each.client_id, each.window, each.threshold_percent) for each in alerts] == [
        ("acme", last, 80),
    ]


async def test_a_week_above_the_mark_is_said_once_and_only_of_this_week(database: Database) -> None:
    looking = lookout(database, mark="50")
    await account(database, "acme", spent="90", limit="1000")
    await account(database, "thrifty", spent="90", limit="1000")
    await call(database, "c1", "acme", "30.5")
    await call(database, "c2", "acme", "31")
    await call(database, "c3", "thrifty", "50")
    await call(database, "c4", "thrifty", "40", days_ago=8)

    alerts = [each for each in await looking.look() if each.kind is AlertKind.WEEKLY]
    again = [each for each in await looking.look() if each.kind is AlertKind.WEEKLY]

    assert [(each.client_id, each.spent_usd, each.limit_usd) for each in alerts] == [("acme", "61.5", "50")]
    assert alerts[0].window[4:6] == "-W"
    assert again == []


async def test_what_was_said_of_one_client_month_and_week_silences_no_other(database: Database) -> None:
    looking = lookout(database, mark="50")
    await account(database, "acme", spent="80")
    await call(database, "c1", "acme", "60")
    assert said(await looking.look()) == [("acme", "spent", 80), ("acme", "weekly", 100)]
    async with database.connection() as connection:
        await connection.execute("UPDATE budget_alerts SET budget_window = '2020-W01' WHERE kind = 'weekly'")

    await account(database, "beta", spent="80")
    of_another = said(await looking.look())
    await account(database, "acme", spent="80", month=await last_month(database))
    await call(database, "c2", "beta", "60")

    assert of_another == [("acme", "weekly", 100), ("beta", "spent", 80)]
    assert said(await looking.look()) == [("acme", "spent", 80), ("beta", "weekly", 100)]


async def test_what_a_week_has_cost_is_said_whichever_months_it_is_charged_to(database: Database) -> None:
    await account(database, "acme", spent="30", limit="1000")
    await account(database, "acme", spent="30", limit="1000", month=await last_month(database))
    await call(database, "c1", "acme", "60")

    assert said(await lookout(database, mark="50").look()) == [("acme", "weekly", 100)]


async def test_what_of_a_week_is_rolled_up_is_said_without_reading_its_calls_again(database: Database) -> None:
    await account(database, "acme", spent="90", limit="1000")
    await call(database, "c1", "acme", "40")
    usage = UsageStore(load_queries("aif_orchestrator.usage"))
    await UsageRolling(database=database, usage=usage, pace=Pace(least_age_seconds=0)).roll()
    async with database.connection() as connection:
        await connection.execute("DELETE FROM provider_calls")
    await call(database, "c2", "acme", "20.5")

    (alert,) = await lookout(database, mark="50").look()

    assert (alert.kind, alert.spent_usd) == (AlertKind.WEEKLY, "60.5")


async def test_a_mark_of_nothing_says_nothing_of_weeks(database: Database) -> None:
    await account(database, "acme", spent="90", limit="1000")
    await call(database, "c1", "acme", "60")

    assert [each for each in await lookout(database, mark="0").look() if each.kind is AlertKind.WEEKLY] == []


async def test_a_months_alerts_are_read_back_as_they_were_said(database: Database) -> None:
    await account(database, "acme", spent="90")
    await call(database, "c1", "acme", "60")
    alerts = await lookout(database).look()

    async with database.connection() as connection:
        found = await ALERTS.alerts_of(connection, ["acme", "beta"], alerts[0].window)

    assert set(found) == {"acme"}
    assert found["acme"] == alerts
    assert "weekly" in {each.kind for each in found["acme"]}


async def test_a_months_alerts_are_the_clients_own_of_that_month_and_its_weeks_as_they_came(database: Database) -> None:
    looking, before = lookout(database), await last_month(database)
    await account(database, "acme", spent="80", month=before)
    await call(database, "c1", "acme", "90")
    await looking.look()
    async with database.connection() as connection:
        await connection.execute("UPDATE budget_alerts SET raised_at = now() - interval '70 days' WHERE kind = 'weekly'")
        this = await connection.fetchval("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')")

        assert await ALERTS.alerts_of(connection, ["acme"], this) == {}
        assert await ALERTS.alerts_of(connection, ["beta"], before) == {}

        await account(database, "acme", spent="100")
        await looking.look()
        await connection.execute("UPDATE budget_windows SET energy_spent = 10")
        await looking.look()
        found = await ALERTS.alerts_of(connection, ["acme"], this)
    assert [each.kind for each in found["acme"]] == ["spent", "energy"]


async def test_alerts_are_counted_by_kind_and_threshold(database: Database) -> None:
    registry = new_registry(service="orchestrator", version="test")
    looking = Lookout(
        database=database,
        alerts=ALERTS,
        relay=relay_over(MemoryBus(MemoryBroker()), database),
        registry=registry,
        weekly_mark_usd=Decimal(0),
        every_seconds=60,
    )
    await account(database, "acme", spent="0", energy=8)

    await looking.look()

    page = metrics_page(registry).decode()
    assert 'aif_budget_alerts_total{kind="energy",threshold_percent="50"}' not in page
    assert 'aif_budget_alerts_total{kind="energy",threshold_percent="80"} 1.0' in page
