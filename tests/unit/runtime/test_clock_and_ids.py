from datetime import UTC, datetime, timedelta, timezone

import pytest

from aif_runtime.clock import rfc3339
from aif_runtime.ids import derived_id, id_mint
from support.manual_clock import ManualClock


def test_a_moment_is_written_in_utc_with_milliseconds() -> None:
    moment = datetime(2026, 5, 1, 11, 30, 0, 125_900, tzinfo=timezone(timedelta(hours=2)))

    assert rfc3339(moment) == "2026-05-01T09:30:00.125Z"


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a time zone"):
        rfc3339(datetime(2026, 5, 1))  # noqa: DTZ001


def test_an_id_is_its_prefix_time_and_randomness_in_26_characters() -> None:
    clock = ManualClock(datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC))
    new_id = id_mint(clock=clock, random_bytes=lambda count: b"\xff" * count)

    assert new_id("exec") == "exec_0000000001ZZZZZZZZZZZZZZZZ"


def test_ids_sort_by_their_time() -> None:
    clock = ManualClock()
    new_id = id_mint(clock=clock)
    minted = []
    for _ in range(50):
        minted.append(new_id("exec"))
        clock.advance(0.001)

    assert minted == sorted(minted)
    assert len(set(minted)) == 50


def test_a_derived_id_is_the_same_for_the_same_two_and_another_one_for_others() -> None:
    request_id = id_mint(clock=ManualClock())("req")
    derived = derived_id("exec", "acme", request_id)

    assert derived == derived_id("exec", "acme", request_id)
    assert len({derived, derived_id("exec", "globex", request_id), derived_id("exec", "acme", request_id + "0")}) == 3


def test_a_derived_id_has_the_time_of_what_it_comes_of_or_sorts_before_all_that_have_one() -> None:
    assert derived_id("exec", "acme", "req_01M7YE2MRGS60FKZZ59P6FH8CW").startswith("exec_01M7YE2MRG")
    assert [derived_id("exec", "acme", name)[:15] for name in ("req_123", "01M7YE2MRGS60FKZZ59P6FH8CW", "")] == [
        "exec_0000000000"
    ] * 3
    assert len(derived_id("exec", "acme", "req_123")) == 31
