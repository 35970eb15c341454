"""What many tasks publish at once, over a store that the test opens and closes."""

import asyncio

import pytest

from aif_runtime.failures import BusUnavailable
from aif_runtime.nats_gathering import MOST_TOGETHER, Gathering, NotConfirmed
from aif_runtime.prepared_message import Prepared
from support.waiting import eventually


def message(name: str) -> Prepared:
    return Prepared(subject="aif.usage.exec_1", payload=name.encode(), headers={})


class Store:
    """Notes what it is given together; each time waits to be let go, and refuses what it is told to."""

    def __init__(self) -> None:
        self.stored: list[list[str]] = []
        self.refused: set[str] = set()
        self.breaks = False
        self._gate = asyncio.Semaphore(0)

    def let_go(self, times: int = 1) -> None:
        for _ in range(times):
            self._gate.release()

    async def __call__(self, messages: list[Prepared]) -> None:
        self.stored.append([each.payload.decode() for each in messages])
        await self._gate.acquire()
        if self.breaks:
            raise RuntimeError("a bug")
        missed = [each for each in messages if each.payload.decode() in self.refused]
        if missed:
            raise NotConfirmed("the stream is full", missed)


async def publishing(gathering: Gathering, *names: str) -> asyncio.Task[None]:
    task = asyncio.create_task(gathering.publish([message(name) for name in names]))
    await asyncio.sleep(0)
    return task


async def test_the_first_goes_out_at_once_and_what_comes_meanwhile_goes_together() -> None:
    store = Store()
    gathering = Gathering(store)

    tasks = [await publishing(gathering, name) for name in ("a", "b", "c", "d")]
    assert store.stored == [["a"]]
    store.let_go(2)
    await asyncio.gather(*tasks)

    assert store.stored == [["a"], ["b", "c", "d"]]


async def test_nobody_is_told_before_the_own_messages_are_stored() -> None:
    store = Store()
    gathering = Gathering(store)
    first, second = await publishing(gathering, "a"), await publishing(gathering, "b")

    store.let_go()
    await first
    await eventually(lambda: len(store.stored) == 2)

    assert not second.done()
    store.let_go()
    await second


async def test_only_those_whose_messages_are_missed_fail() -> None:
    store = Store()
    store.refused = {"c2"}
    gathering = Gathering(store)
    tasks = [await publishing(gathering, *names) for names in (("a",), ("b",), ("c1", "c2"), ("d",))]

    store.let_go(2)
    ends = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(end) for end in ends] == [type(None), type(None), NotConfirmed, type(None)]
    assert isinstance(ends[2], BusUnavailable)
    assert str(ends[2]) == "the stream is full"


async def test_after_a_failure_it_goes_on() -> None:
    store = Store()
    store.refused = {"a"}
    gathering = Gathering(store)
    first, second = await publishing(gathering, "a"), await publishing(gathering, "b")
    store.let_go(2)

    with pytest.raises(NotConfirmed):
        await first
    await second

    third = await publishing(gathering, "e")
    store.let_go()
    await third
    assert store.stored == [["a"], ["b"], ["e"]]


async def test_who_has_given_up_waiting_has_nothing_sent_any_more() -> None:
    store = Store()
    gathering = Gathering(store)
    first, second, third = [await publishing(gathering, name) for name in ("a", "b", "c")]

    second.cancel()
    store.let_go(2)
    await asyncio.gather(first, third)

    assert store.stored == [["a"], ["c"]]


async def test_the_first_one_given_up_lets_the_others_go_on() -> None:
    store = Store()
    gathering = Gathering(store)
    first, second = await publishing(gathering, "a"), await publishing(gathering, "b")

    first.cancel()
    store.let_go()
    await second

    assert store.stored == [["a"], ["b"]]


async def test_a_crowd_is_sent_in_windows_and_in_the_order_of_its_coming() -> None:
    store = Store()
    gathering = Gathering(store)
    names = [str(number) for number in range(MOST_TOGETHER + 10)]
    tasks = [await publishing(gathering, name) for name in names]

    store.let_go(3)
    await asyncio.gather(*tasks)

    assert [len(together) for together in store.stored] == [1, MOST_TOGETHER, 9]
    assert [name for together in store.stored for name in together] == names


async def test_a_bug_is_told_to_all_that_wait_for_it() -> None:
    store = Store()
    gathering = Gathering(store)
    first, second = await publishing(gathering, "a"), await publishing(gathering, "b")
    store.let_go()
    await first
    await eventually(lambda: len(store.stored) == 2)

    store.breaks = True
    store.let_go()

    with pytest.raises(RuntimeError, match="a bug"):
        await second
