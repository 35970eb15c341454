"""The audit log over real Postgres: appended in order and once, and every way to forge it is named by its row."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg
import msgspec
import pytest

from aif_contracts import subjects
from aif_contracts.audit import (
    AuditEntry,
    AuditFaultKind,
    AuditHead,
    AuditPage,
    AuditVerdict,
    ListAudit,
    Severity,
    VerifyAudit,
)
from aif_contracts.orders import Refusal
from aif_orchestrator.audit.answers import AuditAnswers
from aif_orchestrator.audit.intake import AuditIntake
from aif_orchestrator.audit.log import AuditLog
from aif_orchestrator.audit.seals import PLAIN, Sealed, Seals, sealed_bytes
from aif_orchestrator.audit.store import AuditStore
from aif_runtime.bus import ConsumerSpec, Outgoing
from aif_runtime.clock import SystemClock, rfc3339
from aif_runtime.failures import DatabaseUnavailable
from aif_runtime.ids import id_mint
from aif_runtime.memory_broker import MemoryBroker
from aif_runtime.memory_bus import MemoryBus
from aif_runtime.migrations import load_migrations, migrate
from aif_runtime.postgres import Connection, Database
from aif_runtime.redaction import Redactor
from aif_runtime.sql_files import load_queries
from aif_runtime.topology import factory_topology
from support.waiting import eventually

KEY = "a long enough audit key"
CANARY = "canary-3f2a9c77"


class AuditRig:
    def __init__(self, database: Database, *, keys: tuple[str, ...] = (KEY,), at_once: int = 4) -> None:
        self.database = database
        self.broker = MemoryBroker(factory_topology())
        self.bus = MemoryBus(self.broker)
        self.store = AuditStore(load_queries("aif_orchestrator.audit"))
        self.seals = Seals(keys)
        self.log = AuditLog(
            store=self.store,
            seals=self.seals,
            redactor=Redactor([CANARY]),
            clock=SystemClock(),
            new_id=id_mint(),
        )
        self.answers = AuditAnswers(bus=self.bus, database=database, store=self.store, seals=self.seals, at_once=at_once)

    def intake(self) -> AuditIntake:
        return AuditIntake(bus=self.bus, database=self.database, audit=self.log, redactor=Redactor([CANARY]))

    async def write(self, *numbers: int) -> None:
        async with self.database.transaction() as connection:
            await self.log.append(connection, [entry(number) for number in numbers])

    async def tell(self, told: AuditEntry, origin: str = "kam") -> None:
        await self.bus.publish([Outgoing(subject=subjects.audit(origin), payload=msgspec.json.encode(told))])

    async def page(self, **wanted: object) -> AuditPage:
        question = msgspec.convert(wanted, ListAudit)
        return msgspec.json.decode(
            await self.bus.ask(subjects.LIST_AUDIT, msgspec.json.encode(question), wait_seconds=5), type=AuditPage
        )

    async def verify(self, head: AuditHead | None = None) -> AuditVerdict:
        """Part for part, as the terminal does."""
        after: AuditHead | None = None
        checked = 0
        while True:
            question = msgspec.json.encode(VerifyAudit(after=after, head=head))
            answer = await self.bus.ask(subjects.VERIFY_AUDIT, question, wait_seconds=5)
            verdict = msgspec.json.decode(answer, type=AuditVerdict)
            checked += verdict.checked
            if verdict.is_complete:
                return msgspec.structs.replace(verdict, checked=checked)
            after = verdict.head

    @asynccontextmanager
    async def tampering(self) -> AsyncIterator[Connection]:
        """As somebody who owns the database: without the triggers."""
        async with self.database.transaction() as connection:
            await connection.execute("SET LOCAL session_replication_role = replica")
            yield connection

    async def tamper(self, *statements: str) -> None:
        async with self.tampering() as connection:
            for statement in statements:
                await connection.execute(statement)


def entry(number: int, **fields: object) -> AuditEntry:
    told = AuditEntry(
        audit_id=f"audit_{number}",
        action="BUDGET_CHANGED",
        severity=Severity.INFO,
        actor="api_key:key_1",
        occurred_at="2026-11-21T10:00:00.000Z",
        details={"number": number},
        client_id="acme",
    )
    return msgspec.structs.replace(told, **fields)


@pytest.fixture
async def database(fresh_orchestrator_database: str) -> AsyncIterator[Database]:
    opened = await Database.open(fresh_orchestrator_database, application_name="audit-test", schema="orchestrator")
    try:
        await migrate(opened, schema="orchestrator", migrations=load_migrations("aif_orchestrator"))
        yield opened
    finally:
        await opened.close()


@pytest.fixture
async def rig(database: Database) -> AsyncIterator[AuditRig]:
    rig = AuditRig(database)
    await rig.answers.open()
    yield rig
    await rig.bus.close()


async def test_an_untouched_log_verifies_part_for_part_and_tells_its_head(rig: AuditRig) -> None:
    await rig.write(*range(1, 8))
    await rig.write(8, 9)

    verdict = await rig.verify()

    assert verdict.fault is None
    assert (verdict.checked, verdict.head.sequence, verdict.is_complete) == (9, 9, True)
    assert (await rig.verify(verdict.head)).fault is None
    assert (await rig.page(limit=1)).rows[0].hash == verdict.head.hash


async def test_an_empty_log_verifies(rig: AuditRig) -> None:
    verdict = await rig.verify()

    assert verdict == AuditVerdict(checked=0, head=AuditHead(sequence=0, hash="0" * 64), is_complete=True)


@pytest.mark.parametrize(
    ("forgery", "sequence", "kind"),
    [
        (
            [
                "UPDATE audit_log SET content = convert_to(replace(convert_from(content, 'UTF8'), 'acme', 'other'), 'UTF8')"
                " WHERE sequence = 5"
            ],
            5,
            AuditFaultKind.ALTERED,
        ),
        (["UPDATE audit_log SET client_id = 'other' WHERE sequence = 5"], 5, AuditFaultKind.ALTERED),
        (["UPDATE audit_log SET recorded_at = recorded_at - interval '1 day' WHERE sequence = 2"], 2, AuditFaultKind.ALTERED),
        (["UPDATE audit_log SET hash = repeat('a', 64) WHERE sequence = 9"], 9, AuditFaultKind.ALTERED),
        (["UPDATE audit_log SET content = 'no json' WHERE sequence = 1"], 1, AuditFaultKind.ALTERED),
        (["DELETE FROM audit_log WHERE sequence = 4"], 4, AuditFaultKind.REMOVED),
        (["DELETE FROM audit_log WHERE sequence IN (1, 2)"], 1, AuditFaultKind.REMOVED),
        (
            ["DELETE FROM audit_log WHERE sequence = 4", "UPDATE audit_log SET sequence = sequence - 1 WHERE sequence > 4"],
            4,
            AuditFaultKind.REORDERED,
        ),
        (
            [
                "UPDATE audit_log SET sequence = 100 WHERE sequence = 3",
                "UPDATE audit_log SET sequence = 3 WHERE sequence = 7",
                "UPDATE audit_log SET sequence = 7 WHERE sequence = 100",
            ],
            3,
            AuditFaultKind.REORDERED,
        ),
        (
            [
                "UPDATE audit_log SET sequence = 100 WHERE sequence = 3",
                "UPDATE audit_log SET sequence = 3 WHERE sequence = 4",
                "UPDATE audit_log SET sequence = 4 WHERE sequence = 100",
            ],
            3,
            AuditFaultKind.REORDERED,
        ),
        (
            [
                "UPDATE audit_log SET sequence = sequence + 1000 WHERE sequence > 5",
                "UPDATE audit_log SET sequence = sequence - 999 WHERE sequence > 1000",
                "INSERT INTO audit_log SELECT 6, 'forged', action, severity, actor, client_id, execution_id, recorded_at,"
                " convert_to(replace(convert_from(content, 'UTF8'), 'audit_5', 'forged'), 'UTF8'), repeat('b', 64)"
                " FROM audit_log WHERE sequence = 5",
                "UPDATE audit_head SET sequence = 10",
            ],
            6,
            AuditFaultKind.INSERTED,
        ),
        (
            [
                "INSERT INTO audit_log SELECT 10, 'forged', action, severity, actor, client_id, execution_id, recorded_at,"
                " content, repeat('b', 64) FROM audit_log WHERE sequence = 9",
            ],
            10,
            AuditFaultKind.INSERTED,
        ),
        (["DELETE FROM audit_log WHERE sequence > 6"], 7, AuditFaultKind.CUT),
        (["DELETE FROM audit_head"], 1, AuditFaultKind.CUT),
    ],
)
async def test_a_forgery_is_named_by_its_first_row(
    rig: AuditRig, forgery: list[str], sequence: int, kind: AuditFaultKind
) -> None:
    await rig.write(*range(1, 10))

    await rig.tamper(*forgery)

    verdict = await rig.verify()
    assert verdict.fault is not None
    assert (verdict.fault.sequence, verdict.fault.kind) == (sequence, kind)
    assert verdict.checked == sequence - 1


async def test_a_tail_that_was_cut_together_with_its_note_shows_by_a_head_that_was_kept(rig: AuditRig) -> None:
    await rig.write(*range(1, 10))
    kept = (await rig.verify()).head

    await rig.tamper(
        "DELETE FROM audit_log WHERE sequence > 6",
        "UPDATE audit_head SET (sequence, hash) = (SELECT sequence, hash FROM audit_log WHERE sequence = 6)",
    )

    assert (await rig.verify()).fault is None
    fault = (await rig.verify(kept)).fault
    assert fault is not None
    assert (fault.sequence, fault.kind) == (7, AuditFaultKind.CUT)


async def test_a_log_that_was_cut_and_grown_again_shows_by_a_head_that_was_kept(rig: AuditRig) -> None:
    await rig.write(*range(1, 5))
    kept = (await rig.verify()).head
    await rig.tamper(
        "DELETE FROM audit_log WHERE sequence > 3",
        "UPDATE audit_head SET (sequence, hash) = (SELECT sequence, hash FROM audit_log WHERE sequence = 3)",
    )

    await rig.write(14, 15)

    assert (await rig.verify()).fault is None
    fault = (await rig.verify(kept)).fault
    assert fault is not None
    assert (fault.sequence, fault.kind) == (4, AuditFaultKind.ALTERED)


async def test_without_a_key_a_row_that_was_sealed_anew_is_told_by_the_row_behind_it(database: Database) -> None:
    rig = AuditRig(database, keys=())
    await rig.answers.open()
    await rig.write(*range(1, 6))
    third = (await rig.page(limit=3)).rows[2]
    forged = Sealed(
        sequence=3,
        previous_hash=third.previous_hash,
        recorded_at=third.recorded_at,
        sealed_with=PLAIN,
        entry=msgspec.structs.replace(third.entry, details={"number": 33}),
    )
    content = sealed_bytes(forged)

    async with rig.tampering() as connection:
        await connection.execute(
            "UPDATE audit_log SET content = $1, hash = $2 WHERE sequence = 3", content, rig.seals.hash_of(content, PLAIN)
        )

    fault = (await rig.verify()).fault
    assert fault is not None
    assert (fault.sequence, fault.kind) == (3, AuditFaultKind.ALTERED)


async def test_with_a_key_plain_seals_count_only_where_the_operator_says_so(database: Database) -> None:
    await AuditRig(database, keys=()).write(1, 2)
    strict, lenient = AuditRig(database), AuditRig(database, keys=(KEY, PLAIN))
    await strict.answers.open()
    await lenient.answers.open()
    await strict.write(3)

    fault = (await strict.verify()).fault

    assert fault is not None
    assert (fault.sequence, fault.kind) == (1, AuditFaultKind.UNKNOWN_KEY)
    assert (await lenient.verify()).fault is None


async def test_a_changed_key_seals_on_and_the_old_one_still_verifies(database: Database) -> None:
    await AuditRig(database).write(1, 2)
    changed = AuditRig(database, keys=("another key that is long", KEY))
    await changed.answers.open()
    await changed.write(3)

    verdict = await changed.verify()

    assert (verdict.fault, verdict.checked) == (None, 3)
    seals = [row.sealed_with for row in (await changed.page()).rows]
    assert seals[0] != seals[1] == seals[2]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'nobody'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "DELETE FROM audit_head",
        "TRUNCATE audit_head",
    ],
)
async def test_the_database_refuses_to_change_rows(rig: AuditRig, statement: str) -> None:
    await rig.write(1)

    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        async with rig.database.transaction() as connection:
            await connection.execute(statement)

    assert (await rig.verify()).checked == 1


async def test_the_services_own_role_has_no_right_to_change_rows(fresh_database: str) -> None:
    admin = await asyncpg.connect(fresh_database)
    try:
        await admin.execute("CREATE ROLE audit_owner_test; CREATE SCHEMA orchestrator AUTHORIZATION audit_owner_test")
        await admin.execute("SET ROLE audit_owner_test; SET search_path = orchestrator")
        for migration in load_migrations("aif_orchestrator")[:2]:
            await admin.execute(migration.statements)

        await admin.execute("INSERT INTO audit_log VALUES (1, 'a', 'A', 'info', 'b', NULL, NULL, now(), '', repeat('0', 64))")
        for statement in (
            "UPDATE audit_log SET actor = 'x'",
            "DELETE FROM audit_log",
            "TRUNCATE audit_log",
            "DELETE FROM audit_head",
            "TRUNCATE audit_head",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await admin.execute(statement)
    finally:
        await admin.execute("RESET ROLE; DROP SCHEMA orchestrator CASCADE; DROP ROLE audit_owner_test")
        await admin.close()


async def test_entries_of_several_replicas_and_transactions_form_one_chain(rig: AuditRig) -> None:
    replicas = [asyncio.create_task(rig.intake().run()) for _ in range(3)]
    try:
        for number in range(1, 101):
            await rig.tell(entry(number), origin=f"worker_{number % 4}")
        await asyncio.gather(*(rig.write(1000 + number) for number in range(20)))

        verdict = await eventually(lambda: _of_so_many(rig, 120))
    finally:
        for replica in replicas:
            replica.cancel()
        await asyncio.wait(replicas)

    assert verdict.fault is None


async def test_an_entry_that_is_delivered_twice_is_one_row(rig: AuditRig) -> None:
    await rig.write(1, 2, 1)
    await rig.write(2, 3)

    page = await rig.page()

    assert [row.entry.audit_id for row in page.rows] == ["audit_3", "audit_2", "audit_1"]


async def test_what_is_no_entry_is_a_dead_letter_and_delays_nobody(rig: AuditRig) -> None:
    intake = asyncio.create_task(rig.intake().run())
    try:
        await rig.bus.publish([Outgoing(subject=subjects.audit("kam"), payload=b'{"action":"lower case"}')])
        await rig.tell(entry(1))

        await eventually(lambda: _of_so_many(rig, 1))
    finally:
        intake.cancel()
        await asyncio.wait([intake])

    reader = ConsumerSpec(stream=subjects.STREAM_DEAD, durable="reader", filter_subject=subjects.ALL_DEAD)
    letters = await (await rig.bus.open_consumer(reader)).fetch(10, 1.0)
    assert [letter.subject for letter in letters] == ["aif.dead.audit"]


async def test_entries_that_cannot_be_written_now_come_again_soon(rig: AuditRig) -> None:
    intake = asyncio.create_task(rig.intake().run())
    try:
        async with rig.database.transaction() as holding:
            await rig.log.append(holding, [entry(1)])
            await rig.tell(entry(2))
            await eventually(lambda: _is_put_off(rig), 20.0, what="an entry that waits for the head is put off")
        await eventually(lambda: _of_so_many(rig, 2))

        await rig.tamper("DELETE FROM audit_head")
        await rig.tell(entry(3))
        await eventually(lambda: _is_put_off(rig), 20.0, what="an entry without a head is put off")
        await rig.tamper("INSERT INTO audit_head (sequence, hash) SELECT sequence, hash FROM audit_log WHERE sequence = 2")
        await eventually(lambda: _of_so_many(rig, 3))
    finally:
        intake.cancel()
        await asyncio.wait([intake])


async def test_an_append_that_is_rolled_back_leaves_no_gap(rig: AuditRig) -> None:
    await rig.write(1)

    async def fails() -> None:
        async with rig.database.transaction() as connection:
            await rig.log.append(connection, [entry(2)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    await rig.write(3)

    assert [row.sequence for row in (await rig.page()).rows] == [2, 1]
    assert (await rig.verify()).fault is None


async def test_known_secrets_and_what_looks_like_one_are_not_written(rig: AuditRig) -> None:
    told = entry(1, details={"key": "sk-abcdefghijklmnop", "note": f"it was {CANARY}", "password": "hunter2"})

    async with rig.database.transaction() as connection:
        await rig.log.append(connection, [told])

    assert (await rig.page()).rows[0].entry.details == {"key": "***", "note": "it was ***", "password": "***"}


async def test_pages_are_newest_first_and_filtered(rig: AuditRig) -> None:
    async with rig.database.transaction() as connection:
        await rig.log.append(
            connection,
            [
                entry(1),
                entry(2, action="CALL_SETTLED", execution_id="exec_1", client_id=None),
                entry(3, severity=Severity.WARNING, actor="worker:maker"),
                entry(4, client_id="other"),
            ],
        )

    async def numbers(**wanted: object) -> list[int]:
        return [row.sequence for row in (await rig.page(**wanted)).rows]

    assert await numbers() == [4, 3, 2, 1]
    assert await numbers(action="CALL_SETTLED") == [2]
    assert await numbers(severity="warning") == [3]
    assert await numbers(actor="worker:maker") == [3]
    assert await numbers(client_id="acme") == [3, 1]
    assert await numbers(execution_id="exec_1") == [2]
    assert await numbers(recorded_after=rfc3339(datetime(2999, 1, 1, tzinfo=UTC))) == []
    assert await numbers(recorded_before=rfc3339(SystemClock().now().replace(year=2999))) == [4, 3, 2, 1]
    first = await rig.page(limit=3)
    assert [row.sequence for row in (await rig.page(limit=3, cursor=first.next_cursor)).rows] == [1]


@pytest.mark.parametrize(
    ("question", "code"),
    [(b'{"cursor":"x"}', "invalid_cursor"), (b'{"recorded_after":"today"}', "invalid_filter")],
)
async def test_a_wrong_question_is_refused_by_its_field(rig: AuditRig, question: bytes, code: str) -> None:
    answer = await rig.bus.ask(subjects.LIST_AUDIT, question, wait_seconds=5)

    assert msgspec.json.decode(answer, type=Refusal).code == code


async def test_a_log_whose_head_is_held_makes_others_wait_and_say_so(rig: AuditRig) -> None:
    async with rig.database.transaction() as holding:
        await rig.log.append(holding, [entry(1)])

        with pytest.raises(DatabaseUnavailable):
            await rig.write(2)

    await rig.write(2)
    assert (await rig.verify()).checked == 2


async def test_the_view_for_people_shows_details_and_time(rig: AuditRig) -> None:
    await rig.write(1)

    async with rig.database.connection() as connection:
        row = await _view(connection)

    assert row["action"] == "BUDGET_CHANGED"
    assert msgspec.json.decode(row["details"]) == {"number": 1}
    assert row["timestamp"] == datetime(2026, 11, 21, 10, tzinfo=UTC)


async def _view(connection: Connection) -> asyncpg.Record:
    row = await connection.fetchrow('SELECT action, details, severity, compliance, "timestamp" FROM audit_logs')
    assert row is not None
    return row


async def _of_so_many(rig: AuditRig, count: int) -> AuditVerdict:
    verdict = await rig.verify()
    assert verdict.checked == count
    return verdict


def _is_put_off(rig: AuditRig) -> bool:
    """Whether it comes again long before it would be taken for lost."""
    consumer = rig.broker._streams[subjects.STREAM_AUDIT]._consumers[subjects.CONSUMER_AUDIT]
    waits = consumer.seconds_to_redelivery()
    return waits is not None and waits < 5.0
