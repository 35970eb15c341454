"""The bill across executions: calls searched; the unanswered settled by a statement, or after a time by their bound."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import replace

from aif_contracts import subjects
from aif_contracts.audit import AuditPage, ListAudit
from aif_contracts.budgets import BudgetView, GetBudget
from aif_contracts.metering import Basis, CallOutcome, Metrics, ProviderCall, Tokens
from aif_contracts.orders import Refusal
from aif_contracts.reconciliation import BookedCall, BookedCallPage, SearchCalls, SettleCall
from aif_contracts.reports import Failed
from aif_orchestrator.calls.answers import CallAnswers
from aif_orchestrator.calls.settling import Settling
from aif_orchestrator.calls.store import BookedCallStore, CallFilter, FoundCall, Position, Settlement
from aif_orchestrator.execution.commands import SettleCall as SettleCallCommand
from aif_orchestrator.retention import Retention
from aif_orchestrator.store.calls import CallStore
from aif_orchestrator.store.executions import ExecutionStore
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.postgres import Database
from aif_runtime.sql_files import load_queries
from support.execution_story import call, pipeline, stage
from support.orchestrator_line import Client, HandWorker, orchestrator_database, running_orchestrator
from support.waiting import eventually

LINE = pipeline(stage("one"), name="line")
KEY = "exec_1.one.1.1"


class CallsRig:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.broker = MemoryBroker()
        self.bus = MemoryBus(self.broker)
        self.client = Client(self.bus)
        self.worker = HandWorker(self.bus)

    @asynccontextmanager
    async def orchestrator(self, **settings: Any) -> AsyncIterator[None]:
        await self.worker.register()
        patient = {"orchestrator_unclaimed_seconds": 60.0, "orchestrator_lease_seconds": 60.0, **settings}
        async with (
            MemoryBus(self.broker) as own,
            running_orchestrator(own, MemoryBlobStore(), self.database, (LINE,), **patient),
        ):
            yield

    async def in_doubt(self, **changes: Any) -> BookedCall:
        """An execution that has failed, with one call that nobody answered."""
        await self.client.execute("exec_1", "line")
        delivery, packet = await self.worker.take()
        attempt = await self.worker.granted(packet)
        outcome = changes.pop("outcome", CallOutcome.IN_DOUBT)
        await self.worker.books(call("one", attempt, 1, None, outcome=outcome, upper_bound_usd="0.5", **changes))
        await self.worker.report(
            Failed(
                packet_id=packet.packet_id,
                execution_id="exec_1",
                stage_id="one",
                attempt=attempt,
                worker_name="maker",
                instance_id="worker_a",
                code="provider_silent",
                message="no answer",
                retryable=False,
                metrics=Metrics(cost_usd=None, unanswered={KEY: "0.5"}),
            )
        )
        await delivery.ack()
        await eventually(lambda: self.client.has_ended("exec_1"))
        return await eventually(lambda: self.booked(KEY))

    async def forget_the_execution(self) -> None:
        """It ended long ago, and is deleted."""
        async with self.database.connection() as connection:
            await connection.execute(
                "UPDATE executions SET created_at = created_at - interval '100 days', ended_at = ended_at - interval '100 days'"
            )
        executions = ExecutionStore(load_queries("aif_orchestrator.store"))
        assert await Retention(database=self.database, executions=executions, keep_days=90).delete_old() == 1

    async def booked(self, call_key: str) -> BookedCall:
        found = [each for each in (await self.search()).calls if each.call.call_key == call_key]
        assert found, f"{call_key} is not booked yet"
        return found[0]

    async def search(self, **wanted: Any) -> BookedCallPage:
        answer = await self._ask(subjects.SEARCH_CALLS, msgspec.convert(wanted, SearchCalls))
        return msgspec.json.decode(answer, type=BookedCallPage)

    async def settle(self, call_key: str = KEY, **said: Any) -> BookedCall | Refusal:
        question = SettleCall(call_key=call_key, **{"billed": True, "decided_by": "ada", "note": "statement", **said})
        answer = await self._ask(subjects.SETTLE_CALL, question)
        if b'"reply":"refusal"' in answer:
            return msgspec.json.decode(answer, type=Refusal)
        return msgspec.json.decode(answer, type=BookedCall)

    async def budget(self) -> BudgetView:
        return msgspec.json.decode(await self._ask(subjects.GET_BUDGET, GetBudget(client_id="acme")), type=BudgetView)

    async def audited(self) -> list[dict[str, Any]]:
        """What the log says of settled calls, oldest first."""
        answer = await self._ask(subjects.LIST_AUDIT, ListAudit(action="CALL_SETTLED"))
        return [row.entry.details for row in reversed(msgspec.json.decode(answer, type=AuditPage).rows)]

    async def _ask(self, subject: str, question: msgspec.Struct) -> bytes:
        return await self.bus.ask(subject, msgspec.json.encode(question), wait_seconds=5)


@pytest.fixture
async def rig(fresh_orchestrator_database: str) -> AsyncIterator[CallsRig]:
    async with orchestrator_database(fresh_orchestrator_database) as database:
        rig = CallsRig(database)
        yield rig
        await rig.bus.close()


async def test_a_call_without_an_answer_is_settled_by_the_statement_in_row_execution_budget_and_log(rig: CallsRig) -> None:
    async with rig.orchestrator():
        before = await rig.in_doubt()
        held = await rig.budget()

        settled = await rig.settle(cost_usd="0.125", tokens=Tokens(prompt_tokens=100, completion_tokens=20))

        assert (before.call.cost_usd, before.call.basis) == (None, Basis.USAGE)
        assert (held.spent_usd, held.reserved_usd) == ("0", "0.5")
        assert isinstance(settled, BookedCall)
        assert (settled.call.cost_usd, settled.call.basis, settled.settled_note) == ("0.125", Basis.STATEMENT, "statement")
        assert (settled.call.tokens.prompt_tokens, settled.call.tokens.completion_tokens) == (100, 20)
        assert settled.call.outcome is CallOutcome.IN_DOUBT
        view = await rig.client.get("exec_1")
        assert (view.totals.cost_usd, view.totals.cost_is_complete) == ("0.125", True)
        budget = await rig.budget()
        assert (budget.spent_usd, budget.reserved_usd) == ("0.125", "0")
        assert [(told["cost_usd"], told["basis"]) for told in await rig.audited()] == [("0.125", "statement")]


async def test_calls_that_come_after_the_report_that_ends_the_execution_are_told_before_its_end_kept_and_charged_once(
    rig: CallsRig,
) -> None:
    async with rig.orchestrator():
        await rig.client.execute("exec_1", "line")
        delivery, packet = await rig.worker.take()
        attempt = await rig.worker.granted(packet)
        named, hidden = call("one", attempt, 1, "0.25"), call("one", attempt, 2, "0.5")
        await rig.worker.completes(packet, attempt, {}, cost_usd="0.25", calls=(named,))
        await delivery.ack()
        await eventually(lambda: rig.client.has_ended("exec_1"))
        told = [event.type for event in (await rig.client.events("exec_1")).events]

        for late in (named, hidden, named, hidden):
            await rig.worker.books(late)
        await eventually(lambda: rig.booked(hidden.call_key))

        assert told.count("aif.ai_generation_completed") == 1
        assert [event.type for event in (await rig.client.events("exec_1")).events] == told
        assert told[-1] == "aif.workflow_completed"
        bill = {each.call.call_key: each.call.cost_usd for each in (await rig.search()).calls}
        assert bill == {named.call_key: "0.25", hidden.call_key: "0.5"}
        budget = await rig.budget()
        assert (budget.spent_usd, budget.reserved_usd) == ("0.75", "0")
        assert (await rig.client.get("exec_1")).totals.cost_usd == "0.75"


async def test_an_execution_that_is_ordered_again_after_its_deletion_has_calls_decisions_and_an_account_of_its_own(
    rig: CallsRig,
) -> None:
    async with rig.orchestrator():
        await rig.in_doubt()
        await rig.settle(cost_usd="0.125")
        await rig.forget_the_execution()
    again = CallsRig(rig.database)

    async with again.orchestrator():
        anew = await again.in_doubt()
        settled = await again.settle(cost_usd="0.125")

        assert anew.call.cost_usd is None
        assert isinstance(settled, BookedCall)
        bill = [(each.call.call_key.partition("~")[0], each.call.cost_usd) for each in (await again.search()).calls]
        assert bill == [(KEY, "0.125"), (KEY, "0.125")]
        assert (await again.budget()).spent_usd == "0.25"
        assert [told["cost_usd"] for told in await again.audited()] == ["0.125", "0.125"]
    await again.bus.close()


async def test_a_call_that_was_not_billed_has_cost_nothing(rig: CallsRig) -> None:
    async with rig.orchestrator():
        await rig.in_doubt()

        settled = await rig.settle(billed=False)

        assert isinstance(settled, BookedCall)
        assert (settled.call.cost_usd, settled.call.tokens.total_tokens) == ("0", 0)
        budget = await rig.budget()
        assert (budget.spent_usd, budget.reserved_usd) == ("0", "0")


async def test_after_a_time_it_is_charged_at_its_bound_and_a_statement_corrects_that(rig: CallsRig) -> None:
    async with rig.orchestrator():
        await rig.in_doubt()
    async with rig.orchestrator(orchestrator_in_doubt_hours=0.0), rig.orchestrator(orchestrator_in_doubt_hours=0.0):
        estimated = await eventually(lambda: _with_basis(rig, Basis.ESTIMATE))
        spent = (await rig.budget()).spent_usd

        corrected = await rig.settle(cost_usd="0.0625")

        assert (estimated.call.cost_usd, spent) == ("0.5", "0.5")
        assert isinstance(corrected, BookedCall)
        assert (corrected.call.cost_usd, corrected.call.basis) == ("0.0625", Basis.STATEMENT)
        assert (await rig.budget()).spent_usd == "0.0625"
        told = await rig.audited()
        assert [(each["cost_before_usd"], each["cost_usd"], each["basis"]) for each in told] == [
            (None, "0.5", "estimate"),
            ("0.5", "0.0625", "statement"),
        ]


async def test_a_call_that_was_only_announced_is_settled_too(rig: CallsRig) -> None:
    async with rig.orchestrator():
        await rig.in_doubt(outcome=CallOutcome.STARTED)

        settled = await rig.settle(cost_usd="0.25")

        assert isinstance(settled, BookedCall)
        assert (settled.call.cost_usd, settled.call.outcome) == ("0.25", CallOutcome.STARTED)
        assert (await rig.budget()).spent_usd == "0.25"


async def test_a_call_whose_execution_is_gone_is_corrected_in_its_row(rig: CallsRig) -> None:
    async with rig.orchestrator():
        await rig.worker.books(call("one", 1, 1, None, outcome=CallOutcome.IN_DOUBT, upper_bound_usd="0.5"))
        await eventually(lambda: rig.booked(KEY))

        settled = await rig.settle(cost_usd="0.125")

        assert isinstance(settled, BookedCall)
        assert (settled.call.cost_usd, settled.call.basis) == ("0.125", Basis.STATEMENT)
        assert len(await rig.audited()) == 1


async def test_the_same_decision_twice_is_one_correction(rig: CallsRig) -> None:
    async with rig.orchestrator():
        await rig.in_doubt()

        await rig.settle(cost_usd="0.125")
        again = await rig.settle(cost_usd="0.125")

        assert isinstance(again, BookedCall)
        assert (await rig.budget()).spent_usd == "0.125"


@pytest.mark.parametrize(
    ("said", "code", "field"),
    [
        ({"call_key": "exec_9.one.1.1", "cost_usd": "1"}, "unknown_call", None),
        ({"cost_usd": None}, "invalid_settlement", "cost_usd"),
        ({"billed": False, "cost_usd": "1"}, "invalid_settlement", "cost_usd"),
    ],
)
async def test_what_makes_no_sense_is_refused(rig: CallsRig, said: dict[str, Any], code: str, field: str | None) -> None:
    async with rig.orchestrator():
        refused = await rig.settle(**said)

        assert isinstance(refused, Refusal)
        assert refused.code == code
        assert [mistake.field for mistake in refused.mistakes] == ([field] if field else [])


async def test_a_call_whose_answer_told_its_usage_is_not_touched(rig: CallsRig) -> None:
    async with rig.orchestrator():
        await rig.worker.books(call("one", 1, 1, "0.25"))
        await eventually(lambda: rig.booked(KEY))

        refused = await rig.settle(cost_usd="1")

        assert isinstance(refused, Refusal)
        assert refused.code == "call_has_answer"
        assert (await rig.booked(KEY)).call.cost_usd == "0.25"
        assert await rig.audited() == []


async def test_calls_are_searched_by_what_is_known_of_them_page_for_page(rig: CallsRig) -> None:
    async with rig.orchestrator():
        for number in range(1, 6):
            await rig.worker.books(call("one", 1, number, "0.25"))
        await rig.worker.books(call("one", 1, 6, None, outcome=CallOutcome.IN_DOUBT, upper_bound_usd="1", client_id="globex"))
        await rig.worker.books(call("one", 1, 7, "0", provider="local_extractive", model="extractive"))
        await eventually(lambda: rig.booked("exec_1.one.1.7"))

        async def keys(**wanted: Any) -> list[str]:
            return sorted(each.call.call_key[-1] for each in (await rig.search(**wanted)).calls)

        assert await keys(in_doubt=True) == await keys(outcome="in_doubt") == await keys(client_id="globex") == ["6"]
        assert await keys(provider="local_extractive") == await keys(model="extractive") == ["7"]
        assert await keys(execution_id="exec_2") == await keys(basis="estimate") == []
        assert await keys(booked_to="2020-01-01T00:00:00Z") == await keys(booked_from="2999-01-01T00:00:00Z") == []
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await rig.search(limit=3, cursor=cursor)
            found += [each.call.call_key for each in page.calls]
            if (cursor := page.next_cursor) is None:
                break
        assert sorted(found) == [f"exec_1.one.1.{number}" for number in range(1, 8)]


async def test_a_search_for_what_is_rare_looks_at_so_many_calls_and_goes_on_where_it_ended(rig: CallsRig) -> None:
    rare = {number: {"outcome": CallOutcome.TRUNCATED} for number in (3, 20, 21)}
    await _keep(rig, [call("one", 1, number, "0.25", **rare.get(number, {})) for number in range(1, 31)])
    await _book_at(rig, {f"exec_1.one.1.{number}": 100 - number // 2 for number in range(1, 31)})
    store = BookedCallStore(load_queries("aif_orchestrator.calls"), most_looked_at=10)
    pages: list[list[str]] = []
    after: Position | None = None

    while after or not pages:
        async with rig.database.transaction() as connection:
            found = await store.search(connection, CallFilter(outcome=CallOutcome.TRUNCATED), after, 10)
        pages.append([each.booked.call.call_key for each in found.calls])
        after = found.searched_until

    async with rig.database.transaction() as connection:
        enough = await store.search(connection, CallFilter(outcome=CallOutcome.TRUNCATED), None, 1)
        all_of_a_client = await store.search(connection, CallFilter(client_id="acme"), None, 100)
    assert pages == [["exec_1.one.1.3"], ["exec_1.one.1.20", "exec_1.one.1.21"], []]
    assert (len(enough.calls), enough.searched_until) == (1, None)
    assert (len(all_of_a_client.calls), all_of_a_client.searched_until) == (30, None)


async def test_a_page_without_a_call_tells_where_to_go_on(rig: CallsRig) -> None:
    await _keep(rig, [call("one", 1, number, "0.25") for number in range(1, 5)])
    await _book_at(rig, {f"exec_1.one.1.{number}": 10 - number for number in range(1, 5)})
    store = BookedCallStore(load_queries("aif_orchestrator.calls"), most_looked_at=2)
    nobody_settles = cast(Settling, None)
    await CallAnswers(bus=rig.bus, database=rig.database, store=store, settling=nobody_settles).open()

    pages = [await rig.search(outcome="truncated")]
    while pages[-1].next_cursor is not None:
        pages.append(await rig.search(outcome="truncated", cursor=pages[-1].next_cursor))

    assert [page.calls for page in pages] == [(), ()]


@pytest.mark.parametrize("question", [b'{"cursor":"x"}', b'{"cursor":"1"}', b'{"booked_from":"today"}'])
async def test_a_wrong_question_is_refused(rig: CallsRig, question: bytes) -> None:
    async with rig.orchestrator():
        answer = await rig.bus.ask(subjects.SEARCH_CALLS, question, wait_seconds=5)

        assert msgspec.json.decode(answer, type=Refusal).code in ("invalid_cursor", "invalid_filter")


async def test_an_answer_that_comes_between_is_not_overwritten_by_a_decision(rig: CallsRig) -> None:
    async with rig.orchestrator():
        await rig.worker.books(call("one", 1, 1, None, outcome=CallOutcome.STARTED, upper_bound_usd="0.5"))
        await eventually(lambda: rig.booked(KEY))
        await rig.settle(cost_usd="0.5")

        await rig.worker.books(call("one", 1, 1, "0.25"))

        answered = await eventually(lambda: _with_outcome(rig, CallOutcome.ANSWERED))
        assert (answered.call.cost_usd, answered.call.basis) == ("0.25", Basis.USAGE)


async def test_an_answer_that_comes_after_a_decision_is_final_in_row_and_budget(rig: CallsRig) -> None:
    async with rig.orchestrator():
        await rig.in_doubt(outcome=CallOutcome.STARTED)
        await rig.settle(cost_usd="0.5")
        await rig.worker.books(call("one", 1, 1, "0.25"))
        answered = await eventually(lambda: _with_outcome(rig, CallOutcome.ANSWERED))

        refused = await rig.settle(cost_usd="0.125")

        assert isinstance(refused, Refusal)
        assert refused.code == "call_has_answer"
        assert await rig.booked(KEY) == answered
        assert (answered.call.cost_usd, answered.settled_at, answered.settled_note) == ("0.25", None, None)
        assert (await rig.budget()).spent_usd == "0.25"


async def test_an_end_without_an_answer_leaves_what_was_settled_meanwhile(rig: CallsRig) -> None:
    async with rig.orchestrator():
        await rig.worker.books(call("one", 1, 1, None, outcome=CallOutcome.STARTED, upper_bound_usd="0.5"))
        await eventually(lambda: rig.booked(KEY))
        await rig.settle(cost_usd="0.25")

        await rig.worker.books(call("one", 1, 1, None, outcome=CallOutcome.IN_DOUBT, upper_bound_usd="0.5"))

        ended = await eventually(lambda: _with_outcome(rig, CallOutcome.IN_DOUBT))
        assert (ended.call.cost_usd, ended.call.basis) == ("0.25", Basis.STATEMENT)


@pytest.mark.parametrize("named", [False, True])
async def test_an_end_without_an_answer_leaves_the_tokens_that_a_decision_named(rig: CallsRig, *, named: bool) -> None:
    stated = Tokens(prompt_tokens=70, completion_tokens=9, total_tokens=79, cache_read_tokens=5, reasoning_tokens=2)
    told = Tokens(prompt_tokens=12, completion_tokens=3, total_tokens=15, cache_write_tokens=4)
    async with rig.orchestrator():
        await rig.worker.books(call("one", 1, 1, None, outcome=CallOutcome.STARTED, upper_bound_usd="0.5"))
        await eventually(lambda: rig.booked(KEY))
        await rig.settle(cost_usd="0.25", tokens=stated if named else None)

        await rig.worker.books(call("one", 1, 1, None, outcome=CallOutcome.IN_DOUBT, upper_bound_usd="0.5", tokens=told))

        ended = await eventually(lambda: _with_outcome(rig, CallOutcome.IN_DOUBT))
        assert (ended.call.cost_usd, ended.call.tokens) == ("0.25", stated if named else told)


async def test_the_first_end_of_a_call_stays_whatever_is_told_of_it_later(rig: CallsRig) -> None:
    async with rig.orchestrator():
        await rig.worker.books(call("one", 1, 1, "0.25"))
        await eventually(lambda: rig.booked(KEY))

        await rig.worker.books(call("one", 1, 1, "0.75", outcome=CallOutcome.FAILED))
        last = call("one", 1, 2, "0.5")
        await rig.worker.books(last)
        await eventually(lambda: rig.booked(last.call_key))

        booked = await rig.booked(KEY)
        assert (booked.call.cost_usd, booked.call.outcome) == ("0.25", CallOutcome.ANSWERED)


async def test_no_call_in_doubt_is_old_enough_before_its_time(rig: CallsRig) -> None:
    async with rig.orchestrator(orchestrator_in_doubt_hours=24.0):
        await rig.in_doubt()
    store = BookedCallStore(load_queries("aif_orchestrator.calls"))

    async with rig.database.connection() as connection:
        young = await store.list_old_in_doubt(connection, older_than_seconds=86_400.0, after=None, limit=10)
        old = await store.list_old_in_doubt(connection, older_than_seconds=0.0, after=None, limit=10)

    assert (young, [each.booked.call.call_key for each in old]) == ([], [KEY])


async def test_only_calls_that_nobody_knows_the_cost_of_and_that_have_a_bound_grow_old_the_oldest_first(rig: CallsRig) -> None:
    bounds = {"exec_1.one.1.1": "1", "exec_1.one.1.2": None, "exec_1.one.1.4": "1", "exec_1.one.1.5": "1"}
    calls = [call("one", 1, number, "0.25" if number == 3 else None, upper_bound_usd="1") for number in range(1, 6)]
    await _keep(rig, [replace(each, upper_bound_usd=bounds.get(each.call_key, "1")) for each in calls])
    await _book_at(rig, {"exec_1.one.1.5": 5, "exec_1.one.1.4": 4, "exec_1.one.1.1": 4})
    store = BookedCallStore(load_queries("aif_orchestrator.calls"))

    found: list[str] = []
    after = None
    async with rig.database.connection() as connection:
        while page := await store.list_old_in_doubt(connection, older_than_seconds=0.0, after=after, limit=1):
            found += [each.booked.call.call_key for each in page]
            after = page[-1].position

    assert found == ["exec_1.one.1.5", "exec_1.one.1.1", "exec_1.one.1.4"]


async def test_a_search_gives_calls_oldest_first_and_those_of_one_moment_each_once(rig: CallsRig) -> None:
    await _keep(rig, [call("one", 1, number, "0.25") for number in range(1, 6)])
    await _book_at(rig, {f"exec_1.one.1.{number}": hours for number, hours in enumerate((1, 2, 2, 2, 3), 1)})
    oldest_first = [f"exec_1.one.1.{number}" for number in (5, 2, 3, 4, 1)]
    store = BookedCallStore(load_queries("aif_orchestrator.calls"))

    async def found(after: Position | None = None, limit: int = 2, **wanted: Any) -> list[FoundCall]:
        async with rig.database.transaction() as connection:
            return (await store.search(connection, CallFilter(**wanted), after, limit)).calls

    pages, after = [], None
    while page := await found(after):
        pages.append([each.booked.call.call_key for each in page])
        after = page[-1].position
    moment = (await found())[1].position.booked_at
    until = [each.booked.call.call_key for each in await found(limit=9, booked_to=moment)]
    since = [each.booked.call.call_key for each in await found(limit=9, booked_from=moment)]

    assert pages == [oldest_first[:2], oldest_first[2:4], oldest_first[4:]]
    assert (until, since) == (oldest_first[:1], oldest_first[1:])


@pytest.mark.parametrize("has_execution", [True, False])
async def test_a_decision_changes_what_it_tells_of_its_own_call_alone(rig: CallsRig, has_execution: bool) -> None:
    told = Tokens(prompt_tokens=10, completion_tokens=20, total_tokens=30, cache_read_tokens=3, cache_write_tokens=4)
    told = replace(told, reasoning_tokens=5)
    await _keep(rig, [replace(call("one", 1, number, None), tokens=told) for number in (1, 2)])
    stated = Tokens(prompt_tokens=11, completion_tokens=21, total_tokens=32, cache_read_tokens=6, cache_write_tokens=7)
    stated = replace(stated, reasoning_tokens=8)

    async def settle(cost_usd: str, tokens: Tokens | None) -> None:
        decision = {"call_key": KEY, "cost_usd": cost_usd, "basis": Basis.STATEMENT, "note": "bill", "tokens": tokens}
        async with rig.database.connection() as connection:
            if has_execution:
                command = msgspec.convert(decision, SettleCallCommand)
                await CallStore(load_queries("aif_orchestrator.store")).settle(connection, [command])
            else:
                settlement = msgspec.convert(decision, Settlement)
                await BookedCallStore(load_queries("aif_orchestrator.calls")).settle(connection, settlement)

    await settle("0.5", None)
    without = await _kept(rig)
    await settle("0.25", stated)

    assert without == {KEY: ("0.5", told, "bill"), "exec_1.one.1.2": (None, told, None)}
    assert await _kept(rig) == {KEY: ("0.25", stated, "bill"), "exec_1.one.1.2": (None, told, None)}


async def test_a_decision_leaves_an_answer_that_came_while_it_was_made(rig: CallsRig) -> None:
    await _keep(rig, [call("one", 1, 1, "0.25")])
    decision = Settlement(call_key=KEY, cost_usd="0.5", basis=Basis.STATEMENT, note="bill")

    async with rig.database.connection() as connection:
        await BookedCallStore(load_queries("aif_orchestrator.calls")).settle(connection, decision)

    ((cost_usd, _, note),) = (await _kept(rig)).values()
    assert (cost_usd, note) == ("0.25", None)


async def test_an_announcement_that_is_delivered_again_leaves_what_was_decided(rig: CallsRig) -> None:
    announced = call("one", 1, 1, None, outcome=CallOutcome.STARTED, upper_bound_usd="0.5")
    stated = Tokens(prompt_tokens=11, completion_tokens=21, total_tokens=32)
    await _keep(rig, [announced])
    decision = Settlement(call_key=KEY, cost_usd="0.5", basis=Basis.STATEMENT, note="bill", tokens=stated)
    async with rig.database.connection() as connection:
        await BookedCallStore(load_queries("aif_orchestrator.calls")).settle(connection, decision)

    await _keep(rig, [announced])

    assert await _kept(rig) == {KEY: ("0.5", stated, "bill")}


async def test_an_executions_calls_are_its_own_alone(rig: CallsRig) -> None:
    own = call("one", 1, 1, "0.25")
    await _keep(rig, [own, replace(own, execution_id="exec_2", call_key="exec_2.one.1.1", client_id="beta")])

    async with rig.database.connection() as connection:
        listed = await CallStore(load_queries("aif_orchestrator.store")).list_page(connection, "exec_1", "", 10)

    assert [each.call_key for each in listed] == [KEY]


async def _keep(rig: CallsRig, calls: Sequence[ProviderCall]) -> None:
    async with rig.database.connection() as connection:
        await CallStore(load_queries("aif_orchestrator.store")).keep(connection, calls)


async def _kept(rig: CallsRig) -> dict[str, tuple[str | None, Tokens, str | None]]:
    """By key: cost, tokens and the note of whoever settled it."""
    store = BookedCallStore(load_queries("aif_orchestrator.calls"))
    async with rig.database.transaction() as connection:
        found = await store.search(connection, CallFilter(), None, 10)
    return {
        each.booked.call.call_key: (each.booked.call.cost_usd, each.booked.call.tokens, each.booked.settled_note)
        for each in found.calls
    }


async def _book_at(rig: CallsRig, hours_ago: dict[str, int]) -> None:
    """Hours ago on one clock, so that equal ones are of one moment."""
    async with rig.database.transaction() as connection:
        for call_key, hours in hours_ago.items():
            moved = "UPDATE provider_calls SET booked_at = now() - make_interval(hours => $2) WHERE call_key = $1"
            await connection.execute(moved, call_key, hours)


async def _with_basis(rig: CallsRig, basis: Basis) -> BookedCall:
    booked = await rig.booked(KEY)
    assert booked.call.basis is basis
    return booked


async def _with_outcome(rig: CallsRig, outcome: CallOutcome) -> BookedCall:
    booked = await rig.booked(KEY)
    assert booked.call.outcome is outcome
    return booked
