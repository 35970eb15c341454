"""Which reports are in a message, and what in it is given up."""

import msgspec
import pytest

from aif_contracts.reports import MOST_TOGETHER, Declined, Failed
from aif_orchestrator.reports_in import Poison, read_reports
from support.execution_story import call


def test_a_report_that_names_a_call_of_another_attempt_cannot_be_read() -> None:
    own, other = call("one", 2, 1, "0.1"), call("one", 1, 1, "0.1")
    failed = Failed(
        packet_id="packet_1.one.2",
        execution_id="exec_1",
        stage_id="one",
        attempt=2,
        worker_name="maker",
        instance_id="worker_a",
        code="provider_timeout",
        message="",
        retryable=True,
        calls=(own,),
    )

    reports, poison = read_reports(
        msgspec.json.encode([failed, msgspec.structs.replace(failed, calls=(own, other))]), worker="maker"
    )

    assert reports == [failed]
    assert [each.reason for each in poison] == ["the report names exec_1.one.1.1, which is not a call of its attempt"]
    assert poison[0].ended is not None


def declined(number: int, worker: str = "maker") -> Declined:
    return Declined(
        packet_id=f"pkt_{number}",
        execution_id=f"exec_{number}",
        stage_id="one",
        attempt=1,
        worker_name=worker,
        instance_id="maker_1",
        code="unknown_action",
        message="not here",
    )


def test_all_reports_of_a_message_are_read() -> None:
    message = msgspec.json.encode([declined(1), declined(2)])

    assert read_reports(message, worker="maker") == ([declined(1), declined(2)], [])


def test_one_that_cannot_be_read_is_given_up_alone_as_a_message_of_its_own() -> None:
    message = msgspec.json.encode([declined(1), {"type": "nope"}, declined(2)])

    reports, poison = read_reports(message, worker="maker")

    assert reports == [declined(1), declined(2)]
    assert poison == [Poison(content=b'[{"type":"nope"}]', reason="Invalid value 'nope' - at `$.type`")]


def test_a_text_that_cannot_be_stored_is_given_up_alone() -> None:
    bad = msgspec.structs.replace(declined(1), message="a\0b")

    reports, poison = read_reports(msgspec.json.encode([bad, declined(2)]), worker="maker")

    assert reports == [declined(2)]
    assert [each.content for each in poison] == [msgspec.json.encode([bad])]
    assert "NUL" in poison[0].reason


def test_nobody_reports_under_the_name_of_another_worker() -> None:
    message = msgspec.json.encode([declined(1), declined(2, worker="taker")])

    reports, poison = read_reports(message, worker="maker")

    assert reports == [declined(1)]
    assert [each.reason for each in poison] == ["the report is of taker, its subject says maker"]


@pytest.mark.parametrize(
    "payload",
    [b"", b"no", b"{}", b"[", b"\xff", b"[" * 100_000, b"[]", b"[1]", b'[ {"type":"nope"} ]', msgspec.json.encode(declined(1))],
)
def test_a_message_without_any_report_is_given_up_as_it_is(payload: bytes) -> None:
    reports, poison = read_reports(payload, worker="maker")

    assert reports == []
    assert [each.content for each in poison] == [payload]
    assert all(each.reason for each in poison)


def test_of_more_than_may_travel_together_one_letter_is_made_when_not_all_can_be_read() -> None:
    message = msgspec.json.encode([declined(1), *range(MOST_TOGETHER)])

    reports, poison = read_reports(message, worker="maker")

    assert reports == []
    assert poison == [Poison(content=message, reason="the message holds 65 parts: 64 may travel together")]


def test_of_as_many_as_may_travel_together_each_is_given_up_alone() -> None:
    message = msgspec.json.encode([declined(1), *range(MOST_TOGETHER - 1)])

    reports, poison = read_reports(message, worker="maker")

    assert (reports, len(poison)) == ([declined(1)], MOST_TOGETHER - 1)
