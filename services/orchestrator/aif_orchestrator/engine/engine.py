"""Group commit: whatever has arrived is applied together, in one round trip to the database.

A batch steps every arrival through the pure core, and stores states, events, attempts, calls and the messages to send in one
transaction. Then the arrivals are answered and the messages published. Under load a commit serves hundreds of arrivals; at
idle an arrival costs one commit. Nothing depends on memory: a replica may die at any line, and another one finds in the
database what is owed.

Live executions are remembered, and every commit checks that what it has worked from is still what is stored. If another replica
was quicker with any of them, nothing is stored; the batch is worked out again from what is there, and in halves when it happens
again and again: the less is in a batch, the sooner it is committed and the fewer are in its way.

There are two lanes: while the database commits one batch the next one is worked out. An execution is in one of them at a time;
what arrives for it meanwhile waits. The second lane is used only for many at once: each batch costs a commit, a round trip and
a publish, and what waits a little shares them.
"""

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from msgspec import Struct

from aif_orchestrator.engine.arrivals import Applied, Arrival, ExecutionOrdered, NotApplied, NotItsAttempt, asks_for_money
from aif_orchestrator.engine.batch import (
    CircumstancesOf,
    Worked,
    attempts_of,
    calls_of,
    follow_ups_of,
    messages_of,
    moves_of,
    new_packets_of,
    packets_of,
    settlements_of,
    work_out,
)
from aif_orchestrator.engine.blocked_clients import BlockedClients
from aif_orchestrator.engine.database_clock import DatabaseClock
from aif_orchestrator.engine.figures import Figures
from aif_orchestrator.engine.inputs import FollowUps
from aif_orchestrator.engine.plans import Plans, plan_key
from aif_orchestrator.engine.relay import Relay
from aif_orchestrator.engine.remembered import Remembered
from aif_orchestrator.engine.revisions import revisions_of
from aif_orchestrator.engine.spans import ExecutionSpans
from aif_orchestrator.engine.workforce import Workforce
from aif_orchestrator.execution.commands import MoveAccount
from aif_orchestrator.execution.failures import NotItsWorker
from aif_orchestrator.execution.happenings import Circumstances, Happening, Patience
from aif_orchestrator.store.batches import BatchStore, Decided
from aif_orchestrator.store.executions import ExecutionStore
from aif_orchestrator.store.journal import Entry, Revision, Versioned, entries_of
from aif_runtime.broker_rules import check_size
from aif_runtime.bus import Outgoing
from aif_runtime.failures import AlreadyStored, DatabaseUnavailable
from aif_runtime.postgres import Connection, Database, HeldConnection
from aif_runtime.telemetry import Tracing

LARGEST_BATCH = 256
LANES = 2
WORTH_A_LANE = 24
"""Arrivals; fewer wait for the batch that is under way."""
LEAST_SHARE = 72
"""Arrivals that a lane takes at once however few are left for the others. Of more it takes its share, and what else there is of
the same executions: all of them in one batch would keep the worker waiting, and then the engine."""
OFTEN_OVERTAKEN = 3
"""Times that others were quicker than a batch, before it is divided."""
MOST_OVERTAKEN = 10
"""The same for a single arrival, before it is put off."""
DATABASE_PAUSE_SECONDS = 0.2

log = structlog.get_logger()


class _Stored(Struct, frozen=True, kw_only=True):
    worked: list[Worked]
    messages: Sequence[Outgoing]
    outbox_id: int | None
    denied: list[tuple[Arrival, Applied]]
    """What their clients' budgets do not allow, and why."""


class _Overtaken(Exception):
    """Other replicas were quicker, so nothing was stored."""


