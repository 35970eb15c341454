"""The orchestrator's replicas: the shell of the engine without its asyncio, around the very same `work_out`.

Every replica may die between any two effects. What it held in memory is gone; the database, the broker and the other replicas
remain.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from aif_contracts import subjects
from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.events import CompensationStarted, ExecutionEvent, WorkflowPaused, WorkflowResumed
from aif_contracts.metering import ProviderCall
from aif_contracts.money import usd
from aif_contracts.orders import ExecutionStatus
from aif_contracts.packets import ControlMessage, Grant, Granted, Priority, Proceed, WorkPacket
from aif_contracts.performance import PerformanceRecord
from aif_contracts.reports import Accepted, Completed, Declined, Failed, Progress, Report
from aif_orchestrator.engine.arrivals import Applied, Arrival, ExecutionOrdered, asks_for_money
from aif_orchestrator.engine.batch import (
    CircumstancesOf,
    FollowUp,
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
from aif_orchestrator.engine.remembered import Remembered
from aif_orchestrator.engine.revisions import revisions_of
from aif_orchestrator.execution.attempts import WORKER_LOST
from aif_orchestrator.execution.commands import DispatchPacket, EmitEvent, LoadOutputs, StoreInput, TellWorkers
from aif_orchestrator.execution.happenings import (
    AttemptClaimed,
    AttemptCompleted,
    AttemptFailed,
    AttemptProgressed,
    CallBooked,
    Circumstances,
    Happening,
    InputStored,
    InputUnavailable,
    LoadedOutput,
    OutputsLoaded,
    PacketDeclined,
    PacketUntold,
    Patience,
    TimePassed,
)
from aif_orchestrator.execution.offering import packet_id
from aif_orchestrator.execution.state import Execution
from aif_orchestrator.store.batches import Committed, Decided
from aif_orchestrator.store.journal import Versioned, entries_of
from aif_runtime.bus import Outgoing
from simulation.broker import Broker, Delivery, Queue
from simulation.ledger import ConstraintBroken
from simulation.mechanisms import CHANGES_HAPPENINGS, CHANGES_STATES, Mechanism, granted_again
from simulation.record import Record
from simulation.relays import Offer, Relay
from simulation.shapes import FREE, PAID, WORKER, Shapes
from simulation.timeline import Timeline
from simulation.truth import Truth
from simulation.weather import Weather

ANSWER_MS = 5_000
REPORT_ANSWER_MS = 3_000
"""How long a worker waits for the replica that it reports to."""
RETRY_MS = 1_000
ADOPT_AFTER_MS = 5_000
SWEEP_MS = 500
MOST_OVERTAKEN = 10
LONGEST_LAG_MS = 2_000
TOLERANCE_MS = LONGEST_LAG_MS + 100
"""A lease may end so much earlier when a lagging replica began it."""
MAX_ATTEMPT_COST_USD = "1"

Then = Callable[[Applied | None], None]
"""Takes what came of an arrival; None when it could not be stored, or nobody knows."""

_PACKETS = msgspec.json.Decoder(WorkPacket)
_EVENTS = msgspec.json.Decoder(list[ExecutionEvent])
_EVENT_SUBJECT = subjects.ALL_EVENTS.removesuffix(">")
_WORK = subjects.work(WORKER, Priority.NORMAL)
PATIENCE = Patience(last_word_ms=20_000, preparing_ms=4_000, compensating_ms=240_000, most_held_ms=120_000)
_LIVE_WORKERS = frozenset({WORKER})
_WORKS = frozenset({ExecutionStatus.RUNNING, ExecutionStatus.COMPENSATING})


class Errand(Arrival):
    """An arrival, what is done after its commit, and what it tells the world's truth."""

    __slots__ = ("committed", "then")

    def __init__(
        self,
        execution_id: str,
        happening: Happening | ExecutionOrdered,
        then: Then,
        committed: Callable[[], None] | None = None,
    ) -> None:
        self.execution_id = execution_id
        self.happening = happening
        self.then = then
        self.committed = committed


