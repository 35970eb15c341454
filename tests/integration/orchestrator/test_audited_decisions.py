"""What operators and clients decide is in the audit log, with who did it, in the same transaction."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.audit import AuditEntry, AuditPage, AuditVerdict, ListAudit, VerifyAudit
from aif_contracts.budgets import BudgetPolicy, SetBudget
from aif_contracts.dead_letters import DeadLetterPage, DismissDeadLetter, ListDeadLetters
from aif_contracts.events import WorkflowFailed
from aif_contracts.orders import Refusal
from aif_contracts.pipelines import SavePipeline
from aif_pipelines.definition import Compensation
from aif_pipelines.loading import dump_pipeline
from aif_runtime.bus import Outgoing
from aif_runtime.memory_blobs import MemoryBlobStore
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.settings import Secret
from support.execution_story import pipeline, stage
from support.orchestrator_line import Client, HandWorker, orchestrator_database, running_orchestrator
from support.waiting import eventually

LINE = pipeline(stage("one"), name="line")
UNDO = Compensation(worker="cleaner", action="remove", input={})
BOOKED = pipeline(stage("one", compensate=UNDO), stage("two", depends_on=("one",)), name="booked")


@pytest.fixture
async def bus(fresh_orchestrator_database: str) -> AsyncIterator[MemoryBus]:
    async with orchestrator_database(fresh_orchestrator_database) as database, MemoryBus(MemoryBroker()) as bus:
        await HandWorker(bus).register()
        keys = Secret("an audit key of the operator")
        async with running_orchestrator(bus, MemoryBlobStore(), database, (LINE, BOOKED), orchestrator_audit_keys=keys):
            yield bus


async def test_a_budget_that_is_set_is_told_with_what_it_was_before(bus: MemoryBus) -> None:
    await _ask(bus, subjects.SET_BUDGET, SetBudget(client_id="acme", decided_by="ada", limit_usd="25"))
    await _ask(bus, subjects.SET_BUDGET, SetBudget(client_id="acme", decided_by="bob", policy=BudgetPolicy.HARD_BLOCK))

    second, first = await _told(bus)

    assert (first.action, first.actor, first.client_id) == ("BUDGET_CHANGED", "ada", "acme")
    assert first.details == {
        "before": {"limit_usd": "100", "policy": "soft_block", "energy_limit": None},
        "after": {"limit_usd": "25", "policy": "soft_block", "energy_limit": None},
    }
    assert (second.actor, second.details["after"]["policy"]) == ("bob", "hard_block")


async def test_a_pipeline_that_is_saved_is_told_once(bus: MemoryBus) -> None:
    document = dump_pipeline(pipeline(stage("one"), name="own")).decode()
    for _ in range(2):
        await _ask(bus, subjects.SAVE_PIPELINE, SavePipeline(client_id="acme", document=document, require_workers=False))
    await _ask(
        bus, subjects.SAVE_PIPELINE, SavePipeline(client_id="globex", document=document, dry_run=True, require_workers=False)
    )

    [saved] = await _told(bus)

    assert (saved.action, saved.actor, saved.client_id) == ("PIPELINE_SAVED", "client:acme", "acme")
    assert (saved.details["name"], saved.details["version"]) == ("own", "1.0.0")


async def test_a_decision_about_a_dead_letter_is_told(bus: MemoryBus) -> None:
    await bus.publish([Outgoing(subject=subjects.usage("exec_7"), payload=b"poison")])
    letter_id = await eventually(lambda: _letter(bus))

    await _ask(bus, subjects.DISMISS_DEAD_LETTER, DismissDeadLetter(dead_letter_id=letter_id, decided_by="ada"))

    [dismissed] = await _told(bus)
    assert (dismissed.action, dismissed.actor, dismissed.execution_id) == ("DEAD_LETTER_DISMISSED", "ada", "exec_7")
    assert dismissed.details["dead_letter_id"] == letter_id


async def test_who_gives_up_undoing_a_stage_is_told_once_however_often_it_is_asked_for(bus: MemoryBus) -> None:
    client, worker = Client(bus), HandWorker(bus)
    await client.execute("exec_1", "booked")
    await worker.does_next({"made": "room"})
    await worker.fails_next("sold_out")
    await eventually(lambda: _is(client, "exec_1", "compensating"))

    given_up = await asyncio.gather(*(client.skip_compensation("exec_1", "one") for _ in range(4)))

    assert [each.code for each in given_up if isinstance(each, Refusal)] == ["not_compensating"] * 3
    ending = (await client.events("exec_1")).events[-1].data
    assert isinstance(ending, WorkflowFailed)
    assert (ending.code, ending.not_undone) == ("sold_out", ("one",))
    await eventually(lambda: _told(bus))
    [skipped] = await _told(bus)
    assert (skipped.action, skipped.actor, skipped.execution_id) == ("COMPENSATION_SKIPPED", "ada", "exec_1")
    assert skipped.details == {
        "stage_id": "one",
        "status": "queued",
        "attempts": 0,
        "reason": "no worker named cleaner is running; the stage waits until one is",
        "comment": "by hand",
    }


async def test_what_was_told_verifies_with_the_operators_key(bus: MemoryBus) -> None:
    for number in range(3):
        await _ask(bus, subjects.SET_BUDGET, SetBudget(client_id=f"c{number}", decided_by="ada", limit_usd="1"))

    verdict = msgspec.json.decode(await _ask(bus, subjects.VERIFY_AUDIT, VerifyAudit()), type=AuditVerdict)

    assert (verdict.checked, verdict.fault) == (3, None)


async def _letter(bus: MemoryBus) -> str:
    page = msgspec.json.decode(await _ask(bus, subjects.LIST_DEAD_LETTERS, ListDeadLetters()), type=DeadLetterPage)
    return page.dead_letters[0].dead_letter_id if page.dead_letters else ""


async def _told(bus: MemoryBus) -> list[AuditEntry]:
    page = msgspec.json.decode(await _ask(bus, subjects.LIST_AUDIT, ListAudit()), type=AuditPage)
    assert all(row.sealed_with.startswith("hmac-sha256:") for row in page.rows)
    return [row.entry for row in page.rows]


async def _ask(bus: MemoryBus, subject: str, question: Any) -> bytes:
    return await bus.ask(subject, msgspec.json.encode(question), wait_seconds=5)


async def _is(client: Client, execution_id: str, status: str) -> bool:
    return await client.status(execution_id) == status
