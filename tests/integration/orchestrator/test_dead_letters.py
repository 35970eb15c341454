"""Dead letters with real Postgres, over the in-memory bus: kept, listed, looked at, sent again, dismissed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.dead_letters import (
    DeadLetter,
    DeadLetterContent,
    DeadLetterPage,
    DeadLetterStatus,
    DeadLetterView,
    DismissDeadLetter,
    GetDeadLetter,
    ListDeadLetters,
    ReplayDeadLetter,
)
from aif_contracts.orders import Refusal
from aif_contracts.packets import WorkPacket
from aif_runtime.bus import ConsumerSpec, Deliveries, Delivery, Outgoing
from aif_runtime.failures import BusUnavailable
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.postgres import Database
from support.execution_story import deliverable, pipeline, stage
from support.orchestrator_line import Client, HandWorker, orchestrator_database, running_orchestrator
from support.waiting import eventually

ONE = pipeline(stage("only"), name="one_stage", outputs=(deliverable("only"),))
TWO = pipeline(stage("first"), stage("second", depends_on=("first",)), name="two_stages", outputs=(deliverable("second"),))
REFUSE_DELETIONS = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'lock_not_available'; END $$;
CREATE TRIGGER refuse BEFORE DELETE ON dead_letters FOR EACH STATEMENT EXECUTE FUNCTION refuse();
"""


class DeadLetterRig:
    """An orchestrator's surroundings, and an operator who asks about dead letters."""

    def __init__(self, database: Database) -> None:
        self.broker = MemoryBroker()
        self.bus = MemoryBus(self.broker)
        self.database = database
        self.client = Client(self.bus)

    def orchestrator(self, **settings: Any) -> AbstractAsyncContextManager[None]:
        return running_orchestrator(self.bus, MemoryBlobStore(), self.database, [ONE, TWO], **settings)

    async def bury(self, subject: str, payload: bytes, *, origin: str = "requests", **fields: Any) -> None:
        """As a service that gives up on a message."""
        given: dict[str, Any] = {"reason": "bad", "headers": {}, "deliveries": 1, "found_by": "kam"}
        letter = DeadLetter(subject=subject, payload=payload, **(given | fields))
        await self.bus.publish([Outgoing(subject=subjects.dead(origin), payload=msgspec.json.encode(letter))])

    async def buried(self, subject: str, payload: bytes, **fields: Any) -> DeadLetterView:
        """As `bury`, until it is listed."""
        await self.bury(subject, payload, **fields)
        page = await eventually(lambda: self.listed(1), what="the letter is listed")
        return page[0]

    async def page(self, **request: Any) -> DeadLetterPage:
        answer: DeadLetterPage = await self._asked(subjects.LIST_DEAD_LETTERS, ListDeadLetters(**request), DeadLetterPage)
        return answer

    async def listed(self, count: int) -> tuple[DeadLetterView, ...]:
        """All there are, as soon as there are so many."""
        letters = (await self.page(limit=100)).dead_letters
        assert len(letters) >= count, f"{len(letters)} letters"
        return letters

    async def content(self, letter: DeadLetterView) -> DeadLetterContent:
        request = GetDeadLetter(dead_letter_id=letter.dead_letter_id)
        answer: DeadLetterContent = await self._asked(subjects.GET_DEAD_LETTER, request, DeadLetterContent)
        return answer

    async def replay(self, letter: DeadLetterView, decided_by: str = "ada") -> Any:
        request = ReplayDeadLetter(dead_letter_id=letter.dead_letter_id, decided_by=decided_by)
        return await self._asked(subjects.REPLAY_DEAD_LETTER, request, DeadLetterView)

    async def dismiss(self, letter: DeadLetterView, decided_by: str = "ada") -> Any:
        request = DismissDeadLetter(dead_letter_id=letter.dead_letter_id, decided_by=decided_by)
        return await self._asked(subjects.DISMISS_DEAD_LETTER, request, DeadLetterView)

    async def refusal(self, subject: str, question: bytes) -> Refusal:
        return msgspec.json.decode(await self.bus.ask(subject, question, wait_seconds=5), type=Refusal)

    async def stored_in(self, stream: str, pattern: str, durable: str = "reader") -> Sequence[Delivery]:
        """What the durable reader has not seen yet."""
        deliveries = await self.bus.open_consumer(ConsumerSpec(stream=stream, durable=durable, filter_subject=pattern))
        return await deliveries.fetch(100, 0.05)

    async def _asked(self, subject: str, request: msgspec.Struct, kind: type[msgspec.Struct]) -> Any:
        answer = await self.bus.ask(subject, msgspec.json.encode(request), wait_seconds=5)
        return msgspec.json.decode(answer, type=Refusal if b'"reply":"refusal"' in answer else kind)


