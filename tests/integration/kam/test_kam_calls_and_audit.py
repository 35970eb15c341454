"""Calls and the audit log over HTTP: for the operator alone, every question as it was meant."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from aif_contracts import subjects
from aif_contracts.audit import (
    AuditEntry,
    AuditHead,
    AuditPage,
    AuditRow,
    AuditVerdict,
    ListAudit,
    Severity,
    VerifyAudit,
)
from aif_contracts.metering import CallOutcome, ProviderCall, Purpose
from aif_contracts.orders import Refusal
from aif_contracts.reconciliation import BookedCall, BookedCallPage, SearchCalls, SettleCall
from aif_runtime.bus import Question
from integration.kam.gateway_under_test import GatewayUnderTest
from integration.kam.orchestrator_stand_in import TOTALS

CALLS = "/api/admin/calls"
AUDIT = "/api/admin/audit"
BOOKED = BookedCall(
    call=ProviderCall(
        call_key="exec_1.outline.1.1",
        execution_id="exec_1",
        client_id="acme",
        stage_id="outline",
        attempt=1,
        worker_name="maker",
        provider="openai",
        model="gpt-5-mini",
        purpose=Purpose.FIRST_TRY,
        outcome=CallOutcome.IN_DOUBT,
        upper_bound_usd="0.5",
    ),
    booked_at="2026-11-21T10:00:00.000Z",
)
ROW = AuditRow(
    sequence=3,
    entry=AuditEntry(
        audit_id="audit_3",
        action="CALL_SETTLED",
        severity=Severity.INFO,
        actor="key_1",
        occurred_at="2026-11-21T10:00:00.000Z",
        details={"cost_usd": "0.25"},
    ),
    recorded_at="2026-11-21T10:00:01.000Z",
    sealed_with="sha256",
    previous_hash="a" * 64,
    hash="b" * 64,
)
VERDICT = AuditVerdict(checked=3, head=AuditHead(sequence=3, hash="b" * 64), is_complete=True)


class Asked:
    """Answers as an orchestrator would, and keeps the questions."""

    def __init__(self) -> None:
        self.questions: list[msgspec.Struct] = []

    async def start(self, kam: GatewayUnderTest) -> None:
        answers: tuple[tuple[str, type[msgspec.Struct], msgspec.Struct], ...] = (
            (subjects.SEARCH_CALLS, SearchCalls, BookedCallPage(calls=(BOOKED,), next_cursor="1/exec_1")),
            (subjects.SETTLE_CALL, SettleCall, BOOKED),
            (subjects.LIST_AUDIT, ListAudit, AuditPage(rows=(ROW,), next_cursor="3")),
            (subjects.VERIFY_AUDIT, VerifyAudit, VERDICT),
        )
        for subject, kind, answer in answers:
            await kam.bus.answer(subject, subjects.ORCHESTRATOR_GROUP, self._answerer(kind, answer))

    def _answerer(self, kind: type[msgspec.Struct], answer: msgspec.Struct) -> Callable[[Question], Awaitable[bytes]]:
        async def answerer(question: Question) -> bytes:
            asked: Any = msgspec.json.decode(question.payload, type=kind)
            self.questions.append(asked)
            if isinstance(asked, SettleCall) and asked.call_key == "exec_9.a.1.1":
                return msgspec.json.encode(Refusal(code="unknown_call", message="there is no provider call exec_9.a.1.1"))
            return msgspec.json.encode(answer)

        return answerer


@pytest.fixture
async def asked(kam: GatewayUnderTest) -> Asked:
    asked = Asked()
    await asked.start(kam)
    return asked


async def test_calls_are_searched_by_all_that_an_address_says(kam: GatewayUnderTest, asked: Asked) -> None:
    wanted = {
        "provider": "openai",
        "model": "gpt-5-mini",
        "client_id": "alice",
        "execution_id": "exec_1",
        "outcome": "in_doubt",
        "basis": "usage",
        "in_doubt": "true",
        "from": "2026-11-01T00:00:00.000Z",
        "to": "2026-12-01T00:00:00.000Z",
        "cursor": "1/exec_0",
        "limit": "7",
    }
    async with kam.client("admin") as admin:
        answer = await admin.get(CALLS, params=wanted)

    assert answer.status_code == 200
    assert answer.json()["calls"][0]["call"]["call_key"] == "exec_1.outline.1.1"
    renamed = {"from": "booked_from", "to": "booked_to"}
    question = {renamed.get(name, name): value for name, value in wanted.items()}
    assert msgspec.to_builtins(asked.questions[0]) == {**question, "in_doubt": True, "limit": 7}


async def test_a_call_is_settled_in_the_name_of_the_key(kam: GatewayUnderTest, asked: Asked) -> None:
    body = {"billed": True, "cost_usd": "0.25", "note": "statement of November", "tokens": {"prompt_tokens": 5}}
    async with kam.client("admin") as admin:
        answer = await admin.post(f"{CALLS}/exec_1.outline.1.1/settle", json=body)
        missing = await admin.post(f"{CALLS}/exec_9.a.1.1/settle", json=body)
        strange = await admin.post(f"{CALLS}/exec 9/settle", json=body)

    assert answer.status_code == 200
    question = asked.questions[0]
    assert isinstance(question, SettleCall)
    assert (question.call_key, question.billed, question.cost_usd) == ("exec_1.outline.1.1", True, "0.25")
    assert question.tokens is not None
    assert question.tokens.prompt_tokens == 5
    assert question.decided_by == f"key_{kam.keys['admin'].split('_')[2]} of the operator"
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:aif:problem:unknown_call")
    assert strange.status_code == 404


@pytest.mark.parametrize("is_away", [False, True])
async def test_what_a_settlement_corrects_is_learned_at_once_or_with_the_next_sweep(
    kam: GatewayUnderTest, alice: httpx.AsyncClient, is_away: bool
) -> None:
    tracker = kam.gateway.parts.tracker
    order = {"selected_template": "content_granulation_course"}
    execution_id = (await alice.post("/api/kam/orders", json=order)).json()["execution_id"]
    await kam.orchestrator.complete(execution_id, await kam.store_structure(), stored_only=True)
    await kam.reconcile()
    await kam.rows("UPDATE client_requests SET total_cost_usd = 7")

    async def settled(question: Question) -> bytes:
        return msgspec.json.encode(replace(BOOKED, call=replace(BOOKED.call, execution_id=execution_id)))

    await kam.bus.answer(subjects.SETTLE_CALL, subjects.ORCHESTRATOR_GROUP, settled)
    kam.orchestrator.never_answers = {execution_id} if is_away else set()
    async with kam.client("admin") as admin:
        answer = await admin.post(f"{CALLS}/{BOOKED.call.call_key}/settle", json={"billed": False, "note": "not on the bill"})
    if is_away:
        kam.orchestrator.never_answers = set()
        await tracker.reconcile()

    assert answer.status_code == 200
    [row] = await kam.rows("SELECT total_cost_usd FROM client_requests")
    assert row["total_cost_usd"] == Decimal(TOTALS.cost_usd)


async def test_what_is_known_of_a_deleted_execution_is_kept_when_a_call_of_it_is_settled(
    kam: GatewayUnderTest, alice: httpx.AsyncClient
) -> None:
    execution_id = (await alice.post("/api/kam/orders", json={"selected_template": "content_granulation_course"})).json()[
        "execution_id"
    ]
    await kam.orchestrator.complete(execution_id, await kam.store_structure(), stored_only=True)
    await kam.reconcile()
    [known] = await kam.rows("SELECT detailed_metrics FROM client_requests")

    async def settled(question: Question) -> bytes:
        return msgspec.json.encode(replace(BOOKED, call=replace(BOOKED.call, execution_id=execution_id)))

    await kam.bus.answer(subjects.SETTLE_CALL, subjects.ORCHESTRATOR_GROUP, settled)
    del kam.orchestrator.views[execution_id]
    async with kam.client("admin") as admin:
        answer = await admin.post(f"{CALLS}/{BOOKED.call.call_key}/settle", json={"billed": False, "note": "not on the bill"})

    assert answer.status_code == 200
    assert known["detailed_metrics"] is not None
    assert await kam.rows("SELECT detailed_metrics FROM client_requests") == [known]


async def test_a_settlement_with_wrong_fields_is_refused_by_their_names(kam: GatewayUnderTest, asked: Asked) -> None:
    async with kam.client("admin") as admin:
        answer = await admin.post(f"{CALLS}/exec_1.outline.1.1/settle", json={"billed": "yes", "cost_usd": 0.25})

    assert answer.status_code == 422
    assert {mistake["field"] for mistake in answer.json()["errors"]} == {"billed", "cost_usd", "note"}
    assert asked.questions == []


async def test_the_log_is_listed_by_all_that_an_address_says(kam: GatewayUnderTest, asked: Asked) -> None:
    wanted = {
        "action": "CALL_SETTLED",
        "severity": "info",
        "actor": "key_1",
        "client_id": "alice",
        "execution_id": "exec_1",
        "from": "2026-11-01T00:00:00.000Z",
        "to": "2026-12-01T00:00:00.000Z",
        "cursor": "9",
        "limit": "7",
    }
    async with kam.client("admin") as admin:
        answer = await admin.get(AUDIT, params=wanted)

    assert msgspec.json.decode(answer.content, type=AuditPage) == AuditPage(rows=(ROW,), next_cursor="3")
    renamed = {"from": "recorded_after", "to": "recorded_before"}
    question = {renamed.get(name, name): value for name, value in wanted.items()}
    assert msgspec.to_builtins(asked.questions[0]) == {**question, "limit": 7}


@pytest.mark.parametrize("path", [CALLS, AUDIT])
@pytest.mark.parametrize(("client_id", "code"), [("nobody", "unknown_client"), ("a b", "invalid_input")])
async def test_a_client_that_there_is_not_is_refused_and_not_searched_for(
    kam: GatewayUnderTest, asked: Asked, path: str, client_id: str, code: str
) -> None:
    async with kam.client("admin") as admin:
        refused = await admin.get(path, params={"client_id": client_id})

    assert (refused.status_code, refused.json()["type"]) == (422, f"urn:aif:problem:{code}")
    assert [each["field"] for each in refused.json()["errors"]] == ["client_id"]
    assert asked.questions == []


@pytest.mark.parametrize("path", [CALLS, AUDIT])
@pytest.mark.parametrize("field", ["from", "to"])
async def test_a_time_that_is_none_is_named_as_the_address_names_it(
    kam: GatewayUnderTest, asked: Asked, path: str, field: str
) -> None:
    async with kam.client("admin") as admin:
        refused = await admin.get(path, params={field: "yesterday"})

    assert (refused.status_code, [each["field"] for each in refused.json()["errors"]]) == (422, [field])
    assert asked.questions == []


async def test_the_log_is_verified_with_and_without_a_head(kam: GatewayUnderTest, asked: Asked) -> None:
    head = {"sequence": 3, "hash": "b" * 64}
    async with kam.client("admin") as admin:
        plain = await admin.post(f"{AUDIT}/verify")
        anchored = await admin.post(f"{AUDIT}/verify", json={"head": head})
        wrong = await admin.post(f"{AUDIT}/verify", json={"head": {"sequence": 3, "hash": "x"}})

    assert plain.json() == anchored.json() == msgspec.to_builtins(VERDICT)
    assert [msgspec.to_builtins(question)["head"] for question in asked.questions] == [None, head]
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "head.hash")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", CALLS), ("POST", f"{CALLS}/exec_1.a.1.1/settle"), ("GET", AUDIT), ("POST", f"{AUDIT}/verify")],
)
async def test_both_are_for_the_operator_alone(
    kam: GatewayUnderTest, asked: Asked, alice: httpx.AsyncClient, method: str, path: str
) -> None:
    refused = await alice.request(method, path, json={} if method == "POST" else None)
    async with httpx.AsyncClient(base_url=kam.url) as stranger:
        unknown = await stranger.request(method, path, json={} if method == "POST" else None)

    assert (refused.status_code, refused.json()["type"]) == (403, "urn:aif:problem:not_allowed")
    assert unknown.status_code == 401
    assert asked.questions == []
