"""What every bus promises about offers, tried on each of them."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import pytest

from aif_contracts import subjects
from aif_runtime.bus import Broadcasts, Bus, Offer
from aif_runtime.failures import BusUnavailable
from conformance.bus_rigs import BusRig, FragileRig
from support.waiting import eventually

GROUP = "granulator"
TAKEN = subjects.offers("granulator")
NORMAL = "aif.direct.offer.granulator.normal"
REFUSALS = subjects.refusals("one")
UNSENDABLE = ["", "aif offer", "aif..offer", "aif.offer.*", "aif.>", ".aif", "aif.\r\nPUB x", "aif.\x00"]


def offer(number: int, subject: str = NORMAL) -> Offer:
    return Offer(subject=subject, payload=b"%d" % number, refused_to=f"aif.direct.refusal.one.{number}")


def offers(numbers: Sequence[int]) -> list[Offer]:
    return [offer(number) for number in numbers]


class Member:
    """Takes what its bus is offered, or nothing."""

    def __init__(self, *, wants: bool = True) -> None:
        self.wants = wants
        self.seen: list[Offer] = []
        self._sees = asyncio.Event()

    def __call__(self, offer: Offer) -> bool:
        self.seen.append(offer)
        self._sees.set()
        return self.wants

    async def sees_more(self) -> None:
        """Until the next offer."""
        self._sees.clear()
        await self._sees.wait()

    @property
    def numbers(self) -> list[int]:
        return [int(offer.payload) for offer in self.seen]


async def refused(broadcasts: Broadcasts, count: int) -> list[int]:
    """The numbers of the next offers that come back; nothing is in what says so."""
    numbers: list[int] = []
    while len(numbers) < count:
        refusal = await broadcasts.next(5.0)
        assert refusal is not None, f"only {len(numbers)} of {count} were refused"
        assert refusal.payload == b""
        numbers.append(int(subjects.refused_packet(refusal.subject)))
    return numbers


async def test_each_offer_goes_to_one_member_of_the_group(rig: BusRig) -> None:
    offering = await rig.connect("offering")
    members = [Member(), Member(), Member()]

    async with AsyncExitStack() as stack:
        for number, member in enumerate(members):
            bus = await rig.connect(f"member {number}")
            await stack.enter_async_context(bus.take_offers(TAKEN, GROUP, member))
        refusals = await stack.enter_async_context(offering.listen(REFUSALS))
        for start in range(0, 200, 20):
            await offering.offer(offers(range(start, start + 20)))
        await eventually(lambda: sum(len(member.seen) for member in members) >= 200)
        refusal = await refusals.next(0.1)

    assert sorted(number for member in members for number in member.numbers) == list(range(200))
    assert all(member.seen for member in members)
    assert refusal is None


async def test_an_offer_arrives_as_it_was_made(rig: BusRig) -> None:
    offering, taking = await rig.connect("offering"), await rig.connect("taking")
    member = Member()
    made = Offer(
        subject="aif.direct.offer.granulator.high",
        payload=b'{"packet_id": "p.1"}',
        refused_to="aif.direct.refusal.one.p.1",
        headers={"traceparent": "00-abc", "x-word": "größer"},
    )

    async with taking.take_offers(TAKEN, GROUP, member):
        await offering.offer([made])
        await eventually(lambda: member.seen)

    assert member.seen == [made]


async def test_an_offer_to_nobody_is_refused_on_its_own_subject(rig: BusRig) -> None:
    bus = await rig.connect("one")

    async with bus.listen(REFUSALS) as refusals:
        await bus.offer(offers([1, 2]))

        assert sorted(await refused(refusals, 2)) == [1, 2]


async def test_an_offer_that_its_member_does_not_want_is_refused(rig: BusRig) -> None:
    offering, taking = await rig.connect("offering"), await rig.connect("taking")
    member = Member(wants=False)

    async with taking.take_offers(TAKEN, GROUP, member), offering.listen(REFUSALS) as refusals:
        await offering.offer(offers([1, 2, 3]))

        assert sorted(await refused(refusals, 3)) == [1, 2, 3]
    assert sorted(member.numbers) == [1, 2, 3]


async def test_what_one_member_does_not_want_is_refused_and_not_passed_on(rig: BusRig) -> None:
    offering = await rig.connect("offering")
    willing, reluctant = Member(), Member(wants=False)

    async with AsyncExitStack() as stack:
        for name, member in (("willing", willing), ("reluctant", reluctant)):
            bus = await rig.connect(name)
            await stack.enter_async_context(bus.take_offers(TAKEN, GROUP, member))
        refusals = await stack.enter_async_context(offering.listen(REFUSALS))
        await offering.offer(offers(range(100)))
        await eventually(lambda: len(willing.seen) + len(reluctant.seen) >= 100)
        returned = await refused(refusals, len(reluctant.seen))

    assert reluctant.numbers
    assert sorted(returned) == sorted(reluctant.numbers)
    assert sorted(willing.numbers + reluctant.numbers) == list(range(100))


async def test_a_member_takes_every_priority_of_its_own_worker_and_nothing_of_another(rig: BusRig) -> None:
    offering, taking = await rig.connect("offering"), await rig.connect("taking")
    member = Member()

    async with taking.take_offers(TAKEN, GROUP, member), offering.listen(REFUSALS) as refusals:
        await offering.offer([offer(1, subjects.offer(subjects.work("granulator", "low")))])
        await offering.offer([offer(2, subjects.offer(subjects.work("analyst", "low")))])
        await offering.offer([offer(3, subjects.offer(subjects.work("granulator", "critical")))])
        returned = await refused(refusals, 1)
        await eventually(lambda: len(member.seen) == 2)

    assert returned == [2]
    assert member.numbers == [1, 3]


async def test_an_offer_is_kept_for_nobody(rig: BusRig) -> None:
    offering, taking = await rig.connect("offering"), await rig.connect("taking")
    member = Member()

    async with offering.listen(REFUSALS) as refusals:
        await offering.offer([offer(1)])
        await refused(refusals, 1)
    async with taking.take_offers(TAKEN, GROUP, member):
        await offering.offer([offer(2)])
        await eventually(lambda: member.seen)

    assert member.numbers == [2]


async def test_what_is_offered_to_members_that_come_and_go_is_taken_or_refused(rig: BusRig) -> None:
    offering, taking = await rig.connect("offering"), await rig.connect("taking")
    member = Member()
    is_over = asyncio.Event()

    async def offer_on_and_on() -> int:
        made = 0
        while not is_over.is_set():
            await offering.offer(offers(range(made, made + 5)))
            made += 5
            await asyncio.sleep(0)
        return made

    returned: list[int] = []

    async def hear_of_refusals(refusals: Broadcasts) -> None:
        """While they come: on a busy machine more are refused than a listener keeps for later."""
        while True:
            returned.extend(await refused(refusals, 1))

    async with offering.listen(REFUSALS) as refusals:
        hearing = asyncio.create_task(hear_of_refusals(refusals))
        offered = asyncio.create_task(offer_on_and_on())
        for _ in range(20):
            async with taking.take_offers(TAKEN, GROUP, member):
                await member.sees_more()
            await asyncio.sleep(0)
        is_over.set()
        made = await offered
        await eventually(lambda: len(returned) + len(member.seen) >= made)
        hearing.cancel()
        await asyncio.wait([hearing])

    assert returned
    assert sorted(member.numbers + returned) == list(range(made))


async def test_what_a_member_does_not_want_while_it_leaves_is_refused_before_it_has_left(rig: BusRig) -> None:
    offering, taking = await rig.connect("offering"), await rig.connect("taking")
    member = Member(wants=False)

    async with offering.listen(REFUSALS) as refusals:
        async with taking.take_offers(TAKEN, GROUP, member):
            await offering.offer(offers(range(200)))
            await eventually(lambda: member.seen)
        await taking.close()

        assert sorted(await refused(refusals, 200)) == list(range(200))


async def test_a_member_that_has_left_is_offered_nothing(rig: BusRig) -> None:
    offering, taking = await rig.connect("offering"), await rig.connect("taking")
    member = Member()

    async with taking.take_offers(TAKEN, GROUP, member):
        pass
    async with offering.listen(REFUSALS) as refusals:
        await offering.offer([offer(1)])

        assert await refused(refusals, 1) == [1]
    assert member.seen == []


async def test_a_message_that_can_be_refused_to_nobody_is_no_offer(rig: BusRig) -> None:
    speaking, taking = await rig.connect("speaking"), await rig.connect("taking")
    member = Member(wants=False)

    async with taking.take_offers(TAKEN, GROUP, member), speaking.listen(REFUSALS) as refusals:
        await speaking.broadcast(NORMAL, b"0")
        await speaking.offer([offer(1)])

        assert await refused(refusals, 1) == [1]
        assert taking.is_connected
    assert member.numbers == [1]


async def test_nothing_is_offered_when_there_is_nothing_to_offer(rig: BusRig) -> None:
    bus = await rig.connect("one")

    await bus.offer([])


@pytest.mark.parametrize("subject", UNSENDABLE)
async def test_an_offer_that_cannot_be_sent_or_refused_is_a_mistake_of_the_sender(rig: BusRig, subject: str) -> None:
    bus = await rig.connect("one")

    with pytest.raises(ValueError, match="cannot be sent to"):
        await bus.offer([Offer(subject=subject, payload=b"", refused_to="aif.direct.refusal.one.1")])
    with pytest.raises(ValueError, match="cannot be sent to"):
        await bus.offer([Offer(subject=NORMAL, payload=b"", refused_to=subject)])


async def test_of_offers_with_a_mistake_in_one_none_is_made(rig: BusRig) -> None:
    bus = await rig.connect("one")
    member = Member()

    async with bus.take_offers(TAKEN, GROUP, member):
        with pytest.raises(ValueError, match="store it as a blob"):
            await bus.offer([offer(1), Offer(subject=NORMAL, payload=bytes(1024 * 1024 + 1), refused_to="aif.direct.x")])
        await bus.offer([offer(2)])
        await eventually(lambda: member.seen)

    assert member.numbers == [2]


async def test_a_closed_bus_neither_makes_nor_takes_offers(rig: BusRig) -> None:
    closed, other = await rig.connect("closed"), await rig.connect("other")
    member = Member()

    async with other.listen(REFUSALS) as refusals, closed.take_offers(TAKEN, GROUP, member):
        await closed.close()

        async def is_refused() -> bool:
            # A broker that has not yet heard of the close may still have sent one.
            await other.offer([offer(1)])
            return await refusals.next(0.1) is not None

        await eventually(is_refused)

    assert member.seen == []
    with pytest.raises(BusUnavailable, match="closed"):
        await closed.offer([offer(2)])
    with pytest.raises(BusUnavailable, match="closed"):
        async with closed.take_offers(TAKEN, GROUP, member):
            pass


async def test_offers_are_taken_and_refused_again_when_the_broker_is_back(fragile: FragileRig) -> None:
    offering, taking = await fragile.connect("offering"), await fragile.connect("taking")
    member = Member()

    async with taking.take_offers(TAKEN, GROUP, member), offering.listen(REFUSALS) as refusals:
        await fragile.go_down()
        await eventually(lambda: not offering.is_connected and not taking.is_connected)
        await fragile.come_back()
        await eventually(lambda: offering.is_connected and taking.is_connected)

        await _offered_until(offering, 1, lambda: bool(member.seen))
        member.wants = False
        await offering.offer([offer(2)])

        while await refused(refusals, 1) != [2]:
            assert member.seen


async def _offered_until(bus: Bus, number: int, is_enough: Callable[[], bool]) -> None:
    async def is_offered() -> bool:
        await bus.offer([offer(number)])
        await asyncio.sleep(0)
        return is_enough()

    await eventually(is_offered)