class AwayAtFirst:
    """Deliveries of a broker that is away when it is first asked for some."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self.close = deliveries.close
        self.was_asked = False

    async def fetch(self, max_messages: int, wait_seconds: float) -> Sequence[Delivery]:
        if not self.was_asked:
            self.was_asked = True
            raise BusUnavailable("away")
        return await self._deliveries.fetch(max_messages, wait_seconds)


class BusAwayAtFirst(MemoryBus):
    """For the one who reads dead letters."""

    async def open_consumer(self, spec: ConsumerSpec) -> Any:
        deliveries = await super().open_consumer(spec)
        return AwayAtFirst(deliveries) if spec.durable == subjects.CONSUMER_DEAD else deliveries


@pytest.fixture
async def rig(fresh_orchestrator_database: str) -> AsyncIterator[DeadLetterRig]:
    async with orchestrator_database(fresh_orchestrator_database) as database:
        yield DeadLetterRig(database)


async def test_poison_is_listed_with_reason_and_owner_and_shown_with_its_bytes(rig: DeadLetterRig) -> None:
    async with rig.orchestrator():
        poison = b'[{"type":"nope","execution_id":"exec_7"}]'
        report = Outgoing(subject=subjects.report("maker"), payload=poison, headers={"traceparent": "00-abc"})
        await rig.bus.publish([report])

        letter = (await eventually(lambda: rig.listed(1)))[0]
        content = await rig.content(letter)

    assert letter.origin == "reports"
    assert letter.subject == "aif.report.maker"
    assert "nope" in letter.reason
    assert letter.found_by == "orchestrator"
    assert letter.deliveries == 1
    assert letter.size_bytes == 41
    assert letter.status == "waiting"
    assert letter.execution_id == "exec_7"
    assert letter.decided_by is None
    assert content.dead_letter == letter
    assert content.payload == poison
    assert content.headers["traceparent"] == "00-abc"


async def test_a_wiped_broker_loses_no_letter_that_was_read(rig: DeadLetterRig) -> None:
    async with rig.orchestrator():
        before = await rig.buried(subjects.submit("acme"), b"poison")

        rig.broker.wipe()
        await rig.bury(subjects.submit("acme"), b"more poison")

        after = await eventually(lambda: rig.listed(2))
        assert after[1] == before
        assert (await rig.content(before)).payload == b"poison"


async def test_letters_that_are_delivered_again_and_to_other_replicas_are_kept_once(rig: DeadLetterRig) -> None:
    for number in range(40):
        await rig.bury(subjects.submit("acme"), b"poison %d" % number)
    async with rig.orchestrator(), rig.orchestrator():
        await eventually(lambda: rig.listed(40))

    # As when its consumer was lost and begins anew.
    rig.broker._streams[subjects.STREAM_DEAD]._consumers.clear()
    async with rig.orchestrator():
        await rig.bury(subjects.submit("acme"), b"the last")
        letters = await eventually(lambda: rig.listed(41))

    assert len(letters) == 41


async def test_what_is_no_letter_is_kept_too(rig: DeadLetterRig) -> None:
    async with rig.orchestrator():
        await rig.bus.publish([Outgoing(subject=subjects.dead("usage"), payload=b"\xff\x00")])

        letter = (await eventually(lambda: rig.listed(1)))[0]

        assert letter.origin == "usage"
        assert letter.reason.startswith("this is no dead letter")
        assert (await rig.content(letter)).payload == b"\xff\x00"
        assert (await rig.replay(letter)).code == "not_replayable"
        assert (await rig.dismiss(letter)).status == "dismissed"


async def test_pages_are_newest_first_and_filtered(rig: DeadLetterRig) -> None:
    async with rig.orchestrator():
        for number in range(5):
            await rig.buried(subjects.submit("acme"), b"order %d" % number, reason=f"order {number}")
            await eventually(lambda number=number: rig.listed(number + 1))  # type: ignore[misc]
        await rig.bury(subjects.usage("exec_1"), b"call", origin="usage", reason="call")
        newest = (await eventually(lambda: rig.listed(6)))[0]
        await rig.dismiss(newest)

        first = await rig.page(status=DeadLetterStatus.WAITING, limit=3)
        second = await rig.page(status=DeadLetterStatus.WAITING, limit=3, cursor=first.next_cursor)

        assert [each.reason for each in first.dead_letters] == ["order 4", "order 3", "order 2"]
        assert [each.reason for each in second.dead_letters] == ["order 1", "order 0"]
        assert second.next_cursor is None
        assert (await rig.page(status=DeadLetterStatus.WAITING, limit=5)).next_cursor is None
        assert [each.reason for each in (await rig.page(origin="usage")).dead_letters] == ["call"]
        assert [each.reason for each in (await rig.page(status=DeadLetterStatus.DISMISSED)).dead_letters] == ["call"]


async def test_a_cursor_of_ones_own_making_is_refused(rig: DeadLetterRig) -> None:
    async with rig.orchestrator():
        for cursor in ("dead_1", "", "-1", "\N{FULLWIDTH DIGIT ONE}", "9" * 19):
            request = ListDeadLetters(cursor=cursor)
            refused = await rig.refusal(subjects.LIST_DEAD_LETTERS, msgspec.json.encode(request))
            assert (refused.code, refused.mistakes[0].field) == ("invalid_cursor", "cursor")
        assert (await rig.page(cursor="9" * 18)).dead_letters == ()


async def test_a_letter_that_is_not_there_is_unknown(rig: DeadLetterRig) -> None:
    question = b'{"dead_letter_id":"dead_nothing","decided_by":"ada"}'
    async with rig.orchestrator():
        for subject in (subjects.GET_DEAD_LETTER, subjects.REPLAY_DEAD_LETTER, subjects.DISMISS_DEAD_LETTER):
            refused = await rig.refusal(subject, question)
            assert (refused.code, refused.message) == ("unknown_dead_letter", "there is no dead letter dead_nothing")


async def test_a_replayed_letter_is_the_message_as_it_came_under_a_new_id(rig: DeadLetterRig) -> None:
    async with rig.orchestrator():
        headers = {"traceparent": "00-abc", "Nats-Msg-Id": "old", "nats-expected-last-sequence": "9", "a b": "unsendable"}
        letter = await rig.buried(subjects.submit("acme"), b'{"template":"x"}', headers=headers)

        replayed = await rig.replay(letter, decided_by="ada")

        assert replayed.status == "replayed"
        assert replayed.decided_by == "ada"
        assert replayed.decided_at is not None
        assert (await rig.page()).dead_letters == (replayed,)
        sent = await rig.stored_in(subjects.STREAM_REQUESTS, subjects.ALL_REQUESTS)
        assert [(each.subject, each.payload, dict(each.headers)) for each in sent] == [
            ("aif.request.submit.acme", b'{"template":"x"}', {"traceparent": "00-abc"})
        ]


async def test_a_letter_is_decided_about_once(rig: DeadLetterRig) -> None:
    async with rig.orchestrator():
        letter = await rig.buried(subjects.submit("acme"), b"poison")

        answers = await asyncio.gather(
            *(rig.replay(letter, decided_by=f"replayer {n}") for n in range(5)),
            *(rig.dismiss(letter, decided_by=f"dismisser {n}") for n in range(5)),
        )

        decided = [answer for answer in answers if isinstance(answer, DeadLetterView)]
        assert len(decided) == 1
        refusals = [answer for answer in answers if isinstance(answer, Refusal)]
        assert {refusal.code for refusal in refusals} == {"already_decided"}
        assert all(decided[0].decided_by in refusal.message for refusal in refusals if decided[0].decided_by)
        sent = await rig.stored_in(subjects.STREAM_REQUESTS, subjects.ALL_REQUESTS)
        assert len(sent) == (1 if decided[0].status == "replayed" else 0)


async def test_a_letter_that_could_not_be_sent_waits_and_a_second_try_is_the_same_message(rig: DeadLetterRig) -> None:
    async with rig.orchestrator():
        letter = await rig.buried(subjects.submit("acme"), b"order")

        rig.broker.stop_confirming()
        refused = await rig.replay(letter)
        rig.broker.come_back()

        assert refused.code == "bus_unavailable"
        assert refused.retry_after_ms is not None
        assert (await rig.page()).dead_letters == (letter,)
        assert (await rig.replay(letter)).status == "replayed"
        assert len(await rig.stored_in(subjects.STREAM_REQUESTS, subjects.ALL_REQUESTS)) == 1


async def test_a_dismissed_letter_is_kept_and_not_sent(rig: DeadLetterRig) -> None:
    async with rig.orchestrator():
        letter = await rig.buried(subjects.submit("acme"), b"poison")

        dismissed = await rig.dismiss(letter, decided_by="ada")

        assert dismissed.status == "dismissed"
        assert dismissed.decided_by == "ada"
        assert (await rig.content(letter)).payload == b"poison"
        assert (await rig.replay(letter)).code == "already_decided"
        assert await rig.stored_in(subjects.STREAM_REQUESTS, subjects.ALL_REQUESTS) == []


@pytest.mark.parametrize(
    ("subject", "fields", "code"),
    [
        ("aif.orchestrator.execute", {}, "not_replayable"),
        ("aif.work.*.normal", {}, "not_replayable"),
        (subjects.submit("acme"), {"whole_size_bytes": 600_000}, "payload_cut"),
    ],
)
async def test_what_makes_no_sense_to_send_is_not_sent(
    rig: DeadLetterRig, subject: str, fields: dict[str, Any], code: str
) -> None:
    async with rig.orchestrator():
        letter = await rig.buried(subject, b"{}", **fields)

        refused = await rig.replay(letter)

        assert refused.code == code
        assert (await rig.page()).dead_letters == (letter,)


async def test_a_packet_of_an_ended_execution_is_not_sent_and_resume_is_named(rig: DeadLetterRig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")
        delivery, packet = await worker.take()
        await worker.granted(packet)
        await rig.client.cancel("exec_1")
        letter = await rig.buried(delivery.subject, delivery.payload, origin="work")

        refused = await rig.replay(letter)

        assert refused.code == "execution_has_ended"
        assert "aif resume exec_1" in refused.message
        assert letter.execution_id == "exec_1"


async def test_packets_that_nobody_waits_for_are_not_sent(rig: DeadLetterRig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")
        delivery, packet = await worker.take()
        older = msgspec.structs.replace(packet, packet_id=packet.packet_id[:-1] + "0")
        strange = msgspec.structs.replace(packet, stage_id="other")
        unknown = msgspec.structs.replace(packet, execution_id="exec_9")

        codes = [await _replay_of(rig, delivery.subject, each) for each in (older, strange, unknown)]

        assert codes == ["packet_superseded", "stage_has_ended", "unknown_execution"]


async def test_the_packet_of_a_stage_that_has_ended_is_not_sent_though_its_execution_goes_on(rig: DeadLetterRig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "two_stages")
        delivery, packet = await worker.take()
        await worker.completes(packet, await worker.granted(packet), {"made": True})
        await worker.take()

        assert await _replay_of(rig, delivery.subject, packet) == "stage_has_ended"


@pytest.mark.parametrize(
    ("subject", "origin", "execution_id"),
    [
        (subjects.work("maker", "normal"), "work", "exec_1"),
        (subjects.report("maker"), "reports", "exec_1"),
        (subjects.report("maker"), "reports", "exec_9"),
        (subjects.usage("exec_9"), "usage", "exec_9"),
    ],
    ids=["work", "a report", "a report of nobody's execution", "a call of nobody's execution"],
)
async def test_what_this_release_cannot_read_and_what_is_no_work_is_sent_again_as_it_is(
    rig: DeadLetterRig, subject: str, origin: str, execution_id: str
) -> None:
    strange = msgspec.json.encode({"type": "of_tomorrow", "execution_id": execution_id})
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")

        letter = await rig.buried(subject, strange, origin=origin)

        assert letter.execution_id == execution_id
        assert (await rig.replay(letter)).status == "replayed"


async def test_the_packet_that_a_stage_waits_for_is_done_when_it_is_sent_again(rig: DeadLetterRig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "one_stage")
        delivery, packet = await worker.take()
        letter = await rig.buried(delivery.subject, delivery.payload, origin="work", found_by="maker")
        await delivery.discard()

        assert (await rig.replay(letter)).status == "replayed"
        again = await worker.does_next({"made": True})
        await eventually(lambda: rig.client.has_ended("exec_1"))

        assert again == packet
        assert await rig.client.status("exec_1") == "completed"


async def test_the_packet_of_a_stage_that_lost_five_workers_is_a_dead_letter(rig: DeadLetterRig) -> None:
    worker = HandWorker(rig.bus)
    async with rig.orchestrator(orchestrator_lease_seconds=0.5):
        await rig.client.execute("exec_1", "one_stage")
        for _ in range(5):
            delivery, packet = await worker.take()
            await worker.beats(packet, await worker.granted(packet))
            await delivery.discard()
        await eventually(lambda: rig.client.has_ended("exec_1"))

        letter = (await eventually(lambda: rig.listed(1)))[0]
        content = await rig.content(letter)

        assert await rig.client.status("exec_1") == "failed"
        assert (letter.origin, letter.subject) == ("work", "aif.work.maker.normal")
        assert (letter.found_by, letter.execution_id) == ("orchestrator", "exec_1")
        assert "fell silent, as 4 others did before" in letter.reason
        kept = msgspec.json.decode(content.payload, type=WorkPacket)
        assert (kept.packet_id, kept.data_ref) == (packet.packet_id, packet.data_ref)
        assert (await rig.replay(letter)).code == "execution_has_ended"


async def test_what_was_decided_long_ago_is_forgotten_and_what_waits_is_not(rig: DeadLetterRig) -> None:
    async with rig.orchestrator():
        for number in range(3):
            await rig.bury(subjects.submit("acme"), b"%d" % number, reason=f"order {number}")
        third, second, _first = await eventually(lambda: rig.listed(3))
        await rig.dismiss(third)
        await rig.replay(second)
    async with rig.database.transaction() as connection:
        await connection.execute("UPDATE dead_letters SET found_at = now() - interval '300 days'")
        await connection.execute(
            "UPDATE dead_letters SET decided_at = now() - interval '31 days' WHERE dead_letter_id = $1", third.dead_letter_id
        )

    async with rig.orchestrator():
        left = await eventually(lambda: _only_so_many(rig, 2), what="one is forgotten")

    assert [each.reason for each in left] == ["order 1", "order 0"]


async def test_letters_wait_for_a_database_that_is_away(rig: DeadLetterRig) -> None:
    async with rig.orchestrator():
        async with rig.database.transaction() as holding:
            await holding.execute("LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE")
            await rig.bury(subjects.submit("acme"), b"poison")
            # Longer than a lock is waited for.
            await eventually(lambda: _is_pending_again(rig), 10.0, what="the letter is put off")

        assert len(await eventually(lambda: rig.listed(1))) == 1


async def test_letters_are_kept_though_old_ones_could_not_be_forgotten(rig: DeadLetterRig) -> None:
    async with rig.database.connection() as connection:
        await connection.execute(REFUSE_DELETIONS)

    async with rig.orchestrator():
        assert (await rig.buried(subjects.submit("acme"), b"poison")).status == "waiting"


async def test_letters_are_read_on_after_the_broker_was_away(rig: DeadLetterRig) -> None:
    rig.bus = BusAwayAtFirst(rig.broker)

    async with rig.orchestrator():
        assert (await rig.buried(subjects.submit("acme"), b"poison")).status == "waiting"


async def _replay_of(rig: DeadLetterRig, subject: str, packet: WorkPacket) -> str:
    before = len((await rig.page(limit=100)).dead_letters)
    await rig.bury(subject, msgspec.json.encode(packet), origin="work")
    letter = (await eventually(lambda: rig.listed(before + 1)))[0]
    return str((await rig.replay(letter)).code)


async def _only_so_many(rig: DeadLetterRig, count: int) -> tuple[DeadLetterView, ...]:
    letters = (await rig.page(limit=100)).dead_letters
    assert len(letters) == count
    return letters


def _is_pending_again(rig: DeadLetterRig) -> bool:
    consumer = rig.broker._streams[subjects.STREAM_DEAD]._consumers[subjects.CONSUMER_DEAD]
    waits = consumer.seconds_to_redelivery()
    return waits is not None and waits < 5.0
