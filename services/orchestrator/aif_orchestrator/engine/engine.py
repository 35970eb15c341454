"""Group commit: whatever has arrived is applied together, in one transaction.

A batch locks its executions in id order, steps every arrival through the pure core, and writes states, events, attempts, calls
and the messages to send in one transaction. Then the arrivals are answered and the messages published. Under load a commit
serves hundreds of arrivals; at idle an arrival costs one commit. Nothing is kept only in memory: a replica may die at any line,
and another one finds in the database what is owed.

An engine has a few lanes, and an execution always takes the same one: while one lane waits for its commit, another steps. With
a single lane everything in flight moves in one convoy, and orchestrator, database and workers wait for each other in turn.
"""

import asyncio
from collections.abc import Callable

import structlog

from aif_orchestrator.engine.arrivals import Applied, Arrival, ExecutionOrdered
from aif_orchestrator.engine.batch import Worked, attempts_of, calls_of, follow_ups_of, messages_of, work_out
from aif_orchestrator.engine.figures import Figures
from aif_orchestrator.engine.inputs import FollowUps
from aif_orchestrator.engine.plans import Plans
from aif_orchestrator.engine.relay import Relay
from aif_orchestrator.engine.workforce import Workforce
from aif_orchestrator.execution.happenings import Circumstances, Happening, Patience
from aif_orchestrator.store.executions import ExecutionStore
from aif_orchestrator.store.outbox import OutboxStore
from aif_runtime.failures import DatabaseUnavailable
from aif_runtime.postgres import Connection, Database
from aif_runtime.telemetry import Tracing

LANES = 2
LARGEST_BATCH = 256
MOST_WAITING = 10_000
DATABASE_PAUSE_SECONDS = 0.2

log = structlog.get_logger()


class NotApplied(Exception):
    """An arrival that cannot be applied whatever is tried: a mistake of ours, kept for a person to look at."""


class _Lane:
    def __init__(self) -> None:
        self.inbox: asyncio.Queue[Arrival] = asyncio.Queue(MOST_WAITING)
        self.idle = asyncio.Event()
        self.idle.set()


