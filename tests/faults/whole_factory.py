"""A whole factory as people use it: orders of all kinds over HTTP, a provider that fails, and every process harmed.

The orchestrator and the gateway run twice, and each request goes to the next gateway.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from msgspec.structs import replace

from aif_console.factory.factory import Factory
from aif_pipelines.document_text import read_document
from aif_runtime.failures import BusUnavailable, DatabaseUnavailable
from aif_runtime.nats_bus import NatsBus
from aif_runtime.postgres import Database
from faults.billed_worker import BillLine
from faults.invariants import (
    WORKER_LOST,
    CallsLost,
    Violations,
    check_endings,
    check_liveness,
    check_money,
    check_stages_of_any_pipeline,
    count_left_over,
    read_books,
)
from faults.paper_factory import open_folder
from faults.stubborn_client import EventsBroken, StubbornClient, stubborn_client
from faults.trial import CLEARING_SECONDS, Outcome, TrialPlan
from support.factory import plan_for_tests
from support.factory_settings import model_settings
from support.http_client import SAMPLES
from support.provider_double.faults import Fault, FaultKind, FaultMix
from support.provider_double.server import ProviderDouble, provider_double
from support.replicas import InTurn, Replicas, replicas_beside
from support.waiting import eventually

CUSTOMERS = 8
MORE_PROCESSES = {"orchestrator": 1, "kam": 1}
ORDER_LIMIT_SECONDS = 240.0
MEAN_PAUSE_SECONDS = 1.5
LONGEST_FREEZE_SECONDS = 4.0
SECONDS_OF_AN_ANSWER = 0.2
BATCH_SIZE = 3
REVIEWED = "reviewed_course"
FAULTS_OF_THE_PROVIDER = (
    FaultKind.SERVER_ERROR,
    FaultKind.OVERLOADED,
    FaultKind.RATE_LIMITED,
    FaultKind.RESET,
    FaultKind.RESET_BEFORE_ANSWER,
    FaultKind.CUT_OFF,
    FaultKind.BREAKS_SCHEMA,
    FaultKind.NO_USAGE,
    FaultKind.SILENT_AFTER_BILLING,
    FaultKind.ERROR_EVENT,
)
SHARE_OF_EACH_FAULT = 0.02
SETTINGS = {
    "AIF_PROVIDER_SILENCE_SECONDS": "2",
    "AIF_PROVIDER_TIMEOUT_SECONDS": "10",
    "AI_DEFAULT_MONTHLY_BUDGET_USD": "1000000",
    "AIF_LOG_LEVEL": "warning",
}


async def mixed_orders_while_everything_is_harmed(plan: TrialPlan) -> Outcome:
    """F28: courses, quizzes, batches, later starts, pauses, approvals and cancels over HTTP; meanwhile any process is killed,
    told to end, or frozen, every second and a half on average. A third as many orders as the plan says: each takes a while.

    I4 and repeated calls are not looked at: what a model answers is not foreseen, and answers that break a schema are asked
    for again.
    """
    chance = random.Random(plan.seed)
    folder = open_folder()
    async with provider_double() as provider:
        provider.mix, provider.hidden_usage_seed = _failing_at_times(plan.seed), plan.seed
        provider.seconds_for_an_answer = SECONDS_OF_AN_ANSWER
        async with (
            _factory(folder, provider) as factory,
            replicas_beside(factory, MORE_PROCESSES) as replicas,
            _books_of(factory) as (database, bus),
            stubborn_client(factory, InTurn(replicas.kam_urls)) as client,
        ):
            shop = await _open_shop(client, chance)
            ordering = asyncio.create_task(shop.order(max(CUSTOMERS, plan.executions // 3)))
            harms = await _harm_everything(replicas, chance, ordering)
            await ordering
            outcome = await _verdict(plan, database, bus, provider, shop, harms)
    if not outcome.violations:
        shutil.rmtree(folder)
        return outcome
    return replace(outcome, remarks=[*outcome.remarks, f"the logs are in {folder / 'logs'}"])


class Shop:
    """What was ordered, and what came of it as its customers saw it."""

    def __init__(self, client: StubbornClient, chance: random.Random, source_id: str) -> None:
        self.executions: dict[str, str] = {}
        """What was accepted, and what kind of order it was."""
        self.complaints: list[str] = []
        self.cancelled = 0
        self._client = client
        self._chance = chance
        self._source_id = source_id

    async def order(self, count: int) -> None:
        """So many orders by several customers, each of whom waits for one before the next."""
        kinds: tuple[Callable[[str], Awaitable[None]], ...] = (
            self._watched,
            self._paused,
            self._cancelled,
            self._approved,
            self._started_later,
            self._many,
        )
        waiting = iter(range(count))

        async def customer() -> None:
            for number in waiting:
                kind = self._chance.choice(kinds)
                try:
                    async with asyncio.timeout(ORDER_LIMIT_SECONDS):
                        await kind(f"key-{number}")
                except (EventsBroken, TimeoutError, AssertionError) as complaint:
                    self.complaints.append(f"order {number}, {kind.__name__.strip('_')}: {complaint!r}")

        await asyncio.gather(*(customer() for _ in range(CUSTOMERS)))

    async def _watched(self, key: str) -> None:
        template = self._chance.choice(("content_granulation_course", "content_granulation_quiz"))
        placed = await self._placed(key, template)
        await self._completes(placed)
        await self._delivers(placed)

    async def _paused(self, key: str) -> None:
        placed = await self._placed(key, "educational_content_pipeline")
        await self._steered(placed, "pause")
        await asyncio.sleep(self._chance.uniform(0, 2))
        await self._steered(placed, "resume")
        await self._completes(placed)

    async def _cancelled(self, key: str) -> None:
        placed = await self._placed(key, "content_granulation_course")
        await asyncio.sleep(self._chance.uniform(0, 1))
        answer = await self._client.ask("DELETE", f"/api/v1/ai/pipelines/{placed['execution_id']}")
        assert answer.status_code in (httpx.codes.OK, httpx.codes.CONFLICT), answer.text
        ended = [each async for each in self._client.events(placed["request_id"])][-1]
        self.cancelled += ended == "WORKFLOW_CANCELLED"

    async def _approved(self, key: str) -> None:
        placed = await self._placed(key, REVIEWED)
        async for event in self._client.events(placed["request_id"]):
            if event == "APPROVAL_REQUESTED":
                await self._steered(placed, "approve")
        assert event == "WORKFLOW_COMPLETED", event

    async def _started_later(self, key: str) -> None:
        start_at = datetime.now(UTC) + timedelta(seconds=3)
        placed = await self._placed(key, "content_granulation_course", start_at=start_at.isoformat())
        await self._completes(placed)

    async def _many(self, key: str) -> None:
        inputs = [{"source": self._source_id, "questionCount": count} for count in range(2, 2 + BATCH_SIZE)]
        wish = {"selected_template": "content_granulation_quiz", "inputs": inputs}
        answer = await self._client.ask("POST", "/api/kam/batches", wish, key=key)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        path = f"/api/kam/batches/{answer.json()['batch_id']}"
        while (await self._client.ask("GET", path)).json()["status"] != "ended":  # noqa: ASYNC110  of another process
            await asyncio.sleep(0.2)
        for item in (await self._client.ask("GET", f"{path}/items")).json()["items"]:
            self.executions[item["request"]["execution"]["execution_id"]] = "many"

    async def _placed(self, key: str, template: str, **more: Any) -> dict[str, Any]:
        """The accepted order. Sometimes it is sent once more: that must change nothing."""
        wish = {"selected_template": template, "parameters": {"source": self._source_id}, **more}
        answers = [
            await self._client.ask("POST", "/api/kam/orders", wish, key=key) for _ in range(self._chance.choice((1, 1, 1, 2)))
        ]
        for answer in answers:
            assert answer.status_code == httpx.codes.ACCEPTED, answer.text
            self.executions[answer.json()["execution_id"]] = template
        placed: dict[str, Any] = answers[0].json()
        assert answers[-1].json()["execution_id"] == placed["execution_id"], "one key became two executions"
        return placed

    async def _steered(self, placed: dict[str, Any], verb: str) -> None:
        """409 tells that it came too late."""
        answer = await self._client.ask("POST", f"/api/v1/ai/pipelines/{placed['execution_id']}/{verb}", {})
        assert answer.status_code in (httpx.codes.OK, httpx.codes.CONFLICT), answer.text

    async def _completes(self, placed: dict[str, Any]) -> None:
        ended = [each async for each in self._client.events(placed["request_id"])][-1]
        assert ended == "WORKFLOW_COMPLETED", ended

    async def _delivers(self, placed: dict[str, Any]) -> None:
        answer = await self._client.ask("GET", f"/api/kam/requests/{placed['request_id']}/result")
        assert answer.status_code == httpx.codes.OK, answer.text


async def _open_shop(client: StubbornClient, chance: random.Random) -> Shop:
    document = read_document((SAMPLES / f"{REVIEWED}.yaml").read_bytes()).value

    async def is_saved() -> bool:
        return (await client.ask("POST", "/api/kam/pipelines", document)).status_code == httpx.codes.CREATED

    await eventually(is_saved, what="its workers are known and the pipeline is saved")
    return Shop(client, chance, await client.usual.upload(SAMPLES / "beekeeping.md"))


async def _harm_everything(replicas: Replicas, chance: random.Random, ordering: asyncio.Task[None]) -> Counter[str]:
    """Until all orders have ended. How often something was done to whom."""
    harms: Counter[str] = Counter()
    while not ordering.done():
        await asyncio.sleep(chance.expovariate(1 / MEAN_PAUSE_SECONDS))
        name, pid = chance.choice(sorted(replicas.pids.items()))
        deed = chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, deed)
            harms[f"{name} {deed.name}"] += 1
            if deed == signal.SIGSTOP:
                await asyncio.sleep(chance.uniform(0, LONGEST_FREEZE_SECONDS))
                os.kill(pid, signal.SIGCONT)
    return harms


async def _verdict(
    plan: TrialPlan, database: Database, bus: NatsBus, provider: ProviderDouble, shop: Shop, harms: Counter[str]
) -> Outcome:
    left = await _what_is_left(database, bus, plan)
    books = await read_books(database, shop.executions)
    async with database.connection() as connection:
        stored = int(await connection.fetchval("SELECT count(*) FROM executions"))
    bill = [
        BillLine(call_key=str(each.client_request_id), cost_usd=str(each.cost_usd), billed_at=each.at.timestamp())
        for each in provider.bill
    ]
    violations = Violations()
    check_endings(shop.executions, books, violations)
    check_stages_of_any_pipeline(books, violations)
    unanswered = check_money(books, bill, violations, CallsLost.NONE)
    for place, count in left.items():
        violations.add("I6", f"{count} left in {place}")
    check_liveness(shop.executions, shop.complaints, books, violations, meant_to_end_badly=shop.cancelled)
    if not harms:
        violations.add("pass", "nothing was harmed, so no fault could bite")
    if stored != len(shop.executions):
        violations.add("pass", f"{stored} executions are stored of {len(shop.executions)} that were accepted")
    return Outcome(
        executions=len(shop.executions),
        denied=0,
        faults=sum(harms.values()),
        completed=sum(each.status == "completed" for each in books.executions.values()),
        lost_attempts=sum(each.failure_code == WORKER_LOST for each in books.attempts),
        repeated_calls=0,
        calls_in_doubt=unanswered.in_doubt,
        unbooked_calls=unanswered.unbooked,
        recovery_seconds=(),
        stall_seconds=0.0,
        violations=violations.found,
        remarks=[", ".join(f"{count} x {harm}" for harm, count in sorted(harms.items()))],
    )


async def _what_is_left(database: Database, bus: NatsBus, plan: TrialPlan) -> dict[str, int]:
    """When everything has come to rest, or had the time to."""
    left: dict[str, int] = {}

    async def nothing() -> bool:
        nonlocal left
        try:
            left = await count_left_over(database, bus)
        except (DatabaseUnavailable, BusUnavailable) as away:
            raise AssertionError(str(away)) from away
        return not left

    with contextlib.suppress(AssertionError):
        await eventually(nothing, CLEARING_SECONDS * plan.time_factor, what="nothing is left over")
    return left


@asynccontextmanager
async def _factory(folder: Path, provider: ProviderDouble) -> AsyncIterator[Factory]:
    factory = Factory(plan_for_tests(folder, {**model_settings(provider), **SETTINGS}))
    await factory.start()
    try:
        yield factory
    finally:
        await factory.stop()


@asynccontextmanager
async def _books_of(factory: Factory) -> AsyncIterator[tuple[Database, NatsBus]]:
    """Opened while all is well; both find back to servers that were started again."""
    database = await Database.open(factory.database_urls["orchestrator"], application_name="faults", schema="orchestrator")
    bus = await NatsBus.connect(factory.folder.nats_url.read_text().strip(), name="faults")
    try:
        yield database, bus
    finally:
        await bus.close()
        await database.close()


def _failing_at_times(seed: int) -> FaultMix:
    return FaultMix(seed=seed, shares=tuple((Fault(kind=kind), SHARE_OF_EACH_FAULT) for kind in FAULTS_OF_THE_PROVIDER))
