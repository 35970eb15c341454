"""Faults of orders: cancelled at any moment, and sent many times at once."""

import asyncio
from collections import Counter
from datetime import datetime

import httpx
import msgspec

from aif_contracts import subjects
from aif_contracts.history import AttemptPage, ListAttempts
from faults.paper_factory import TEMPLATE
from faults.trial import Allowed, Outcome, Trial, TrialPlan, trial

CANCELLED_WITHIN_SECONDS = 0.2
AFTER_THE_END_SECONDS = 1.0
"""A call under way is told to stop; one that has been answered by then is on the bill."""
ANSWER_SECONDS = 5.0
TIMES_POSTED = 10
POSTED_AT_ONCE = 100
POST_LIMIT_SECONDS = 60.0
ASK_AGAIN_SECONDS = 0.2


async def cancelled_at_random(plan: TrialPlan) -> Outcome:
    """F19: each order is cancelled at some moment of its life, some after it."""
    async with trial(plan, orchestrators=2, workers=2) as running:
        async with asyncio.TaskGroup() as group:
            for _ in range(plan.executions):
                await asyncio.sleep(1 / plan.per_second)
                group.create_task(_place_and_cancel(running))
        await running.comes_to_rest()
        books = await running.books()
        statuses = Counter(each.status for each in books.executions.values())
        running.expect(set(statuses) <= {"cancelled", "completed"}, f"executions ended as {dict(statuses)}")
        running.expect(statuses["cancelled"] > 0, "nothing was cancelled, so the fault did not bite")
        for line in running.factory.bill():
            execution = books.executions[line.call_key.split(".", 1)[0]]
            late = line.billed_at - execution.ended_at.timestamp() if execution.ended_at is not None else 0.0
            running.expect(late <= AFTER_THE_END_SECONDS, f"{line.call_key} was made {late:.1f} s after the end")
        keys = [line.call_key for line in running.factory.bill()]
        for execution_id, execution in books.executions.items():
            if execution.ended_at is not None:
                billed = {key for key in keys if key.startswith(f"{execution_id}.")}
                await _expect_no_claim_after(execution.ended_at, execution_id, billed, running)
        running.remarks.append(", ".join(f"{count} {status}" for status, count in sorted(statuses.items())))
        return await running.verdict(Allowed(meant_to_end_badly=plan.executions, calls_may_repeat=False))


async def posted_many_times(plan: TrialPlan) -> Outcome:
    """F20: the same order with the same key, ten times and at once, among many others."""
    async with trial(plan, orchestrators=1, workers=2, kam=True) as running:
        keys = [f"key-{number}" for number in range(max(1, plan.executions // 3))]
        posts = [key for key in keys for _ in range(TIMES_POSTED)]
        running.chance.shuffle(posts)
        running.note(f"{len(posts)} posts of {len(keys)} orders")
        answers = await _post_all(running, posts)
        statuses = Counter(status for _, statuses, _ in answers for status in statuses)
        running.remarks.append(", ".join(f"{count} x {status}" for status, count in sorted(statuses.items())))
        running.expect(not [status for status in statuses if status >= 500], f"answered by {dict(statuses)}")
        by_key: dict[str, set[str]] = {key: set() for key in keys}
        for key, _, execution_id in answers:
            by_key[key].add(execution_id)
            running.orders.texts[execution_id] = key
        for key, execution_ids in by_key.items():
            running.expect(len(execution_ids) == 1, f"{key} became {len(execution_ids)} executions")
        async with running.database.connection() as connection:
            stored = await connection.fetchval("SELECT count(*) FROM executions")
        running.expect(stored == len(keys), f"{stored} executions of {len(keys)} orders")
        return await running.verdict(Allowed(calls_may_repeat=False))


async def _expect_no_claim_after(ended_at: datetime, execution_id: str, billed: set[str], running: Trial) -> None:
    """Both times are the database's, of the commits that granted the attempt and that ended the execution.

    What was billed belongs to an attempt that is on record.
    """
    question = ListAttempts(execution_id=execution_id, client_id=None)
    answer = await running.bus.ask(subjects.ATTEMPTS, msgspec.json.encode(question), wait_seconds=ANSWER_SECONDS)
    attempts = msgspec.json.decode(answer, type=AttemptPage).attempts
    granted = {f"{execution_id}.{attempt.stage_id}.{attempt.attempt}" for attempt in attempts}
    for key in billed:
        running.expect(key.rpartition(".")[0] in granted, f"{key} was billed for an attempt that nobody was granted")
    for attempt in attempts:
        granted_late = attempt.started_at is not None and datetime.fromisoformat(attempt.started_at) > ended_at
        running.expect(not granted_late, f"{execution_id}.{attempt.stage_id}.{attempt.attempt} was granted after the end")


async def _place_and_cancel(running: Trial) -> None:
    moment = running.chance.uniform(0, CANCELLED_WITHIN_SECONDS)
    execution_id = await running.orders.place()
    await asyncio.sleep(moment)
    running.note(f"{execution_id} cancelled")
    await running.orders.cancel(execution_id)


async def _post_all(running: Trial, keys: list[str]) -> list[tuple[str, list[int], str]]:
    """For each post its key, the statuses that it met, and the execution that it got in the end."""
    headers = {"X-API-Key": running.factory.keys.client_key}
    places = asyncio.Semaphore(POSTED_AT_ONCE)
    limits = httpx.Limits(max_connections=POSTED_AT_ONCE)
    async with httpx.AsyncClient(base_url=running.factory.kam_url, headers=headers, limits=limits, timeout=15) as http:

        async def post(key: str) -> tuple[str, list[int], str]:
            async with places, asyncio.timeout(POST_LIMIT_SECONDS):
                return await _post(http, key)

        return await asyncio.gather(*(post(key) for key in keys))


async def _post(http: httpx.AsyncClient, key: str) -> tuple[str, list[int], str]:
    """Again and again while the answer is to ask again."""
    statuses: list[int] = []
    body = {"selected_template": TEMPLATE, "parameters": {"text": key}}
    while True:
        response = await http.post("/api/kam/orders", json=body, headers={"Idempotency-Key": key})
        statuses.append(response.status_code)
        if response.status_code == httpx.codes.ACCEPTED:
            return key, statuses, str(response.json()["execution_id"])
        assert response.status_code in (409, 429, 503), response.text
        await asyncio.sleep(ASK_AGAIN_SECONDS)
