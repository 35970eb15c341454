"""Each invariant of the fault matrix is seen when it is broken; otherwise its zeros would mean nothing."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from msgspec.structs import replace

from aif_contracts.events import (
    Deliverable,
    EventData,
    ExecutionEvent,
    Kept,
    StepCompleted,
    StepRetrying,
    Totals,
    WorkflowCompleted,
    WorkflowResumed,
)
from aif_contracts.metering import ResourceUsage, TimeBreakdown, Tokens
from aif_runtime.memory_blobs import MemoryBlobStore
from faults.billed_worker import BillLine
from faults.invariants import (
    WORKER_LOST,
    Account,
    Books,
    CallsLost,
    StoredAttempt,
    StoredCall,
    StoredExecution,
    Unanswered,
    Violations,
    check_endings,
    check_liveness,
    check_money,
    check_results,
    check_stages,
    check_stages_of_any_pipeline,
)

EXECUTION = "exec_1"
TEXTS = {EXECUTION: "bees"}
DIGEST_OF_BEES = "45e45b469aa00c9c4359410b3d50ca3bf56477b53841de68957e13a0f081d8e9"
CALLS = ("exec_1.one.1.1", "exec_1.two.1.1", "exec_1.three.1.1")
BILL = tuple(BillLine(call_key=key, cost_usd="0.0125", billed_at=0.0) for key in CALLS)
PRICE = Decimal("0.0125")
BOOKED = StoredCall(cost_usd=PRICE)
AT = datetime(2026, 1, 1, tzinfo=UTC)
ATTEMPTS = tuple(
    StoredAttempt(execution_id=EXECUTION, stage_id=stage, attempt=1, failure_code=None, cost_usd=PRICE)
    for stage in ("one", "two", "three")
)


async def test_a_trial_in_order_breaks_nothing() -> None:
    found = Violations()

    books = await _books()
    unbooked = await _check(books, BILL, found)

    assert dict(found.found) == {}
    assert unbooked == Unanswered()


async def test_an_accepted_order_that_is_not_stored_breaks_the_first() -> None:
    found = Violations()

    await _check(replace(await _books(), executions={}), (), found)

    assert found.found["I1"] == ["exec_1 was accepted and is not stored"]


@pytest.mark.parametrize("finals", [0, 2])
async def test_an_execution_without_exactly_one_end_breaks_the_first(finals: int) -> None:
    found = Violations()

    await _check(replace(await _books(), final_events={EXECUTION: finals}), BILL, found)

    assert found.found["I1"] == [f"exec_1 has {finals} terminal events in 1 legs"]


async def test_a_resumed_execution_has_one_end_more() -> None:
    books = await _books()
    kept = Kept(stages=(), tokens_used=Tokens(), cost_usd="0", processing_time_ms=0)
    story = [WorkflowResumed(leg=2, kept=kept), *(event.data for event in books.events[EXECUTION])]
    resumed = [_event(number, data) for number, data in enumerate(story, 1)]
    one_end, two_ends = Violations(), Violations()

    await _check(replace(books, events={EXECUTION: resumed}), BILL, one_end)
    await _check(replace(books, events={EXECUTION: resumed}, final_events={EXECUTION: 2}), BILL, two_ends)

    assert one_end.found["I1"] == ["exec_1 has 1 terminal events in 2 legs"]
    assert dict(two_ends.found) == {}


async def test_an_event_that_is_missing_breaks_the_first() -> None:
    found = Violations()
    books = await _books()

    await _check(replace(books, events={EXECUTION: books.events[EXECUTION][1:]}), BILL, found)

    assert found.found["I1"] == ["exec_1 has events [2, 3, 4]"]


async def test_an_event_after_the_end_breaks_the_first() -> None:
    found = Violations()
    books = await _books()
    late = _event(5, StepCompleted(step_name="one", attempt=2, tokens_used=Tokens(), cost_usd="0", processing_time_ms=1))

    check_endings(TEXTS, replace(books, events={EXECUTION: [*books.events[EXECUTION], late]}), found)

    assert found.found["I1"] == ["after the end of exec_1 comes STEP_COMPLETED"]


@pytest.mark.parametrize(
    ("bill", "ledger", "words"),
    [
        (BILL[:2], None, "the ledger says 0.0125 for exec_1.three.1.1, the bill None"),
        ((*BILL, BILL[0]), None, "the provider billed exec_1.one.1.1 2 times: an attempt was given to two workers"),
        (
            BILL,
            {CALLS[0]: BOOKED, CALLS[1]: BOOKED},
            "exec_1.three.1.1 was billed and is not in the ledger",
        ),
        (
            BILL,
            dict.fromkeys(CALLS[1:], BOOKED) | {CALLS[0]: StoredCall(cost_usd=Decimal("0.01"))},
            "the ledger says 0.01 for exec_1.one.1.1, the bill 0.0125",
        ),
        (
            BILL,
            dict.fromkeys(CALLS[1:], BOOKED) | {CALLS[0]: StoredCall(cost_usd=None, upper_bound_usd=Decimal("0.01"))},
            "exec_1.one.1.1 is in doubt up to 0.01, the bill says 0.0125",
        ),
    ],
)
async def test_a_ledger_that_is_not_the_bill_breaks_the_second(
    bill: tuple[BillLine, ...], ledger: dict[str, StoredCall] | None, words: str
) -> None:
    found = Violations()
    books = await _books()

    await _check(books if ledger is None else replace(books, ledger=ledger), bill, found)

    assert found.found["I2"] == [words]


async def test_a_call_in_doubt_within_its_bound_is_counted_and_breaks_nothing() -> None:
    doubtful = StoredCall(cost_usd=None, upper_bound_usd=Decimal("0.02"))
    account = Account(spent_usd=2 * PRICE, reserved_usd=Decimal("0.02"))
    books = replace(await _books(), ledger=dict.fromkeys(CALLS[1:], BOOKED) | {CALLS[0]: doubtful}, account=account)
    found = Violations()

    unanswered = check_money(books, BILL, found, CallsLost.NONE)

    assert dict(found.found) == {}
    assert unanswered == Unanswered(in_doubt=1)


@pytest.mark.parametrize(
    ("account", "words"),
    [
        (Account(spent_usd=PRICE, reserved_usd=Decimal(0)), "the client is charged 0.0125, its calls have cost 0.0375"),
        (Account(spent_usd=3 * PRICE, reserved_usd=PRICE), "0.0125 are reserved, 0 are in doubt"),
    ],
)
async def test_an_account_that_is_not_the_sum_of_its_calls_breaks_the_fifth(account: Account, words: str) -> None:
    found = Violations()

    check_money(replace(await _books(), account=account), BILL, found, CallsLost.NONE)

    assert found.found["I5"] == [words]


async def test_a_call_that_only_its_report_tells_of_is_excused_where_the_brokers_store_was_deleted() -> None:
    books = replace(await _books(), ledger=dict.fromkeys(CALLS[:2], BOOKED))
    killed, deleted = Violations(), Violations()

    check_money(books, BILL, killed, CallsLost.NONE)
    unanswered = check_money(books, BILL, deleted, CallsLost.WITH_THE_STORE)

    assert killed.found["I2"] == ["exec_1.three.1.1 was billed and is not in the ledger"]
    assert dict(deleted.found) == {}
    assert unanswered == Unanswered(unbooked=1)


async def test_a_call_of_a_lost_attempt_is_excused_where_the_brokers_store_was_deleted() -> None:
    books = await _books()
    lost = StoredAttempt(execution_id=EXECUTION, stage_id="one", attempt=2, failure_code=WORKER_LOST, cost_usd=None)
    books = replace(books, attempts=(*ATTEMPTS, lost))
    bill = (*BILL, BillLine(call_key="exec_1.one.2.1", cost_usd="0.0125", billed_at=0.0))

    assert check_money(books, bill, Violations(), CallsLost.WITH_THE_STORE) == Unanswered(unbooked=1)


async def test_a_stage_that_was_applied_twice_breaks_the_third() -> None:
    found = Violations()
    again = StoredAttempt(execution_id=EXECUTION, stage_id="two", attempt=2, failure_code=None, cost_usd=PRICE)

    await _check(replace(await _books(), attempts=(*ATTEMPTS, again)), BILL, found)

    assert found.found["I3"] == ["exec_1.two of a completed execution was applied [1, 2] times"]


async def test_a_completed_execution_without_one_of_its_stages_breaks_the_third() -> None:
    found = Violations()

    await _check(replace(await _books(), attempts=ATTEMPTS[:2]), BILL, found)

    assert found.found["I3"] == ["exec_1.three of a completed execution was applied [0, 1] times"]


@pytest.mark.parametrize(("code", "violations"), [("retry_rule", 0), ("worker_lost", 1)])
async def test_a_stage_of_any_pipeline_is_applied_again_by_a_rule_alone(code: str, violations: int) -> None:
    found = Violations()
    books = await _books()
    retrying = StepRetrying(step_name="one", attempt=1, code=code, message="", retry_in_ms=0)
    events = [*books.events[EXECUTION][:1], _event(2, retrying), *books.events[EXECUTION]]

    check_stages_of_any_pipeline(replace(books, events={EXECUTION: events}), found)

    assert len(found) == len(found.found["I3"]) == violations


async def test_a_result_of_another_order_breaks_the_fourth() -> None:
    found = Violations()

    await _check(await _books(delivered="another"), BILL, found)

    assert found.found["I4"] == ["exec_1 delivered another"]


async def test_an_execution_that_never_ends_breaks_the_eighth() -> None:
    found = Violations()
    books = await _books()
    running = replace(books.executions[EXECUTION], status="running", ended_at=None)

    check_liveness(TEXTS, ["exec_2 was refused"], replace(books, executions={EXECUTION: running}), found, meant_to_end_badly=0)

    assert found.found["I8"] == [
        "exec_2 was refused",
        "exec_1 has not ended",
        "of 1 executions only 0 completed: {'running': 1}",
    ]


async def _check(books: Books, bill: tuple[BillLine, ...], found: Violations) -> Unanswered:
    check_endings(TEXTS, books, found)
    unbooked = check_money(books, bill, found, CallsLost.NONE)
    check_stages(books, found)
    await check_results(TEXTS, books, MemoryBlobStore(), found)
    check_liveness(TEXTS, [], books, found, meant_to_end_badly=0)
    return unbooked


async def _books(delivered: str = DIGEST_OF_BEES) -> Books:
    blob = await MemoryBlobStore().put("digest", msgspec.json.encode({"text": delivered}))
    deliverable = Deliverable(deliverable_id="d", name="digest", title="", media_type="application/json", blob=blob)
    totals = Totals(
        tokens_used=Tokens(),
        cost_usd="0.0375",
        cost_is_complete=True,
        wall_time_ms=1,
        busy_time_ms=1,
        breakdown=TimeBreakdown(),
        resource_usage=ResourceUsage(),
        attempts=3,
    )
    steps: list[EventData] = [
        StepCompleted(step_name=stage, attempt=1, tokens_used=Tokens(), cost_usd="0.0125", processing_time_ms=1)
        for stage in ("one", "two", "three")
    ]
    end = WorkflowCompleted(status="completed", totals=totals, deliverables=(deliverable,))
    return Books(
        executions={EXECUTION: StoredExecution(execution_id=EXECUTION, status="completed", created_at=AT, ended_at=AT)},
        events={EXECUTION: [_event(number, data) for number, data in enumerate([*steps, end], 1)]},
        final_events={EXECUTION: 1},
        attempts=ATTEMPTS,
        ledger=dict.fromkeys(CALLS, BOOKED),
        account=Account(spent_usd=3 * PRICE, reserved_usd=Decimal(0)),
    )


def _event(number: int, data: EventData) -> ExecutionEvent:
    return ExecutionEvent(
        id=f"{EXECUTION}:{number}",
        type="aif.event",
        time="2026-01-01T00:00:00Z",
        subject=EXECUTION,
        sequence=number,
        client_id="faults",
        progress_percent=0,
        data=data,
    )
