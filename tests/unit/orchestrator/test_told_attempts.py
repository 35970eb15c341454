import msgspec

from aif_contracts.performance import PerformanceRecord
from aif_orchestrator.engine.told_attempts import performance_messages, records_together
from support.performance_samples import record

_RECORDS = msgspec.json.Decoder(list[PerformanceRecord])


def test_the_attempts_of_a_worker_travel_together_and_each_worker_has_a_message() -> None:
    records = [record(1), record(2, worker_name="topic_researcher"), record(3)]

    made, found = performance_messages(records)

    assert (made.subject, found.subject) == ("aif.performance.content_granulator", "aif.performance.topic_researcher")
    assert _RECORDS.decode(made.payload) == [records[0], records[2]]
    assert _RECORDS.decode(found.payload) == [records[1]]
    assert (made.message_id, found.message_id) == ("exec_1.granulate.1.performance", "exec_2.granulate.1.performance")


def test_the_same_attempts_are_the_same_messages() -> None:
    records = [record(number) for number in range(3)]

    assert performance_messages(records) == performance_messages(records)


def test_a_message_holds_a_hundred_records() -> None:
    messages = performance_messages([record(number) for number in range(201)])

    assert [len(_RECORDS.decode(message.payload)) for message in messages] == [100, 100, 1]
    assert [message.message_id for message in messages] == [
        "exec_0.granulate.1.performance",
        "exec_100.granulate.1.performance",
        "exec_200.granulate.1.performance",
    ]


def test_large_records_are_spread_over_messages_and_the_largest_goes_alone() -> None:
    sizes = (100_000, 100_000, 100_000, 300_000, 1)
    records = [record(number, failure_code="x" * size) for number, size in enumerate(sizes)]

    messages = performance_messages(records)

    numbers = [[each.execution_id for each in _RECORDS.decode(message.payload)] for message in messages]
    assert numbers == [["exec_0", "exec_1"], ["exec_2"], ["exec_3"], ["exec_4"]]


def test_without_ended_attempts_there_is_no_message() -> None:
    assert performance_messages([]) == []


def test_messages_of_a_moment_become_one() -> None:
    records = [record(1), record(2)]
    messages = [message for each in records for message in performance_messages([each])]

    [made] = records_together(messages)

    assert _RECORDS.decode(made.payload) == records
    assert (made.subject, made.message_id) == ("aif.performance.content_granulator", "exec_1.granulate.1.performance.1.of.2")


def test_one_alone_stays_as_it_was_committed() -> None:
    messages = performance_messages([record(1)])

    assert records_together(messages) == messages


def test_messages_of_a_moment_hold_no_more_than_any_other() -> None:
    messages = performance_messages([record(number) for number in range(250)])

    together = records_together([messages[2], messages[0]])

    assert [len(_RECORDS.decode(message.payload)) for message in together] == [100, 50]
    assert len({message.message_id for message in together}) == 2
