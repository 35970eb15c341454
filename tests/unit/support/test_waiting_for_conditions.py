"""`eventually` itself, since so many tests believe it."""

import asyncio

import pytest

from support.waiting import eventually


async def test_it_returns_the_first_true_answer() -> None:
    answers = iter([None, 0, "third", "fourth"])

    answer = await eventually(lambda: next(answers))

    assert answer == "third"


async def test_it_awaits_an_async_condition() -> None:
    answers = iter([False, True])

    async def condition() -> bool:
        return next(answers)

    assert await eventually(condition) is True


async def test_a_failing_assertion_counts_as_not_yet() -> None:
    counts = iter([1, 2, 3])

    def three_arrived() -> bool:
        assert next(counts) == 3
        return True

    assert await eventually(three_arrived) is True


async def test_the_failure_tells_what_was_awaited_and_the_last_answer() -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.05 s: three stages ended; last answer: \[\]"):
        await eventually(list, 0.05, what="three stages ended")


async def test_an_async_condition_that_hangs_fails_in_time() -> None:
    async def hangs() -> bool:
        await asyncio.Event().wait()
        return True

    with pytest.raises(AssertionError, match="the answer comes; last answer: none yet"):
        await eventually(hangs, 0.05, what="the answer comes")


async def test_another_error_is_not_hidden() -> None:
    def broken() -> bool:
        raise LookupError("wrong stage")

    with pytest.raises(LookupError, match="wrong stage"):
        await eventually(broken)