class Engine:
    def __init__(
        self,
        *,
        database: Database,
        executions: ExecutionStore,
        outbox: OutboxStore,
        relay: Relay,
        follow_ups: FollowUps,
        plans: Plans,
        workforce: Workforce,
        patience: Patience,
        max_attempt_cost_usd: str,
        figures: Figures,
        tracing: Tracing,
        lanes: int = LANES,
    ) -> None:
        self._database = database
        self._executions = executions
        self._outbox = outbox
        self._relay = relay
        self._follow_ups = follow_ups
        self._plans = plans
        self._workforce = workforce
        self._patience = patience
        self._max_attempt_cost_usd = max_attempt_cost_usd
        self._figures = figures
        self._tracing = tracing
        self._lanes = [_Lane() for _ in range(lanes)]

    async def apply(self, execution_id: str, happening: Happening | ExecutionOrdered) -> Applied:
        """Apply something that has happened; returns when it is committed.

        Applying the same happening again is harmless. Raises DatabaseUnavailable (nothing, or everything, was stored) and
        NotApplied.
        """
        done: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        lane = self._lanes[hash(execution_id) % len(self._lanes)]
        lane.idle.clear()
        await lane.inbox.put(Arrival(execution_id, happening, done))
        return await done

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes:
                group.create_task(self._run(lane))

    async def idle(self) -> None:
        """Wait until everything that has arrived is committed."""
        for lane in self._lanes:
            await lane.idle.wait()

    async def _run(self, lane: "_Lane") -> None:
        while True:
            batch = [await lane.inbox.get()]
            while len(batch) < LARGEST_BATCH and not lane.inbox.empty():
                batch.append(lane.inbox.get_nowait())
            await self._process(batch)
            if lane.inbox.empty():
                lane.idle.set()

    async def _process(self, batch: list[Arrival]) -> None:
        published = self._relay.take_published()
        try:
            async with self._database.transaction() as connection:
                worked, overtaken, outbox_id = await self._store(connection, batch, published)
        except DatabaseUnavailable as failure:
            self._relay.give_back(published)
            for arrival in batch:
                arrival.fail(failure)
            await asyncio.sleep(DATABASE_PAUSE_SECONDS)
            return
        except Exception as failure:  # noqa: BLE001
            # The outermost loop of the service: one arrival that cannot be applied must not stop the others.
            self._relay.give_back(published)
            await self._isolate(batch, failure)
            return
        messages = messages_of(worked)
        if outbox_id is not None:
            self._relay.send(outbox_id, messages)
        for each in worked:
            for arrival, applied in each.applied:
                arrival.succeed(applied)
        self._follow_ups.perform(follow_ups_of(worked), self.apply)
        self._figures.count(worked)
        for each in worked:
            self._trace_end(each)
        if overtaken:
            # Another replica has stored these executions meanwhile; now they are found.
            await self._process(overtaken)

    async def _store(
        self, connection: Connection, batch: list[Arrival], published: list[int]
    ) -> tuple[list[Worked], list[Arrival], int | None]:
        """Returns what was worked out, the arrivals to take again, and the outbox row."""
        locked = await self._executions.lock(connection, list({arrival.execution_id for arrival in batch}))
        worked = work_out(batch, locked.executions, self._circumstances_at(locked.at_ms))
        overtaken: list[Arrival] = []
        new = [each.execution for each in worked if each.is_new and each.execution is not None]
        if new:
            stored = await self._executions.insert(connection, new)
            kept = [
                each for each in worked if not (each.is_new and each.execution and each.execution.execution_id not in stored)
            ]
            overtaken = [arrival for each in worked if each not in kept for arrival in each.arrivals]
            worked = kept
        changed = [each.execution for each in worked if each.has_changed and each.execution is not None]
        if changed:
            await self._executions.update(connection, changed)
        if groups := [events for each in worked if (events := each.events)]:
            await self._executions.insert_events(connection, groups)
        if attempts := attempts_of(worked):
            await self._executions.insert_attempts(connection, attempts)
        if calls := calls_of(worked):
            await self._executions.insert_calls(connection, calls)
        if published:
            await self._outbox.delete(connection, published)
        messages = messages_of(worked)
        outbox_id = await self._outbox.insert(connection, messages) if messages else None
        return worked, overtaken, outbox_id

    def _circumstances_at(self, at_ms: int) -> Callable[[str, str | None], Circumstances]:
        workforce = self._workforce.present()
        known: dict[tuple[str, str | None], Circumstances] = {}

        def circumstances_of(template: str, version: str | None) -> Circumstances:
            if (template, version) not in known:
                known[template, version] = Circumstances(
                    at_ms=at_ms,
                    plan=self._plans.plan(template, version),
                    free_actions=workforce.free_actions,
                    live_workers=workforce.live_workers,
                    max_attempt_cost_usd=self._max_attempt_cost_usd,
                    patience=self._patience,
                )
            return known[template, version]

        return circumstances_of

    def _trace_end(self, worked: Worked) -> None:
        """One span for the whole execution, written when it has ended."""
        execution = worked.execution
        if execution is None or execution.ended_at is None or (worked.before is not None and worked.before.is_final):
            return
        self._tracing.record_span(
            "execution",
            start_ns=execution.created_at * 1_000_000,
            end_ns=execution.ended_at * 1_000_000,
            parent=execution.trace,
            attributes={
                "aif.execution_id": execution.execution_id,
                "aif.template": execution.template,
                "aif.status": str(execution.status),
            },
            failure=execution.failure_code,
        )

    async def _isolate(self, batch: list[Arrival], failure: Exception) -> None:
        if len(batch) > 1:
            for arrival in batch:
                await self._process([arrival])
            return
        arrival = batch[0]
        log.error(
            "arrival_not_applied",
            execution_id=arrival.execution_id,
            happening=type(arrival.happening).__name__,
            exc_info=failure,
        )
        arrival.fail(NotApplied(f"{type(arrival.happening).__name__} cannot be applied: {type(failure).__name__}"))
