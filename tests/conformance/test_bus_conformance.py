"""What every bus promises, tried on each of them."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from aif_contracts import subjects
from aif_runtime.bus import Bus, ConsumerSpec, Deliveries, Delivery, Outgoing, Question, watched_key
from aif_runtime.decoding import decode
from aif_runtime.failures import BusUnavailable, NoAnswer
from conformance.bus_rigs import WORK, BusRig, FragileRig, fetch_deliveries, fetch_one, fetch_payloads, work, work_consumer
from support.waiting import eventually


async def test_what_was_stored_before_the_consumer_opened_is_delivered_in_order(rig: BusRig) -> None:
    bus = await rig.connect("one")
    payloads = [b"%d" % number for number in range(300)]

    await bus.publish(work(*payloads))
    deliveries = await bus.open_consumer(work_consumer())

    assert await fetch_payloads(deliveries, 300) == payloads


async def test_a_fetch_brings_all_that_is_there_up_to_its_limit(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer())

    async def brings_it() -> bool:
        """Unless the broker has no turn of the processor meanwhile."""
        await bus.publish(work(b"1", b"2", b"3", b"4", b"5"))
        first, second = await deliveries.fetch(3, 5.0), await deliveries.fetch(3, 5.0)
        rest = await fetch_deliveries(deliveries, 5 - len(first) - len(second))
        for delivery in (*first, *second, *rest):
            await delivery.ack()
        brought = [[delivery.payload for delivery in fetched] for fetched in (first, second)]
        return brought == [[b"1", b"2", b"3"], [b"4", b"5"]]

    await eventually(brings_it)


async def test_a_waiting_fetch_returns_as_soon_as_there_is_one(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer())
    fetching = asyncio.create_task(deliveries.fetch(10, 60.0))
    await asyncio.sleep(0)

    await bus.publish(work(b"at last"))

    async with asyncio.timeout(30):
        assert [delivery.payload for delivery in await fetching] == [b"at last"]


async def test_a_fetch_is_empty_when_its_time_is_over(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer())

    assert await deliveries.fetch(10, 0.0) == []
    assert await deliveries.fetch(1, 0.05) == []


async def test_a_fetch_of_nothing_is_a_mistake(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer())

    with pytest.raises(ValueError, match="at least one"):
        await deliveries.fetch(0, 1.0)


async def test_a_cancelled_fetch_loses_no_message(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer())
    fetching = asyncio.create_task(deliveries.fetch(10, 60.0))
    await asyncio.sleep(0)
    fetching.cancel()
    await asyncio.wait([fetching])

    await bus.publish(work(b"1", b"2"))

    assert await fetch_payloads(deliveries, 2) == [b"1", b"2"]


async def test_a_delivery_shows_subject_headers_sequence_and_its_number(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer())

    await bus.publish(work(b"before"))
    await bus.publish([Outgoing(subject=WORK, payload=b"with headers", headers={"traceparent": "00-abc", "x-word": "größer"})])
    _, delivery = await fetch_deliveries(deliveries, 2)

    assert delivery.subject == WORK
    assert delivery.payload == b"with headers"
    assert delivery.headers["traceparent"] == "00-abc"
    assert delivery.headers["x-word"] == "größer"
    assert delivery.stream_sequence == 2
    assert delivery.num_delivered == 1


async def test_an_acknowledged_message_is_never_delivered_again(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer(ack_wait_seconds=1.0))
    await bus.publish(work(b"done"))

    await fetch_payloads(deliveries, 1)

    assert await deliveries.fetch(1, 1.3) == []


async def test_an_unsettled_message_is_delivered_again_after_ack_wait(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer(ack_wait_seconds=1.0))
    await bus.publish(work(b"forgotten"))

    first = await fetch_one(deliveries)
    too_early = await deliveries.fetch(1, 0.1)
    second = await fetch_one(deliveries)

    assert too_early == []
    assert (first.num_delivered, second.num_delivered) == (1, 2)
    assert second.payload == b"forgotten"


async def test_a_late_ack_does_not_take_the_message_from_its_new_holder(rig: BusRig) -> None:
    bus = await rig.connect("slow")
    other = await rig.connect("quick")
    spec = work_consumer(ack_wait_seconds=1.0)
    slow, quick = await bus.open_consumer(spec), await other.open_consumer(spec)
    await bus.publish(work(b"once"))
    late = await fetch_one(slow)
    held = await fetch_one(quick)

    await late.ack()
    await late.discard()
    await held.retry_later(0.0)

    assert (await fetch_one(quick)).num_delivered == 3


async def test_late_signs_of_life_do_not_keep_the_message_from_being_delivered_again(rig: BusRig) -> None:
    bus = await rig.connect("slow")
    other = await rig.connect("quick")
    spec = work_consumer(ack_wait_seconds=1.0)
    slow, quick = await bus.open_consumer(spec), await other.open_consumer(spec)
    await bus.publish(work(b"once"))
    late = await fetch_one(slow)
    await fetch_one(quick)

    again: Sequence[Delivery] = ()
    async with asyncio.timeout(30):
        while not again:
            await late.still_working()
            again = await quick.fetch(1, 0.1)

    assert [delivery.num_delivered for delivery in again] == [3]


async def test_still_working_starts_ack_wait_anew(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer(ack_wait_seconds=2.5))
    await bus.publish(work(b"long work"))
    delivery = await fetch_one(deliveries)

    assert await deliveries.fetch(1, 1.3) == []
    await delivery.still_working()
    assert await deliveries.fetch(1, 1.3) == []
    await delivery.ack()

    assert await deliveries.fetch(1, 2.7) == []


async def test_a_message_to_retry_later_comes_again_not_before_the_delay(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer())
    await bus.publish(work(b"later"))

    await (await fetch_one(deliveries)).retry_later(1.0)

    assert await deliveries.fetch(1, 0.3) == []
    again = await fetch_one(deliveries)
    assert (again.payload, again.num_delivered) == (b"later", 2)


async def test_a_message_to_retry_at_once_comes_at_once(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer(ack_wait_seconds=60.0))
    await bus.publish(work(b"now"))

    await (await fetch_one(deliveries)).retry_later(0.0)

    assert (await fetch_one(deliveries)).num_delivered == 2


async def test_a_discarded_message_is_never_delivered_again(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer(ack_wait_seconds=1.0))
    await bus.publish(work(b"poison", b"good"))

    await (await fetch_one(deliveries)).discard()

    assert await fetch_payloads(deliveries, 1) == [b"good"]
    assert await deliveries.fetch(1, 1.3) == []


async def test_no_more_than_max_ack_pending_are_out_at_once(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer(max_ack_pending=2))
    await bus.publish(work(b"1", b"2", b"3"))

    out: list[Delivery] = []
    while len(out) < 2:
        out += await deliveries.fetch(10, 5.0)
    none_left = await deliveries.fetch(10, 0.2)
    await out[0].ack()
    after_one_ack = await deliveries.fetch(10, 5.0)

    assert [delivery.payload for delivery in out] == [b"1", b"2"]
    assert none_left == []
    assert [delivery.payload for delivery in after_one_ack] == [b"3"]


async def test_members_of_one_consumer_share_its_messages(rig: BusRig) -> None:
    buses = [await rig.connect(f"member {number}") for number in range(3)]
    members = [await bus.open_consumer(work_consumer()) for bus in buses]
    payloads = {b"%d" % number for number in range(200)}
    seen: list[bytes] = []

    async def work_off(member: Deliveries) -> None:
        while len(seen) < 200:
            for delivery in await member.fetch(7, 0.1):
                await delivery.ack()
                seen.append(delivery.payload)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for member in members:
            group.create_task(work_off(member))
        await buses[0].publish(work(*sorted(payloads)))

    assert len(seen) == 200
    assert set(seen) == payloads


async def test_a_member_that_closes_gives_back_what_it_had_not_settled(rig: BusRig) -> None:
    leaving, staying = await rig.connect("leaving"), await rig.connect("staying")
    spec = work_consumer(ack_wait_seconds=0.3)
    left, stayed = await leaving.open_consumer(spec), await staying.open_consumer(spec)
    await staying.publish(work(b"handed over"))
    await fetch_one(left)

    await left.close()

    assert (await fetch_one(stayed)).payload == b"handed over"
    with pytest.raises(BusUnavailable, match="closed"):
        await left.fetch(1, 0.0)


async def test_consumers_see_only_the_subjects_of_their_filter(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer())

    await bus.publish([Outgoing(subject=subjects.work("granulator", "high"), payload=b"other"), *work(b"mine")])

    assert await fetch_payloads(deliveries, 1) == [b"mine"]
    assert await deliveries.fetch(1, 0.1) == []


async def test_every_consumer_of_a_kept_stream_sees_every_message(rig: BusRig) -> None:
    bus = await rig.connect("one")
    event = subjects.event("cli_1", "exec_1", "STEP_COMPLETED")
    await bus.publish([Outgoing(subject=event, payload=b"1"), Outgoing(subject=event, payload=b"2")])

    first = await bus.open_consumer(_events("first"))
    second = await bus.open_consumer(_events("second"))

    assert await fetch_payloads(first, 2) == [b"1", b"2"]
    assert await fetch_payloads(second, 2) == [b"1", b"2"]


async def test_a_message_with_a_known_id_is_dropped_and_one_without_an_id_never(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer())

    await bus.publish(
        [Outgoing(subject=WORK, payload=b"a", message_id="1"), Outgoing(subject=WORK, payload=b"b", message_id="1")]
    )
    await bus.publish(
        [Outgoing(subject=WORK, payload=b"c", message_id="1"), Outgoing(subject=WORK, payload=b"d", message_id="2")]
    )
    await bus.publish(work(b"e", b"e"))

    assert await fetch_payloads(deliveries, 4) == [b"a", b"d", b"e", b"e"]
    assert await deliveries.fetch(1, 0.1) == []


async def test_opening_a_consumer_again_changes_its_limits(rig: BusRig) -> None:
    bus = await rig.connect("one")
    await bus.open_consumer(work_consumer(max_ack_pending=1))
    deliveries = await bus.open_consumer(work_consumer(max_ack_pending=5))

    await bus.publish(work(b"1", b"2"))

    assert [delivery.payload for delivery in await fetch_deliveries(deliveries, 2)] == [b"1", b"2"]


async def test_nothing_is_published_when_there_is_nothing_to_publish(rig: BusRig) -> None:
    bus = await rig.connect("one")

    await bus.publish([])


async def test_a_message_that_no_stream_takes_is_refused(rig: BusRig) -> None:
    bus = await rig.connect("one")

    with pytest.raises(BusUnavailable, match="no stream takes the subject"):
        await bus.publish([Outgoing(subject="aif.unknown.subject", payload=b"")])


@pytest.mark.parametrize("subject", ["", "aif work", "aif..work", "aif.work.*", "aif.>", ".aif", "aif.\r\nPUB x", "aif.\x00"])
async def test_a_subject_that_cannot_be_sent_to_is_a_mistake_of_the_sender(rig: BusRig, subject: str) -> None:
    bus = await rig.connect("one")

    with pytest.raises(ValueError, match="cannot be sent to"):
        await bus.publish([Outgoing(subject=subject, payload=b"")])
    with pytest.raises(ValueError, match="cannot be sent to"):
        await bus.broadcast(subject, b"")
    with pytest.raises(ValueError, match="cannot be sent to"):
        await bus.ask(subject, b"", wait_seconds=1.0)


async def test_a_payload_above_a_mebibyte_is_refused_and_one_of_a_mebibyte_less_headers_is_not(rig: BusRig) -> None:
    bus = await rig.connect("one")

    await bus.publish(work(bytes(1024 * 1024 - 1024)))

    with pytest.raises(ValueError, match="store it as a blob"):
        await bus.publish(work(bytes(1024 * 1024 + 1)))


async def test_a_question_is_answered_by_one_member_of_the_group(rig: BusRig) -> None:
    asking = await rig.connect("asking")
    answered: list[str] = []

    async def member(name: str) -> None:
        bus = await rig.connect(name)

        async def answer(question: Question) -> bytes:
            answered.append(name)
            assert question.headers["traceparent"] == "00-abc"
            return question.payload.upper()

        await bus.answer(subjects.GET, subjects.ORCHESTRATOR_GROUP, answer)

    await member("first")
    await member("second")

    replies = [await asking.ask(subjects.GET, b"abc", wait_seconds=5.0, headers={"traceparent": "00-abc"}) for _ in range(20)]

    assert replies == [b"ABC"] * 20
    assert len(answered) == 20
    assert set(answered) == {"first", "second"}


async def test_concurrent_questions_are_answered_concurrently(rig: BusRig) -> None:
    asking, answering = await rig.connect("asking"), await rig.connect("answering")
    all_there = asyncio.Barrier(10)

    async def answer(question: Question) -> bytes:
        await all_there.wait()
        return question.payload

    await answering.answer(subjects.CLAIM, subjects.ORCHESTRATOR_GROUP, answer)

    replies = await asyncio.gather(*[asking.ask(subjects.CLAIM, b"%d" % n, wait_seconds=5.0) for n in range(10)])

    assert replies == [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9"]


async def test_who_stops_answering_answers_what_it_has_taken_and_leaves_the_rest_to_the_others(rig: BusRig) -> None:
    asking, ending, staying = await rig.connect("asking"), await rig.connect("ending"), await rig.connect("staying")
    taken, released = asyncio.Event(), asyncio.Event()

    async def answer_late(question: Question) -> bytes:
        taken.set()
        await released.wait()
        return b"ending"

    async def answer(question: Question) -> bytes:
        return b"staying"

    await ending.answer(subjects.GET, subjects.ORCHESTRATOR_GROUP, answer_late)
    first = asyncio.create_task(asking.ask(subjects.GET, b"", wait_seconds=10.0))
    await taken.wait()
    await staying.answer(subjects.GET, subjects.ORCHESTRATOR_GROUP, answer)
    stopping = asyncio.create_task(ending.stop_answering())

    # Until the broker knows of it, the one that ends may be chosen, and answers as well.
    later = asyncio.gather(*(asking.ask(subjects.GET, b"", wait_seconds=10.0) for _ in range(20)))
    assert not stopping.done()
    released.set()

    assert await first == b"ending"
    await later
    await stopping
    assert {await asking.ask(subjects.GET, b"", wait_seconds=10.0) for _ in range(20)} == {b"staying"}


async def test_a_question_to_nobody_fails_at_once(rig: BusRig) -> None:
    bus = await rig.connect("one")

    async with asyncio.timeout(30):
        with pytest.raises(NoAnswer, match="nobody listens"):
            await bus.ask(subjects.GET, b"", wait_seconds=60.0)


async def test_a_question_that_is_not_answered_in_time_fails(rig: BusRig) -> None:
    asking, answering = await rig.connect("asking"), await rig.connect("answering")
    released = asyncio.Event()

    async def answer(question: Question) -> bytes:
        await released.wait()
        return b"too late"

    await answering.answer(subjects.GET, subjects.ORCHESTRATOR_GROUP, answer)

    with pytest.raises(NoAnswer, match=r"within 0\.1 s"):
        await asking.ask(subjects.GET, b"", wait_seconds=0.1)
    released.set()


async def test_an_answer_that_fails_tells_the_asker_nothing_of_its_inside(
    rig: BusRig, caplog: pytest.LogCaptureFixture
) -> None:
    asking, answering = await rig.connect("asking"), await rig.connect("answering")

    async def answer(question: Question) -> bytes:
        raise RuntimeError("password is 123")

    await answering.answer(subjects.GET, subjects.ORCHESTRATOR_GROUP, answer)

    with pytest.raises(NoAnswer, match="failed") as failed:
        await asking.ask(subjects.GET, b"", wait_seconds=5.0)
    assert "123" not in str(failed.value)
    assert "answer_failed" in caplog.messages


async def test_a_question_that_cannot_be_read_is_answered_with_what_is_wrong_and_leaves_no_traceback(
    rig: BusRig, caplog: pytest.LogCaptureFixture
) -> None:
    asking, answering = await rig.connect("asking"), await rig.connect("answering")

    async def answer(question: Question) -> bytes:
        return msgspec.json.encode(decode(msgspec.json.Decoder(list[int]), question.payload))

    await answering.answer(subjects.GET, subjects.ORCHESTRATOR_GROUP, answer)

    with pytest.raises(NoAnswer, match="failed: Expected `array`, got `object`"):
        await asking.ask(subjects.GET, b"{}", wait_seconds=5.0)
    assert [record for record in caplog.records if record.exc_info] == []


async def test_a_listener_sees_broadcasts_and_stored_messages(rig: BusRig) -> None:
    speaking, listening = await rig.connect("speaking"), await rig.connect("listening")

    async with listening.listen("aif.>") as broadcasts:
        await speaking.broadcast(subjects.control("granulator"), b"cancel", {"traceparent": "00-abc"})
        first = await broadcasts.next(5.0)
        await speaking.publish(work(b"stored"))
        second = await broadcasts.next(5.0)

    assert first is not None
    assert (first.subject, first.payload, first.headers["traceparent"]) == ("aif.control.granulator", b"cancel", "00-abc")
    assert second is not None
    assert (second.subject, second.payload) == (WORK, b"stored")


async def test_a_listener_sees_the_first_message_after_it_began(rig: BusRig) -> None:
    speaking, listening = await rig.connect("speaking"), await rig.connect("listening")

    for number in range(100):
        async with listening.listen(subjects.control("granulator")) as broadcasts:
            await speaking.broadcast(subjects.control("granulator"), b"%d" % number)
            first = await broadcasts.next(10.0)

        assert first is not None
        assert first.payload == b"%d" % number


async def test_a_listener_hears_nothing_when_nothing_is_said_on_its_subject(rig: BusRig) -> None:
    bus = await rig.connect("one")

    async with bus.listen(subjects.control("granulator")) as broadcasts:
        await bus.broadcast(subjects.control("classifier"), b"not for you")

        assert await broadcasts.next(0.1) is None


async def test_a_listener_that_falls_behind_loses_the_oldest(rig: BusRig) -> None:
    speaking, listening = await rig.connect("speaking"), await rig.connect("listening")

    async with listening.listen("aif.control.*") as broadcasts, listening.listen("aif.control.last") as the_last:
        for number in range(10_003):
            await speaking.broadcast("aif.control.many", b"%d" % number)
        await speaking.broadcast("aif.control.last", b"last")
        assert await the_last.next(10.0) is not None
        oldest = await broadcasts.next(5.0)

    assert oldest is not None
    assert oldest.payload == b"4"


async def test_an_entry_is_the_last_value_written_under_its_key(rig: BusRig) -> None:
    bus, other = await rig.connect("one"), await rig.connect("two")

    await bus.put_entry(subjects.BUCKET_REGISTRY, "granulator.1", b"old")
    await bus.put_entry(subjects.BUCKET_REGISTRY, "granulator.1", b"new")
    await bus.put_entry(subjects.BUCKET_REGISTRY, "granulator.2", b"empty follows")
    await bus.put_entry(subjects.BUCKET_REGISTRY, "classifier.1", b"")

    assert await other.entries(subjects.BUCKET_REGISTRY) == {
        "granulator.1": b"new",
        "granulator.2": b"empty follows",
        "classifier.1": b"",
    }


async def test_a_bucket_may_be_empty_and_may_hold_thousands(rig: BusRig) -> None:
    bus = await rig.connect("one")
    assert await bus.entries(subjects.BUCKET_REGISTRY) == {}

    for start in range(0, 2100, 100):
        puts = [bus.put_entry(subjects.BUCKET_REGISTRY, f"worker.{number}", b"x") for number in range(start, start + 100)]
        await asyncio.gather(*puts)

    assert len(await bus.entries(subjects.BUCKET_REGISTRY)) == 2100


async def test_an_entry_with_a_time_to_live_vanishes_unless_it_is_written_again(rig: BusRig) -> None:
    bus = await rig.connect("one")
    await bus.put_entry(subjects.BUCKET_REGISTRY, "left", b"x", ttl_seconds=1.0)
    await bus.put_entry(subjects.BUCKET_REGISTRY, "renewed", b"x", ttl_seconds=1.0)
    await bus.put_entry(subjects.BUCKET_REGISTRY, "renewed", b"y", ttl_seconds=60.0)
    assert set(await bus.entries(subjects.BUCKET_REGISTRY)) == {"left", "renewed"}

    async def only_the_renewed_is_left() -> bool:
        return await bus.entries(subjects.BUCKET_REGISTRY) == {"renewed": b"y"}

    await eventually(only_the_renewed_is_left)


async def test_a_single_entry_is_read_by_its_key(rig: BusRig) -> None:
    bus, other = await rig.connect("one"), await rig.connect("two")
    assert await other.entry(subjects.BUCKET_CONFIG, "system.prices") is None

    await bus.put_entry(subjects.BUCKET_CONFIG, "system.prices", b"old")
    await bus.put_entry(subjects.BUCKET_CONFIG, "system.prices", b"new")
    await bus.put_entry(subjects.BUCKET_REGISTRY, "system.prices", b"of another bucket")

    assert await other.entry(subjects.BUCKET_CONFIG, "system.prices") == b"new"
    assert await other.entry(subjects.BUCKET_CONFIG, "system") is None


async def test_an_entry_whose_time_to_live_is_over_is_not_read(rig: BusRig) -> None:
    bus = await rig.connect("one")
    await bus.put_entry(subjects.BUCKET_CONFIG, "short", b"x", ttl_seconds=1.0)

    async def it_is_gone() -> bool:
        return await bus.entry(subjects.BUCKET_CONFIG, "short") is None

    await eventually(it_is_gone)


async def test_a_deleted_entry_is_gone_until_it_is_written_again(rig: BusRig) -> None:
    bus, other = await rig.connect("one"), await rig.connect("two")
    await bus.put_entry(subjects.BUCKET_CONFIG, "a", b"1")
    await bus.put_entry(subjects.BUCKET_CONFIG, "b", b"2")

    await bus.delete_entry(subjects.BUCKET_CONFIG, "a")
    await bus.delete_entry(subjects.BUCKET_CONFIG, "never-written")

    assert await other.entry(subjects.BUCKET_CONFIG, "a") is None
    assert await other.entries(subjects.BUCKET_CONFIG) == {"b": b"2"}
    await bus.put_entry(subjects.BUCKET_CONFIG, "a", b"3")
    assert await other.entries(subjects.BUCKET_CONFIG) == {"a": b"3", "b": b"2"}


async def test_whoever_watches_a_bucket_is_told_of_every_later_change_of_it(rig: BusRig) -> None:
    bus, other = await rig.connect("one"), await rig.connect("two")
    await bus.put_entry(subjects.BUCKET_CONFIG, "client.acme.profile", b"before")

    async with other.watch(subjects.BUCKET_CONFIG) as changes:
        await bus.put_entry(subjects.BUCKET_CONFIG, "client.acme.profile", b"after")
        await bus.put_entry(subjects.BUCKET_REGISTRY, "granulator.1", b"of another bucket")
        await bus.delete_entry(subjects.BUCKET_CONFIG, "client.acme.profile")
        await bus.put_entry(subjects.BUCKET_CONFIG, "system", b"last")
        seen = [await changes.next(5.0) for _ in range(3)]

    assert [(watched_key(change), change.payload) for change in seen if change is not None] == [
        ("client.acme.profile", b"after"),
        ("client.acme.profile", b""),
        ("system", b"last"),
    ]


async def test_a_key_that_no_broker_takes_is_the_callers_mistake(rig: BusRig) -> None:
    bus = await rig.connect("one")

    for key in ("", "a..b", "a.*", "a b"):
        with pytest.raises(ValueError, match="cannot be sent to"):
            await bus.put_entry(subjects.BUCKET_CONFIG, key, b"x")
        with pytest.raises(ValueError, match="cannot be sent to"):
            await bus.entry(subjects.BUCKET_CONFIG, key)
        with pytest.raises(ValueError, match="cannot be sent to"):
            await bus.delete_entry(subjects.BUCKET_CONFIG, key)


async def test_a_closed_bus_does_nothing_more(rig: BusRig) -> None:
    bus, other = await rig.connect("closing"), await rig.connect("other")

    async def answer(question: Question) -> bytes:
        return b""

    await bus.answer(subjects.GET, subjects.ORCHESTRATOR_GROUP, answer)
    deliveries = await bus.open_consumer(work_consumer())
    await bus.close()
    await bus.close()

    assert not bus.is_connected
    with pytest.raises(BusUnavailable):
        await bus.publish(work(b""))
    with pytest.raises(BusUnavailable):
        await bus.ask(subjects.GET, b"", wait_seconds=1.0)
    with pytest.raises(BusUnavailable):
        await bus.entries(subjects.BUCKET_REGISTRY)
    with pytest.raises(BusUnavailable):
        await deliveries.fetch(1, 0.1)
    with pytest.raises(NoAnswer):
        await other.ask(subjects.GET, b"", wait_seconds=5.0)


async def test_a_waiting_fetch_ends_when_its_bus_is_closed(rig: BusRig) -> None:
    bus = await rig.connect("closing")
    deliveries = await bus.open_consumer(work_consumer())
    fetching = asyncio.create_task(deliveries.fetch(10, 60.0))
    await asyncio.sleep(0)

    await bus.close()

    async with asyncio.timeout(30):
        with pytest.raises(BusUnavailable):
            await fetching


async def test_a_waiting_fetch_ends_when_its_consumer_is_closed(rig: BusRig) -> None:
    bus = await rig.connect("one")
    deliveries = await bus.open_consumer(work_consumer())
    fetching = asyncio.create_task(deliveries.fetch(10, 60.0))
    await asyncio.sleep(0)

    await deliveries.close()

    async with asyncio.timeout(30):
        with pytest.raises(BusUnavailable, match="closed"):
            await fetching


async def test_closing_is_quick_after_a_fetch_that_found_nothing(rig: BusRig) -> None:
    bus = await rig.connect("closing")
    deliveries = await bus.open_consumer(work_consumer())
    assert await deliveries.fetch(1, 0.05) == []

    async with asyncio.timeout(2):
        await bus.close()


async def test_closing_does_not_wait_for_ever_for_an_answer(rig: BusRig) -> None:
    bus, asking = await rig.connect("closing"), await rig.connect("asking")
    asked = asyncio.Event()

    async def answer(question: Question) -> bytes:
        asked.set()
        await asyncio.Event().wait()
        return b"never"

    await bus.answer(subjects.GET, subjects.ORCHESTRATOR_GROUP, answer)
    question = asyncio.create_task(asking.ask(subjects.GET, b"", wait_seconds=0.1))
    await asked.wait()

    async with asyncio.timeout(30):
        await bus.close()

    with pytest.raises(NoAnswer):
        await question


async def test_an_answer_in_progress_is_finished_before_the_bus_closes(rig: BusRig) -> None:
    bus, asking = await rig.connect("closing"), await rig.connect("asking")
    asked, released = asyncio.Event(), asyncio.Event()

    async def answer(question: Question) -> bytes:
        asked.set()
        await released.wait()
        return b"finished"

    await bus.answer(subjects.GET, subjects.ORCHESTRATOR_GROUP, answer)
    question = asyncio.create_task(asking.ask(subjects.GET, b"", wait_seconds=5.0))
    await asked.wait()
    closing = asyncio.create_task(bus.close())
    released.set()

    assert await question == b"finished"
    await closing


async def test_a_consumer_goes_on_after_the_broker_lost_everything(fragile: FragileRig) -> None:
    bus = await fragile.connect("one")
    deliveries = await bus.open_consumer(work_consumer())
    await bus.publish(work(b"lost"))

    await fragile.wipe()
    await _published_at_last(bus, work(b"after"))

    assert await _fetched_at_last(deliveries, 1) == [b"after"]


async def test_a_waiting_fetch_survives_the_loss_of_everything(fragile: FragileRig) -> None:
    bus = await fragile.connect("one")
    deliveries = await bus.open_consumer(work_consumer())
    fetching = asyncio.create_task(deliveries.fetch(5, 30.0))
    await asyncio.sleep(0)

    await fragile.wipe()
    await _published_at_last(bus, work(b"after"))

    async with asyncio.timeout(30):
        assert [delivery.payload for delivery in await fetching] == [b"after"]


async def test_entries_can_be_written_and_read_after_the_loss_of_everything(fragile: FragileRig) -> None:
    bus = await fragile.connect("one")
    await bus.put_entry(subjects.BUCKET_REGISTRY, "old", b"x")

    await fragile.wipe()
    await eventually(lambda: bus.is_connected)

    assert await bus.entries(subjects.BUCKET_REGISTRY) == {}
    await bus.put_entry(subjects.BUCKET_REGISTRY, "new", b"y")
    assert await bus.entries(subjects.BUCKET_REGISTRY) == {"new": b"y"}


async def test_a_watch_goes_on_after_the_loss_of_everything(fragile: FragileRig) -> None:
    bus, other = await fragile.connect("one"), await fragile.connect("two")
    await bus.put_entry(subjects.BUCKET_CONFIG, "old", b"x")

    async with other.watch(subjects.BUCKET_CONFIG) as changes:
        await fragile.wipe()
        await eventually(lambda: bus.is_connected and other.is_connected)

        assert await bus.entry(subjects.BUCKET_CONFIG, "old") is None
        await bus.put_entry(subjects.BUCKET_CONFIG, "new", b"y")
        seen = await changes.next(5.0)

    assert seen is not None
    assert (watched_key(seen), seen.payload) == ("new", b"y")


async def test_without_a_broker_everything_says_so_and_works_again_when_it_is_back(fragile: FragileRig) -> None:
    bus = await fragile.connect("one")
    deliveries = await bus.open_consumer(work_consumer())
    await bus.publish(work(b"kept"))

    await fragile.go_down()
    await eventually(lambda: not bus.is_connected)
    with pytest.raises(BusUnavailable):
        await bus.publish(work(b"not sent"))
    with pytest.raises(BusUnavailable):
        await bus.ask(subjects.GET, b"", wait_seconds=0.2)
    with pytest.raises(BusUnavailable):
        await deliveries.fetch(1, 0.1)
    await fragile.come_back()
    await eventually(lambda: bus.is_connected)

    assert await fetch_payloads(deliveries, 1) == [b"kept"]


async def test_questions_are_answered_again_when_the_broker_is_back(fragile: FragileRig) -> None:
    answering, asking = await fragile.connect("answering"), await fragile.connect("asking")

    async def answer(question: Question) -> bytes:
        return b"here"

    await answering.answer(subjects.GET, subjects.ORCHESTRATOR_GROUP, answer)
    await fragile.go_down()
    await fragile.come_back()

    async def is_answered() -> bool:
        try:
            return await asking.ask(subjects.GET, b"", wait_seconds=1.0) == b"here"
        except (NoAnswer, BusUnavailable):
            return False

    await eventually(is_answered)


async def test_a_publish_that_is_not_confirmed_may_be_stored_and_is_sent_again_under_its_id(fragile: FragileRig) -> None:
    bus = await fragile.connect("one")
    deliveries = await bus.open_consumer(work_consumer())
    message = [Outgoing(subject=WORK, payload=b"once", message_id="once")]

    await fragile.stop_confirming()
    with pytest.raises(BusUnavailable):
        await bus.publish(message)
    await fragile.come_back()
    await _published_at_last(bus, message)

    assert await fetch_payloads(deliveries, 1) == [b"once"]
    assert await deliveries.fetch(1, 0.2) == []


async def test_closing_is_bounded_and_leaves_nothing_running_while_the_broker_is_away(fragile: FragileRig) -> None:
    bus = await fragile.connect("one")
    deliveries = await bus.open_consumer(work_consumer())
    await fragile.go_down()
    await eventually(lambda: not bus.is_connected)

    await bus.broadcast(subjects.control("granulator"), b"never sent")

    async with asyncio.timeout(30):
        await deliveries.close()
        await bus.close()

    await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()}, what="no task is left behind")


def _events(durable: str) -> ConsumerSpec:
    return ConsumerSpec(stream=subjects.STREAM_EVENTS, durable=durable, filter_subject=subjects.ALL_EVENTS)


async def _published_at_last(bus: Bus, messages: Sequence[Outgoing]) -> None:
    async def is_published() -> bool:
        try:
            await bus.publish(messages)
        except BusUnavailable:
            return False
        return True

    await eventually(is_published)


async def _fetched_at_last(deliveries: Deliveries, count: int) -> list[bytes]:
    async def fetched() -> list[bytes]:
        try:
            return await fetch_payloads(deliveries, count)
        except BusUnavailable:
            return []

    return await eventually(fetched)
