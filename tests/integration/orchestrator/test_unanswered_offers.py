"""What the relay tidies: rows that are done or left behind, and unanswered offers, which the core writes again."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from aif_contracts import subjects
from aif_orchestrator.engine.arrivals import NotApplied
from aif_orchestrator.engine.figures import Figures
from aif_orchestrator.engine.relay import Relay
from aif_orchestrator.execution.happenings import Happening, PacketUntold
from aif_orchestrator.store.outbox import NamedPacket, OutboxStore, packed_row
from aif_runtime.bus import Offer, Outgoing
from aif_runtime.failures import DatabaseUnavailable
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.metrics import new_registry
from aif_runtime.postgres import Database
from aif_runtime.sql_files import load_queries
from support.execution_story import Story, pipeline, stage
from support.manual_clock import ManualClock
from support.orchestrator_line import orchestrator_database
from support.waiting import eventually

PACKET = Story(pipeline(stage("one")), free=True).last_packet("one")
MESSAGE = Outgoing(subject=subjects.work("maker", "normal"), payload=b"packet", message_id=PACKET.packet_id)
NAMED = NamedPacket(PACKET.execution_id, PACKET.stage_id, PACKET.packet_id)
UNTOLD = ("exec_1", PacketUntold(stage_id="one", packet_id=PACKET.packet_id))
EVENT = Outgoing(subject=subjects.event("acme", "exec_1", "STEP_STARTED"), payload=b"[]")


REFUSE_DELETIONS = """
CREATE SEQUENCE refusals MINVALUE 0;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% deletions refused', nextval('refusals') USING ERRCODE = 'lock_not_available'; END $$;
CREATE TRIGGER refuse BEFORE DELETE ON outbox FOR EACH STATEMENT EXECUTE FUNCTION refuse();
"""


class CountingBus(MemoryBus):
    """Counts what was tried."""

    publishes = 0

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        self.publishes += 1
        await super().publish(messages)


class TidiedRelay:
    """A relay whose tidying is under way, a worker that takes what it is offered and says nothing, and a core of the test's."""

    def __init__(self, database: Database) -> None:
        self.clock = ManualClock()
        self.broker = MemoryBroker(clock=self.clock.monotonic)
        self.bus = CountingBus(self.broker)
        self.database = database
        self.relay = Relay(
            bus=self.bus,
            database=database,
            outbox=OutboxStore(load_queries("aif_orchestrator.store")),
            figures=Figures(new_registry(service="orchestrator", version="test")),
            replica="replica_1",
            monotonic=self.clock.monotonic,
        )
        self.told: list[tuple[str, Happening]] = []
        self.failure: Exception | None = None
        """What comes of telling."""
        self.offered: list[Offer] = []

    def take(self, offer: Offer) -> bool:
        self.offered.append(offer)
        return True

    async def apply(self, execution_id: str, happening: Happening) -> None:
        self.told.append((execution_id, happening))
        if self.failure is not None:
            raise self.failure

    async def sends(self, message: Outgoing, *packets: NamedPacket) -> int:
        """The row's id. Rows are so old that any relay would adopt what nobody holds."""
        outbox_id = await self.leaves(message, *packets)
        await self.relay.send(outbox_id, [message], packets)
        return outbox_id

    async def leaves(self, message: Outgoing, *packets: NamedPacket) -> int:
        """The row's id, which a replica has committed that is dead by now."""
        content = packed_row([message], packets=[PACKET] if packets else [])
        async with self.database.connection() as connection:
            outbox_id: int = await connection.fetchval(
                "INSERT INTO outbox (content, created_at) VALUES ($1, now() - interval '1 minute') RETURNING outbox_id", content
            )
        return outbox_id

    async def offers(self) -> int:
        """The row's id, once its packet is with the worker."""
        outbox_id = await self.sends(MESSAGE, NAMED)
        await eventually(lambda: self.offered, what="it is offered")
        return outbox_id

    async def rows(self) -> list[int]:
        async with self.database.connection() as connection:
            return [row["outbox_id"] for row in await connection.fetch("SELECT outbox_id FROM outbox ORDER BY outbox_id")]

    async def is_tidied(self) -> None:
        """A whole round, seen by a row that it deletes."""
        published = await self.sends(EVENT)
        await eventually(lambda: self._is_gone(published), what="a round of tidying")

    async def _is_gone(self, outbox_id: int) -> bool:
        return outbox_id not in await self.rows()