class UsageTold(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the usage stream."""

    booked: CallBooked


class ReportTold(msgspec.Struct, frozen=True, kw_only=True):
    """A report, with the calls that its metrics contain."""

    report: Report
    calls: tuple[ProviderCall, ...] = ()


class ReportsTold(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the report stream: what one worker had ready together."""

    told: tuple[ReportTold, ...]


class Replica:
    """One process. It applies one batch at a time; others may be quicker between its reading and its commit."""

    def __init__(self, name: str, cluster: "Cluster") -> None:
        self.name = name
        self.is_alive = True
        self._cluster = cluster
        self._inbox: list[Errand] = []
        self._is_busy = False
        self._remembered = Remembered()
        self.relay = cluster.relay_of(self)
        self._lag_ms = cluster.timeline.between(0, LONGEST_LAG_MS) if cluster.timeline.happens(cluster.weather.lag) else 0
        """How far its reckoning of the database's clock is behind."""

    def take(self, errand: Errand) -> None:
        self._inbox.append(errand)
        self._begin()

    def _take_if_alive(self, errand: Errand) -> None:
        if self.is_alive:
            self.take(errand)

    def crashes(self) -> bool:
        """Between any two effects it may be the end."""
        cluster = self._cluster
        if not self.is_alive:
            return True
        if not cluster.timeline.happens(cluster.weather.crash):
            return False
        cluster.timeline.note(f"{self.name} DIES")
        self.is_alive = self.relay.is_open = False
        cluster.timeline.after(cluster.timeline.between(50, 4_000), cluster.start, self)
        return True

    def _begin(self) -> None:
        if self._inbox and not self._is_busy:
            self._is_busy = True
            self._cluster.timeline.after(self._cluster.timeline.between(0, 4), self._take_batch)

    def _take_batch(self) -> None:
        if not self.is_alive:
            return
        batch, self._inbox = self._inbox, []
        if self._cluster.timeline.happens(self._cluster.weather.refused_commit):
            self._give_up(batch)
        else:
            self._work_out(batch, {}, 0)

    def _work_out(self, batch: Sequence[Errand], denied: Mapping[Errand, str], times_overtaken: int) -> None:
        if self.crashes():
            return
        ids = sorted({errand.execution_id for errand in batch})
        known = {key: seen for key in ids if (seen := self._remembered.get(key)) is not None}
        for key, seen in self._cluster.record.read(key for key in ids if key not in known).items():
            known[key] = seen
            self._remembered.keep(seen)
        at_ms = self._cluster.timeline.now - self._lag_ms
        batch, worked = self._cluster.work_out(batch, {key: seen.execution for key, seen in known.items()}, at_ms)
        decided = _decided(at_ms, worked, known, tuple(self.relay.published))
        delay = self._cluster.timeline.between(0, 4)
        self._cluster.timeline.after(delay, self._commit, batch, denied, worked, known, decided, times_overtaken)

    def _commit(
        self,
        batch: Sequence[Errand],
        denied: Mapping[Errand, str],
        worked: Sequence[Worked],
        known: Mapping[str, Versioned],
        decided: Decided,
        times_overtaken: int,
    ) -> None:
        if not self.is_alive or self.crashes():
            return
        cluster = self._cluster
        try:
            committed = cluster.store(batch, worked, decided)
        except ConstraintBroken as refusal:
            cluster.truth.violated("schema", str(refusal))
            self._give_up([])
            return
        if committed.stale:
            cluster.timeline.note(f"{self.name} was overtaken")
            self._remembered.forget(committed.stale)
            self._again(batch, denied, times_overtaken)
            return
        if committed.denied:
            asked = {each: committed.denied[each.execution_id] for each in batch if _is_denied(each, committed)}
            if not asked:
                cluster.truth.violated("denied", f"nobody asked for what was denied to {sorted(committed.denied)}")
                self._give_up([*batch, *denied])
                return
            self._again([each for each in batch if each not in asked], {**denied, **asked}, times_overtaken)
            return
        if cluster.timeline.happens(cluster.weather.unknown_commit):
            self._give_up([*batch, *denied])
            return
        for errand, code in denied.items():
            errand.then(Applied(denied=code))
        self.relay.are_deleted(decided.published)
        for revision in decided.revisions:
            self._remembered.keep(revision.after)
        self._act(worked, committed.outbox_id, decided.messages)

    def _again(self, batch: Sequence[Errand], denied: Mapping[Errand, str], times_overtaken: int) -> None:
        if times_overtaken < MOST_OVERTAKEN:
            self._work_out(batch, denied, times_overtaken + 1)
        else:
            self._give_up([*batch, *denied])

    def _act(self, worked: Sequence[Worked], outbox_id: int | None, messages: Sequence[Outgoing]) -> None:
        """What follows a commit, in either order, and perhaps not to its end."""
        cluster = self._cluster
        if outbox_id is not None:
            self.relay.begin(outbox_id)
        acts: list[Callable[[], None]] = [
            partial(self._publish, worked, outbox_id, messages),
            partial(self._answer, worked),
            partial(self._follow_up, worked),
        ]
        if cluster.timeline.happens(0.5):
            acts.reverse()
        for act in acts:
            if self.is_alive and not self.crashes():
                act()
        if not self.is_alive:
            return
        self._is_busy = False
        self._begin()

    def _give_up(self, batch: Sequence[Errand]) -> None:
        """Nothing was stored, or nobody knows: whoever asked asks again."""
        self._remembered.forget(errand.execution_id for errand in batch)
        for errand in batch:
            errand.then(None)
        self._is_busy = False
        self._begin()

    def _publish(self, worked: Sequence[Worked], outbox_id: int | None, messages: Sequence[Outgoing]) -> None:
        new_packets = {packet.packet_id for packet in new_packets_of(worked)}
        if self._cluster.publish(messages, self, outbox_id, new_packets) and not self.crashes():
            self.relay.finish_part(outbox_id)

    def _answer(self, worked: Sequence[Worked]) -> None:
        for each in worked:
            for arrival, applied in each.applied:
                assert isinstance(arrival, Errand)
                if self.crashes():
                    return
                arrival.then(applied)

    def _follow_up(self, worked: Sequence[Worked]) -> None:
        for execution_id, follow_up in follow_ups_of(worked):
            if self.crashes():
                return
            self._cluster.timeline.after(self._cluster.follow_up_ms(), self._perform, execution_id, follow_up)

    def _perform(self, execution_id: str, follow_up: FollowUp) -> None:
        """The end of a follow-up; nothing comes of it when the replica has died meanwhile, or a store was away."""
        cluster = self._cluster
        if not self.is_alive or cluster.timeline.happens(cluster.weather.lost_answer):
            return
        match follow_up:
            case TellWorkers(message=message):
                cluster.tell_workers(message)
            case LoadOutputs(stage_id=stage_id, refs=refs):
                read = cluster.load(stage_id, refs)
                self.take(Errand(execution_id, read, _nothing))
                if cluster.timeline.happens(cluster.weather.slow_store):
                    # It had been asked several times, and the other answers come from far behind.
                    for latest_ms in (2_000, 6_000, 18_000):
                        late_ms = cluster.timeline.between(200, latest_ms)
                        cluster.timeline.after(late_ms, self._take_if_alive, Errand(execution_id, read, _nothing))
            case StoreInput(stage_id=stage_id, storage_key=storage_key, content=content):
                ref = BlobRef(
                    storage_type=StorageType.OBJECT, storage_key=storage_key, size_bytes=len(content), sha256="0" * 64
                )
                cluster.blobs[storage_key] = msgspec.json.decode(content)
                self.take(Errand(execution_id, InputStored(stage_id=stage_id, input_ref=ref), _nothing))


class Cluster:
    """All replicas, and what they share."""

    def __init__(
        self,
        *,
        timeline: Timeline,
        weather: Weather,
        broker: Broker,
        record: Record,
        truth: Truth,
        shapes: Shapes,
        without: Mechanism | None,
    ) -> None:
        self.timeline = timeline
        self.weather = weather
        self.record = record
        self.truth = truth
        self.blobs: dict[str, Any] = {}
        self.offer_to_worker: Callable[[Offer], None] = _nothing
        self.tell_workers: Callable[[ControlMessage], None] = _nothing
        self.tell_clients: Callable[[ExecutionEvent, int], None] = _nothing
        self.tell_deciders: Callable[[ProviderCall], None] = _nothing
        self._broker = broker
        self._shapes = shapes
        self._without = without
        self._replicas = [Replica(f"replica {number}", self) for number in range(weather.replicas)]
        self._sweeps: dict[str, int] = {}
        paid_is_free = without is Mechanism.CLAIMS
        self._free_actions = frozenset({(WORKER, FREE), (WORKER, PAID)} if paid_is_free else {(WORKER, FREE)})
        broker.consume(Queue.REPORTS, self._take_reports)
        broker.consume(Queue.USAGE, self._take_usage)

    def ask(
        self,
        execution_id: str,
        happening: Happening | ExecutionOrdered,
        then: Then,
        committed: Callable[[], None] | None = None,
    ) -> None:
        """A question to any replica. `then` is called once: with the answer, or with None when there is none in time."""
        is_open = True

        def answered(applied: Applied | None) -> None:
            nonlocal is_open
            if is_open:
                is_open = False
                then(applied)

        def replied(applied: Applied | None) -> None:
            if not self.timeline.happens(self.weather.lost_answer):
                self.timeline.after(self.timeline.between(1, 10), answered, applied)

        replica = self._anybody()
        if replica is not None:
            replica.take(Errand(execution_id, happening, replied, committed))
        self.timeline.after(ANSWER_MS, answered, None)

    def tell(self, relay: Relay, message: ReportsTold, then: Callable[[bool], None]) -> None:
        """Reports for the replica that has offered their packets. `then` is called once: with whether all are applied."""
        is_open = True

        def answered(are_applied: bool) -> None:
            nonlocal is_open
            if is_open:
                is_open = False
                then(are_applied)

        def replied(are_applied: bool) -> None:
            if are_applied:
                for told in message.told:
                    relay.has_come_of(told.report.packet_id)
            if not self.timeline.happens(self.weather.lost_answer):
                self.timeline.after(self.timeline.between(1, 10), answered, are_applied)

        replica = next((each for each in self._replicas if each.relay is relay and each.is_alive), None)
        if replica is None:
            self.timeline.after(self.timeline.between(1, 10), answered, False)
            return
        self.timeline.after(REPORT_ANSWER_MS, answered, False)
        if not self.timeline.happens(self.weather.lost_offer):
            self._apply_all(replica, [self._reported(told) for told in message.told], replied)

    def relay_of(self, replica: Replica) -> Relay:
        def tell_core(packet: WorkPacket, settle: Callable[[bool], None]) -> None:
            untold = PacketUntold(stage_id=packet.stage_id, packet_id=packet.packet_id)
            replica.take(Errand(packet.execution_id, untold, lambda applied: settle(applied is not None)))

        return Relay(
            timeline=self.timeline,
            broker=self._broker,
            truth=self.truth,
            without=self._without,
            offer=lambda offer: self.offer_to_worker(offer),
            tell_core=tell_core,
            delete=self.record.delete,
        )

    def start(self, dead: Replica) -> None:
        """A new process in the place of a dead one; the dead one's name is kept for the trace."""
        self._replicas[self._replicas.index(dead)] = Replica(dead.name, self)

    def work_out(
        self, batch: Sequence[Errand], found: Mapping[str, Execution], at_ms: int
    ) -> tuple[Sequence[Errand], list[Worked]]:
        """The batch that is left, and what the core made of it."""
        if self.timeline.is_traced:
            for errand in batch:
                self.timeline.note(f"step {errand.execution_id} {_told(errand.happening)}")
        if self._without in CHANGES_STATES:
            change = CHANGES_STATES[self._without]
            found = {execution_id: change(execution) for execution_id, execution in found.items()}
        if self._without in CHANGES_HAPPENINGS:
            forge = CHANGES_HAPPENINGS[self._without]
            for errand in batch:
                execution = found.get(errand.execution_id)
                if execution is not None and not isinstance(errand.happening, ExecutionOrdered):
                    errand.happening = forge(errand.happening, execution)
        if self._without is Mechanism.CLAIM_LEASE:
            batch = [errand for errand in batch if not self._granted_again(errand, found.get(errand.execution_id))]
        return batch, work_out(batch, found, self._circumstances_at(at_ms))

    def store(self, batch: Sequence[Errand], worked: Sequence[Worked], decided: Decided) -> Committed:
        committed = self.record.commit(decided, self.timeline.now)
        if committed.stale or committed.denied:
            return committed
        for errand in batch:
            if errand.committed is not None:
                errand.committed()
        for revision in decided.revisions:
            for told in revision.events:
                self.tell_clients(told.event, told.leg)
        for call in decided.calls:
            self.tell_deciders(call)
        for revision in decided.revisions:
            execution = revision.after.execution
            self.truth.envelopes[execution.execution_id] = usd(execution.max_cost_usd)
            self.truth.windows[execution.execution_id] = execution.account.window
        for each in worked:
            self._note_signs_of_life(each)
            self._must_offer_nothing_while_paused(each)
            self._must_not_have_forgotten(each)
            if each.execution is not None:
                self._must_wait_for_something(each.execution)
                self._sweep_when_due(each.execution_id)
        if committed.outbox_id is None:
            return committed
        if self._without is Mechanism.OUTBOX:
            del self.record.outbox[committed.outbox_id]
            return msgspec.structs.replace(committed, outbox_id=None)
        self._adopt_later(committed.outbox_id)
        return committed

    def publish(
        self, messages: Sequence[Outgoing], replica: Replica, outbox_id: int | None = None, new_packets: Collection[str] = ()
    ) -> bool:
        """False when the replica died before the last one was out."""
        for message in messages:
            if replica.crashes():
                return False
            assert message.message_id is not None
            if message.subject == _WORK:
                packet = _PACKETS.decode(message.payload)
                if self._without is Mechanism.CLAIMS and packet.action == PAID:
                    packet = msgspec.structs.replace(packet, grant=Grant(max_cost_usd=MAX_ATTEMPT_COST_USD))
                replica.relay.send(packet, outbox_id, is_new=packet.packet_id in new_packets)
            elif message.subject.startswith(_EVENT_SUBJECT):
                self._broker.publish_events(each.id for each in _EVENTS.decode(message.payload))
        return True

    def load(self, stage_id: str, refs: dict[str, BlobRef]) -> Happening:
        if self.timeline.happens(self.weather.failure / 20):
            return InputUnavailable(stage_id=stage_id, code="blob_missing", message="the bytes are gone")
        return OutputsLoaded(
            stage_id=stage_id,
            outputs={name: LoadedOutput(sha256=ref.sha256, value=self.blobs[ref.storage_key]) for name, ref in refs.items()},
        )

    def follow_up_ms(self) -> int:
        """How long a store takes; on a bad day so long that it is asked again meanwhile, and then answers both."""
        slow = self.timeline.happens(self.weather.slow_store)
        return self.timeline.between(1, 20_000 if slow else 50)

    def _anybody(self) -> Replica | None:
        alive = [replica for replica in self._replicas if replica.is_alive]
        return alive[int(self.timeline.chance.random() * len(alive))] if alive else None

    def _circumstances_at(self, at_ms: int) -> CircumstancesOf:
        def circumstances_of(owner: str, name: str, version: str, client_id: str) -> Circumstances:
            return Circumstances(
                at_ms=at_ms,
                plan=self._shapes.plans.of_execution(owner, name, version),
                free_actions=self._free_actions,
                live_workers=_LIVE_WORKERS,
                max_attempt_cost_usd=MAX_ATTEMPT_COST_USD,
                patience=PATIENCE,
            )

        return circumstances_of

    def _note_signs_of_life(self, worked: Worked) -> None:
        """Losses first: a claim that takes a silent attempt's place is itself a sign of the next one."""
        for ended in attempts_of([worked]):
            record = ended.record
            self._must_have_begun(record)
            if record.failure_code == WORKER_LOST:
                attempt = (record.execution_id, record.stage_id, record.attempt)
                longest_ms = (record.timeout_ms or 0) + PATIENCE.timeout_slack_ms - TOLERANCE_MS
                lease_ms = PATIENCE.lease_ms - TOLERANCE_MS
                self.truth.was_lost(attempt, self.timeline.now, lease_ms=lease_ms, longest_ms=longest_ms)
        for arrival, applied in worked.applied:
            happening = arrival.happening
            if isinstance(happening, AttemptProgressed) and isinstance(applied.answer, Proceed):
                attempt = (arrival.execution_id, happening.stage_id, happening.attempt)
                self.truth.showed_itself(attempt, self.timeline.now)
            elif isinstance(happening, AttemptClaimed) and isinstance(applied.answer, Granted):
                attempt = (arrival.execution_id, happening.stage_id, applied.answer.attempt)
                self.truth.showed_itself(attempt, self.timeline.now)
                self._must_be_covered(worked.execution)

    def _must_be_covered(self, execution: Execution | None) -> None:
        if execution is not None:
            grants = {
                (execution.execution_id, stage_id, run.attempt): usd(run.grant.max_cost_usd)
                for stage_id, run in execution.stages.items()
                if run.grant is not None and run.attempt > run.ended and not run.status.is_final
            }
            self.truth.must_be_covered(execution.execution_id, grants)

    def _must_have_begun(self, record: PerformanceRecord) -> None:
        """What waits to be alone is neither blamed for its worker's end nor for the time that it waits."""
        if record.failure_code in (WORKER_LOST, "timeout"):
            attempt = (record.execution_id, record.stage_id, record.attempt)
            if attempt in self.truth.waiting:
                self.truth.violated("alone", f"{attempt} ended by {record.failure_code} before it began")

    def _must_offer_nothing_while_paused(self, worked: Worked) -> None:
        is_paused = worked.before is not None and worked.before.status is ExecutionStatus.PAUSED
        for command in worked.commands:
            if isinstance(command, DispatchPacket):
                if is_paused:
                    self.truth.violated("paused", f"{command.packet.packet_id} is offered during a pause")
            elif isinstance(command, EmitEvent):
                data = command.event.data
                if isinstance(data, WorkflowPaused):
                    is_paused = True
                elif is_paused and isinstance(data, WorkflowResumed | CompensationStarted):
                    is_paused = False

    def _must_not_have_forgotten(self, worked: Worked) -> None:
        """Patience is for what waits at the broker, or was lost there. What never came so far is found much sooner."""
        for command in worked.commands:
            if isinstance(command, DispatchPacket) and command.is_repeated and worked.before is not None:
                packet = command.packet
                before = worked.before.stages[packet.stage_id]
                earlier = packet_id(packet.execution_id, packet.stage_id, before.dispatches)
                if earlier != packet.packet_id and self._has_forgotten(earlier, before.due_at or 0):
                    self.truth.violated("forgotten", f"{earlier} was never stored, and nobody saw after it")

    def _has_forgotten(self, offered: str, due_at: int) -> bool:
        """Whether its patience has come to its end, and not because a pause has."""
        offered_at = self.truth.offered_at.get(offered)
        if offered_at is None or offered in self.truth.found_packets or due_at < offered_at + PATIENCE.unclaimed_ms // 2:
            return False
        rows = [key for key, row in self.record.outbox.items() if any(each.packet_id == offered for each in row.packets)]
        # A row that is nobody's is going to be adopted, if not by the one who died over that.
        return all(any(each.is_alive and each.relay.holds(row) for each in self._replicas) for row in rows)

    def _must_wait_for_something(self, execution: Execution) -> None:
        """An execution whose only hope is its deadline has been forgotten, unless it is held."""
        if execution.status not in _WORKS:
            return
        if all(run.due_at is None or run.status.is_final for run in execution.stages.values()):
            self.truth.violated("waits", f"{execution.execution_id} waits for nothing but its deadline")

    def _granted_again(self, errand: Errand, execution: Execution | None) -> bool:
        if isinstance(errand.happening, ExecutionOrdered):
            return False
        grant = granted_again(errand.happening, execution)
        if grant is not None:
            errand.then(Applied(answer=grant))
        return grant is not None

    def _adopt_later(self, outbox_id: int) -> None:
        self.timeline.after(ADOPT_AFTER_MS + self.timeline.between(0, 1_000), self._adopt, outbox_id)

    def _adopt(self, outbox_id: int) -> None:
        """By any replica but the one that still sees after it."""
        row = self.record.outbox.get(outbox_id)
        if row is None:
            return
        # Whoever adopts it may die over it.
        self._adopt_later(outbox_id)
        replica = self._anybody()
        if replica is None or replica.relay.holds(outbox_id) or not self.publish(row.messages, replica) or replica.crashes():
            return
        told: list[Applied] = []

        def settle(applied: Applied | None) -> None:
            if applied is not None:
                told.append(applied)
            if len(told) == len(row.packets) and not replica.crashes():
                self.record.outbox.pop(outbox_id, None)

        for packet in row.packets:
            untold = PacketUntold(stage_id=packet.stage_id, packet_id=packet.packet_id)
            replica.take(Errand(packet.execution_id, untold, settle))
        if not row.packets:
            del self.record.outbox[outbox_id]

    def _sweep_when_due(self, execution_id: str) -> None:
        due = self.record.wakes.get(execution_id)
        if due is None or self._without is Mechanism.SWEEPER:
            return
        planned = self._sweeps.get(execution_id)
        if planned is None or due < planned:
            self._sweeps[execution_id] = due
            delay = max(0, due - self.timeline.now) + self.timeline.between(0, SWEEP_MS)
            self.timeline.after(delay, self._sweep, execution_id, due)

    def _sweep(self, execution_id: str, planned: int) -> None:
        """Wake it when it is due, and look again: whoever was asked to may have died over it."""
        if self._sweeps.get(execution_id) != planned:
            return  # an earlier look has taken its place
        del self._sweeps[execution_id]
        due = self.record.wakes.get(execution_id)
        if due is None:
            return
        if due > self.timeline.now:
            self._sweep_when_due(execution_id)
            return
        replica = self._anybody()
        if replica is not None:
            replica.take(Errand(execution_id, TimePassed(), _nothing))
        again = self._sweeps[execution_id] = self.timeline.now + SWEEP_MS
        self.timeline.after(SWEEP_MS, self._sweep, execution_id, again)

    def _take_reports(self, delivery: Delivery) -> bool:
        message: ReportsTold = delivery.payload
        self.truth.seen["reports together"] += len(message.told) > 1
        return self._take(delivery, [self._reported(told) for told in message.told])

    def _reported(self, told: ReportTold) -> "_Arrived":
        report = told.report

        def committed() -> None:
            if isinstance(report, Completed | Failed):
                key = (report.execution_id, report.stage_id, report.attempt)
                self.truth.report_was_told(key, told.calls)
            elif isinstance(report, Declined):
                self.truth.found_packets.add(report.packet_id)

        return report.execution_id, happening_of(report, self.blobs), committed

    def _take_usage(self, delivery: Delivery) -> bool:
        booked = delivery.payload.booked

        def committed() -> None:
            self.truth.call_was_told(booked.call)

        return self._take(delivery, [(booked.call.execution_id, booked, committed)])

    def _take(self, delivery: Delivery, arrived: "Sequence[_Arrived]") -> bool:
        """All of a message by one replica; it comes again as a whole when one of them could not be stored."""
        replica = self._anybody()
        if replica is None:
            return False

        def settle(are_applied: bool) -> None:
            if are_applied:
                delivery.ack()
            else:
                delivery.retry_later(RETRY_MS)

        self._apply_all(replica, arrived, settle)
        return True

    def _apply_all(self, replica: Replica, arrived: "Sequence[_Arrived]", then: Callable[[bool], None]) -> None:
        """Each by itself. `then` takes whether all of them are committed."""
        answers: list[Applied | None] = []

        def settle(applied: Applied | None) -> None:
            answers.append(applied)
            if len(answers) == len(arrived):
                then(None not in answers)

        if self._without is Mechanism.ACK_AFTER_COMMIT:
            then(True)
        for execution_id, happening, committed in arrived:
            if self._without is Mechanism.ACK_AFTER_COMMIT:
                committed()
            replica.take(Errand(execution_id, happening, settle, committed))


_Arrived = tuple[str, Happening, Callable[[], None]]
"""What happened to which execution, and what is to be noted once that is committed."""


def happening_of(report: Report, blobs: dict[str, Any]) -> Happening:
    match report:
        case Completed():
            return AttemptCompleted(
                stage_id=report.stage_id,
                attempt=report.attempt,
                worker_name=report.worker_name,
                output=report.output,
                value=output_of(report.output, blobs),
                metrics=report.metrics,
                quality_score=report.quality_score,
                element_count=report.element_count,
                summary=report.output_summary,
                calls=report.calls,
            )
        case Failed():
            return AttemptFailed(
                stage_id=report.stage_id,
                attempt=report.attempt,
                worker_name=report.worker_name,
                code=report.code,
                message=report.message,
                retryable=report.retryable,
                retry_after_ms=report.retry_after_ms,
                metrics=report.metrics,
                calls=report.calls,
            )
        case Declined():
            return PacketDeclined(
                stage_id=report.stage_id,
                packet_id=report.packet_id,
                worker_name=report.worker_name,
                message=report.message,
            )
        case Accepted():
            return _alive(report, 0)
        case Progress():
            return _alive(report, report.percent)


def output_of(output: BlobRef, blobs: dict[str, Any]) -> Any:
    return msgspec.json.decode(output.inline) if output.inline is not None else blobs[output.storage_key]


def _alive(report: Accepted | Progress, percent: int) -> AttemptProgressed:
    return AttemptProgressed(
        stage_id=report.stage_id, attempt=report.attempt, instance_id=report.instance_id, percent=percent, message=""
    )


def _no_trace(execution: Execution, stage_id: str | None) -> Mapping[str, str]:
    return {}


def _decided(at_ms: int, worked: Sequence[Worked], known: Mapping[str, Versioned], published: Sequence[int]) -> Decided:
    revisions = revisions_of(worked, known, at_ms, PATIENCE.most_held_ms)
    entries = [entry for revision in revisions for entry in entries_of(revision)]
    return Decided(
        checked={execution_id: seen.version for execution_id, seen in known.items()},
        revisions=revisions,
        entries=entries,
        attempts=attempts_of(worked),
        calls=calls_of(worked),
        settlements=settlements_of(worked),
        moves=moves_of(worked),
        messages=messages_of(worked, entries, _no_trace),
        packets=packets_of(worked),
        published=published,
    )


def _is_denied(errand: Errand, committed: Committed) -> bool:
    return errand.execution_id in committed.denied and asks_for_money(errand)


def _nothing(*_: object) -> None:
    return None


def _told(happening: Happening | ExecutionOrdered) -> str:
    """A happening on one line of the trace."""
    fields = ("stage_id", "attempt", "packet_id", "instance_id", "code", "percent")
    seen = [f"{name}={value}" for name in fields if (value := getattr(happening, name, None)) is not None]
    if isinstance(happening, CallBooked):
        seen.append(f"{happening.call.call_key} {happening.call.outcome} {happening.call.cost_usd}")
    return " ".join([type(happening).__name__, *seen])