class Engine:
    def __init__(
        self,
        *,
        database: Database,
        executions: ExecutionStore,
        batches: BatchStore,
        relay: Relay,
        follow_ups: FollowUps,
        plans: Plans,
        workforce: Workforce,
        patience: Patience,
        max_attempt_cost_usd: str,
        max_execution_cost_usd: str,
        figures: Figures,
        tracing: Tracing,
        database_clock: DatabaseClock,
        blocked: BlockedClients,
    ) -> None:
        self._executions = executions
        self._batches = batches
        self._relay = relay
        self._follow_ups = follow_ups
        self._plans = plans
        self._workforce = workforce
        self._patience = patience
        self._max_attempt_cost_usd = max_attempt_cost_usd
        self._max_execution_cost_usd = max_execution_cost_usd
        self._figures = figures
        self._spans = ExecutionSpans(tracing)
        self._clock = database_clock
        self._blocked = blocked
        self._remembered = Remembered()
        self._lanes = [database.held() for _ in range(LANES)]
        self._free_lanes: list[asyncio.Future[None]] = []
        """Each waits for its result, which says that there is a batch for it."""
        self._under_way: set[str] = set()
        """Executions in one of the lanes."""
        self._inbox: list[Arrival] = []
        """Bounded by those who fill it: what is under way at the broker, and questions that wait for their answers."""
        self._idle = asyncio.Event()
        self._idle.set()

    async def apply(self, execution_id: str, happening: Happening | ExecutionOrdered) -> Applied:
        """Apply something that has happened; returns when it is committed.

        Applying the same happening again is harmless. Raises DatabaseUnavailable (nothing, or everything, was stored) and
        NotApplied.
        """
        return await self.submit(execution_id, happening)

    def submit(self, execution_id: str, happening: Happening | ExecutionOrdered) -> "asyncio.Future[Applied]":
        """As `apply`, for whoever has several at once and waits for them together."""
        done: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        self._idle.clear()
        self._inbox.append(Arrival(execution_id, happening, done))
        self._wake_a_lane()
        return done

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for lane in self._lanes:
                    group.create_task(self._use(lane))
                # For what has arrived before.
                asyncio.get_running_loop().call_soon(self._wake_a_lane)
        finally:
            for lane in self._lanes:
                await lane.close()

    async def idle(self) -> None:
        """Wait until everything that has arrived is committed."""
        await self._idle.wait()

    async def _use(self, lane: HeldConnection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            wanted = loop.create_future()
            self._free_lanes.append(wanted)
            await wanted
            batch = self._next_batch()
            if not batch:
                continue
            await self._process(lane, batch)
            self._under_way.difference_update(arrival.execution_id for arrival in batch)
            if self._inbox:
                # Not before what was just committed is on its way: working a batch out keeps everything else waiting.
                loop.call_soon(self._wake_a_lane)
            elif not self._under_way:
                self._idle.set()

    def _wake_a_lane(self) -> None:
        least = 1 if len(self._free_lanes) == LANES else WORTH_A_LANE
        if self._free_lanes and len(self._inbox) >= least:
            wanted = self._free_lanes.pop()
            if not wanted.done():
                wanted.set_result(None)

    def _next_batch(self) -> list[Arrival]:
        """Empty when what has arrived is too little for another lane, or has to wait for the one that is in use."""
        share = max(LEAST_SHARE, len(self._inbox) // LANES)
        batch: list[Arrival] = []
        rest: list[Arrival] = []
        begun: set[str] = set()
        for arrival in self._inbox:
            is_full = len(batch) == LARGEST_BATCH or (len(batch) >= share and arrival.execution_id not in begun)
            if is_full or arrival.execution_id in self._under_way:
                rest.append(arrival)
            else:
                batch.append(arrival)
                begun.add(arrival.execution_id)
        if self._under_way and len(batch) < WORTH_A_LANE:
            return []
        self._inbox = rest
        self._under_way |= begun
        if rest:
            self._wake_a_lane()
        return batch

    async def _process(self, lane: HeldConnection, batch: list[Arrival]) -> None:
        published = self._relay.take_published()
        try:
            stored = await self._store(lane, batch, published)
        except _Overtaken:
            self._relay.give_back(published)
            for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                await self._process(lane, half)
            return
        except DatabaseUnavailable as failure:
            self._relay.give_back(published)
            self._remembered.forget(arrival.execution_id for arrival in batch)
            for arrival in batch:
                arrival.fail(failure)
            await asyncio.sleep(DATABASE_PAUSE_SECONDS)
            return
        except Exception as failure:  # noqa: BLE001
            # The outermost loop of the service: one arrival that cannot be applied must not stop the others.
            self._relay.give_back(published)
            self._remembered.forget(arrival.execution_id for arrival in batch)
            await self._isolate(lane, batch, failure)
            return
        for each in stored.worked:
            for arrival, applied in each.applied:
                arrival.succeed(applied)
        for arrival, denied in stored.denied:
            arrival.succeed(denied)
        if stored.outbox_id is not None:
            await self._relay.send(stored.outbox_id, stored.messages, new_packets_of(stored.worked))
        self._follow_ups.perform(follow_ups_of(stored.worked), self.apply)
        self._figures.count(stored.worked)
        for each in stored.worked:
            self._spans.record(each)
            _tell_doubtful_costs(each)

    async def _store(self, lane: HeldConnection, batch: list[Arrival], published: list[int]) -> _Stored:
        """Work the batch out and commit it, again and again while other replicas are quicker.

        Raises _Overtaken if that does not end and the batch can be divided.
        """
        is_divisible = len(batch) > 1
        times_overtaken = 0
        reason = "other replicas were quicker"
        denied: list[tuple[Arrival, Applied]] = []
        while times_overtaken < (OFTEN_OVERTAKEN if is_divisible else MOST_OVERTAKEN):
            try:
                async with lane.connection() as connection:
                    known = await self._read(connection, batch, orders_are_new=times_overtaken == 0)
                    at_ms = self._clock.now_ms()
                    found = {execution_id: each.execution for execution_id, each in known.items()}
                    await self._plans.ensure({plan_key(execution) for execution in found.values()})
                    worked = work_out(batch, found, self._circumstances(at_ms))
                    revisions = revisions_of(worked, known, at_ms)
                    entries = [entry for revision in revisions for entry in entries_of(revision)]
                    messages = messages_of(worked, entries, self._spans.headers)
                    for message in messages:
                        # What is committed is published until it is confirmed: no replica would get past what no broker takes.
                        check_size(message.subject, message.payload)
                    decided = _decided(worked, known, revisions, entries, messages, published)
                    asked_at = self._clock.asks()
                    committed = await self._batches.commit(connection, decided)
            except AlreadyStored as stored:
                # It does not say which of them another replica has changed.
                self._remembered.forget(arrival.execution_id for arrival in batch)
                reason = str(stored)
                times_overtaken += 1
                continue
            self._clock.seen(committed.at_ms, asked_at)
            if committed.denied:
                asked = [arrival for arrival in batch if arrival.execution_id in committed.denied and asks_for_money(arrival)]
                denied += [(arrival, _denied(arrival, committed.denied, decided.moves)) for arrival in asked]
                batch = [arrival for arrival in batch if arrival not in asked]
                if not asked:
                    raise NotApplied(f"nobody asked for what was denied to {', '.join(committed.denied)}")
                continue
            if not committed.stale:
                for revision in decided.revisions:
                    self._remembered.keep(revision.after)
                return _Stored(worked=worked, messages=messages, outbox_id=committed.outbox_id, denied=denied)
            self._remembered.forget(committed.stale)
            times_overtaken += 1
        if is_divisible:
            raise _Overtaken
        raise DatabaseUnavailable(f"not stored, tried {MOST_OVERTAKEN} times: {reason}")

    async def _read(self, connection: Connection, batch: Sequence[Arrival], *, orders_are_new: bool) -> dict[str, Versioned]:
        """What is remembered, and the rest from the database. A new order is not looked for: the commit would find it."""
        known: dict[str, Versioned] = {}
        unknown: set[str] = set()
        for arrival in batch:
            remembered = self._remembered.get(arrival.execution_id)
            if remembered is not None:
                known[arrival.execution_id] = remembered
            elif not orders_are_new or not isinstance(arrival.happening, ExecutionOrdered):
                unknown.add(arrival.execution_id)
        if unknown or not self._clock.is_known:
            asked_at = self._clock.asks()
            read = await self._executions.read(connection, sorted(unknown))
            self._clock.seen(read.at_ms, asked_at)
            known |= read.executions
            for stored in read.executions.values():
                self._remembered.keep(stored)
        return known

    def _circumstances(self, at_ms: int) -> CircumstancesOf:
        workforce = self._workforce.present()
        blocked = self._blocked.clients
        known: dict[tuple[str, str, str, bool], Circumstances] = {}

        def circumstances_of(owner: str, name: str, version: str, client_id: str) -> Circumstances:
            is_blocked = client_id in blocked
            key = (owner, name, version, is_blocked)
            if key not in known:
                known[key] = Circumstances(
                    at_ms=at_ms,
                    plan=self._plans.of_execution(owner, name, version),
                    free_actions=workforce.free_actions,
                    known_actions=workforce.known_actions,
                    live_workers=workforce.live_workers,
                    max_attempt_cost_usd=self._max_attempt_cost_usd,
                    max_execution_cost_usd=self._max_execution_cost_usd,
                    patience=self._patience,
                    is_blocked=is_blocked,
                )
            return known[key]

        return circumstances_of

    async def _isolate(self, lane: HeldConnection, batch: list[Arrival], failure: Exception) -> None:
        if len(batch) > 1:
            for arrival in batch:
                await self._process(lane, [arrival])
            return
        [arrival] = batch
        happening = type(arrival.happening).__name__
        if isinstance(failure, NotItsWorker):
            log.warning("report_of_another_worker", execution_id=arrival.execution_id, reason=str(failure))
            arrival.fail(NotItsAttempt(str(failure)))
            return
        log.error("arrival_not_applied", execution_id=arrival.execution_id, happening=happening, exc_info=failure)
        arrival.fail(NotApplied(f"{happening} cannot be applied: {type(failure).__name__}"))


def _tell_doubtful_costs(worked: Worked) -> None:
    for told in worked.contradictions:
        log.warning(
            "costs_contradict",
            execution_id=worked.execution_id,
            stage_id=told.stage_id,
            attempt=told.attempt,
            worker=told.worker_name,
            reason=told.message,
        )
    for beyond in worked.beyond_grants:
        log.error(
            "cost_beyond_grant",
            execution_id=worked.execution_id,
            stage_id=beyond.stage_id,
            attempt=beyond.attempt,
            worker=beyond.worker_name,
            charged_usd=beyond.charged_usd,
            granted_usd=beyond.granted_usd,
        )


def _denied(arrival: Arrival, codes: Mapping[str, str], moves: Sequence[MoveAccount]) -> Applied:
    move = next(move for move in moves if move.execution_id == arrival.execution_id and move.is_admission)
    return Applied(denied=codes[arrival.execution_id], not_fitting=move)


def _decided(
    worked: Sequence[Worked],
    known: Mapping[str, Versioned],
    revisions: Sequence[Revision],
    entries: Sequence[Entry],
    messages: Sequence[Outgoing],
    published: list[int],
) -> Decided:
    return Decided(
        checked={execution_id: known[execution_id].version for execution_id in sorted(known)},
        revisions=revisions,
        entries=entries,
        attempts=attempts_of(worked),
        calls=calls_of(worked),
        settlements=settlements_of(worked),
        moves=moves_of(worked),
        messages=messages,
        packets=packets_of(worked),
        published=published,
    )