@pytest.fixture
async def tidied(fresh_orchestrator_database: str) -> AsyncIterator[TidiedRelay]:
    async with orchestrator_database(fresh_orchestrator_database) as database:
        tidied = TidiedRelay(database)
        async with tidied.bus.take_offers(subjects.offers("maker"), "maker", tidied.take):
            running = [asyncio.create_task(tidied.relay.run()), asyncio.create_task(tidied.relay.tidy(tidied.apply))]
            await eventually(lambda: tidied.relay._hears_refusals, what="refusals are heard")
            yield tidied
            for task in running:
                task.cancel()
            await asyncio.wait(running)
        await tidied.bus.close()


async def test_an_offer_of_which_nothing_is_heard_for_three_seconds_is_told_once_and_its_row_goes(tidied: TidiedRelay) -> None:
    outbox_id = await tidied.offers()
    tidied.clock.advance(2.9)
    await tidied.is_tidied()
    told_early, kept = list(tidied.told), await tidied.rows()

    tidied.clock.advance(0.1)
    await tidied.is_tidied()
    await tidied.is_tidied()

    assert (told_early, kept) == ([], [outbox_id])
    assert tidied.told == [UNTOLD]
    assert await tidied.rows() == []


async def test_an_offer_whose_report_has_come_is_never_told(tidied: TidiedRelay) -> None:
    await tidied.offers()
    tidied.relay.has_come_of([PACKET.packet_id])

    tidied.clock.advance(60)
    await tidied.is_tidied()

    assert tidied.told == []
    assert await tidied.rows() == []


async def test_while_the_database_is_away_an_offer_is_kept_and_told_later(tidied: TidiedRelay) -> None:
    outbox_id = await tidied.offers()
    tidied.failure = DatabaseUnavailable("away")
    tidied.clock.advance(3)
    await eventually(lambda: tidied.told, what="it is told in vain")
    kept = await tidied.rows()

    tidied.failure = None
    await tidied.is_tidied()

    assert kept == [outbox_id]
    assert tidied.told == [UNTOLD, UNTOLD]
    assert await tidied.rows() == []


async def test_an_offer_that_the_core_cannot_take_back_is_told_once(tidied: TidiedRelay) -> None:
    await tidied.offers()
    tidied.failure = NotApplied("a mistake of ours")
    tidied.clock.advance(3)

    await tidied.is_tidied()
    await tidied.is_tidied()

    assert tidied.told == [UNTOLD]
    assert await tidied.rows() == []


async def test_only_the_offers_that_are_overdue_are_told(tidied: TidiedRelay) -> None:
    await tidied.offers()
    tidied.clock.advance(2)
    later = NamedPacket("exec_2", "one", "packet_2.one.1")
    row = await tidied.sends(Outgoing(subject=MESSAGE.subject, payload=b"", message_id=later.packet_id), later)
    await eventually(lambda: len(tidied.offered) == 2, what="both are offered")

    tidied.clock.advance(1)
    await tidied.is_tidied()

    assert tidied.told == [UNTOLD]
    assert await tidied.rows() == [row]


async def test_a_row_that_cannot_be_deleted_now_is_deleted_later_and_its_messages_are_not_told_again(
    tidied: TidiedRelay,
) -> None:
    async with tidied.bus.listen(EVENT.subject) as heard, tidied.database.connection() as connection:
        await connection.execute(REFUSE_DELETIONS)
        await tidied.sends(EVENT)
        await eventually(lambda: connection.fetchval("SELECT last_value >= 2 FROM refusals"), what="its deletion is refused")

        await connection.execute("DROP TRIGGER refuse ON outbox")
        await tidied.is_tidied()

        assert await tidied.rows() == []
        # The second one ends the round in which the first one goes.
        told = [await heard.next(0.05) for _ in range(3)]
    assert [each and each.payload for each in told] == [EVENT.payload, EVENT.payload, None]


async def test_what_a_dead_replica_has_left_while_the_broker_was_away_is_told_once_it_is_back(tidied: TidiedRelay) -> None:
    async with tidied.bus.listen(EVENT.subject) as heard:
        tidied.broker.go_down()
        outbox_id = await tidied.leaves(EVENT)
        await eventually(lambda: tidied.bus.publishes, what="it is told in vain")
        kept = await tidied.rows()

        tidied.broker.come_back()
        told = await heard.next(5)

        await eventually(lambda: tidied._is_gone(outbox_id), what="the row goes")
    assert kept == [outbox_id]
    assert told is not None
    assert told.payload == EVENT.payload
