"""The workers: they claim, call, beat, report and acknowledge as the worker runtime does, and die or freeze at any step."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec.structs import replace

from aif_contracts.blobs import INLINE_LIMIT_BYTES, BlobRef, StorageType
from aif_contracts.metering import CallOutcome, CostLines, Metrics, ProviderCall, Purpose, Tokens
from aif_contracts.money import ZERO, usd, usd_text
from aif_contracts.packets import Cancelled, ControlMessage, Granted, Later, Proceed, Superseded, WorkPacket
from aif_contracts.reports import HANDED_BACK, Completed, Declined, Failed, Report
from aif_orchestrator.engine.arrivals import Applied
from aif_orchestrator.execution.claims import BUDGET_EXCEEDED
from aif_orchestrator.execution.happenings import AttemptClaimed, AttemptProgressed, CallBooked
from simulation.broker import ACK_WAIT_MS, Broker, Delivery, Queue
from simulation.mechanisms import Mechanism
from simulation.orchestrators import PATIENCE, Cluster, ReportsTold, ReportTold, UsageTold
from simulation.relays import Offer, Relay
from simulation.shapes import HIGHEST_MARK, PAID, WORKER
from simulation.timeline import Timeline
from simulation.truth import Truth
from simulation.weather import Weather

WORKERS = 3
SLOTS = 3
BEAT_MS = 10_000
FIRST_PROGRESS_MS = 200
CLAIM_AGAIN_MS = 500
ALONE_MS = 300
LONGEST_POST_MS = 300
"""How long a message of reports can be under way; what is ready meanwhile travels together after it."""
MOST_CALL_USD = Decimal("0.1")
MOST_DELIVERIES = 5
_SOME_TOKENS = Tokens(prompt_tokens=10, completion_tokens=5, total_tokens=15)

Step = Callable[["Hand"], None]


class Hand:
    """One delivery in a worker's hands."""

    def __init__(self, delivery: Delivery | Offer, now: int) -> None:
        self.delivery = delivery
        self.packet: WorkPacket = delivery.payload
        self.refreshed_at = now
        self.is_over = False
        """Let go: nothing more is done for it."""
        self.attempt = 0
        self.allowed_usd = "0"
        self.left = ZERO
        """What the attempt may still spend, in USD."""
        self.is_waiting = False
        """To be alone."""
        self.ends_at = 0
        """When the attempt's time is over, by the worker's clock."""
        self.steps: list[tuple[int, Step]] = []
        """What is left to do, the last first, each with its milliseconds after the beginning."""
        self.began_at = 0
        self.calls: list[ProviderCall] = []
        """That have ended."""
        self.under_way: ProviderCall | None = None
        """A call that is announced, or is going to be."""
        self.is_sent = False
        """The provider may have been asked it."""
        self.is_held_up = False
        """It waits for the attempt to be surely ours."""
        self.asked_at = now
        self.confirmed_at = now
        """When the question was asked whose answer said last that the attempt is ours."""
        self.percent = 0
        self.stopped_by: str | None = None
        self.claim_id = ""
        """While it is being asked for."""
        self.is_alone = False
        """Or is to be."""
        self.told: ReportTold | None = None
        """How it ended."""


class Worker:
    def __init__(self, place: int, life: int, workshop: "Workshop") -> None:
        self.instance_id = f"{WORKER}_{place}.{life}"
        self.hands: list[Hand] = []
        self.is_alive = True
        self._place = place
        self._life = life
        self._shop = workshop
        self._frozen_until = 0
        self._claims: dict[str, str] = {}
        """Names of claims that have not been answered for good, to be used again, by packet."""
        self._claimed_so_far = 0
        self._post: list[Hand] = []
        """Whose reports wait for their message."""

    def take(self, delivery: Delivery | Offer) -> bool:
        in_slots = sum(hand.told is None for hand in self.hands)
        if not self.is_alive or in_slots >= SLOTS or any(hand.is_alone for hand in self.hands):
            return False
        hand = Hand(delivery, self._now)
        self.hands.append(hand)
        self._soon(self._timeline.between(0, 3), self._attend, hand)
        self._soon(BEAT_MS, self._beat, hand)
        return True

    def hear(self, offer: Offer) -> None:
        """Take it at once or refuse it; a worker that is frozen does so when it thaws, and a dead one is silent."""
        if not self.is_alive:
            return
        if self._now < self._frozen_until:
            self._timeline.after(self._frozen_until - self._now, self.hear, offer)
        elif not self.take(offer):
            offer.refuse()

    def obey(self, message: ControlMessage) -> None:
        for hand in tuple(self.hands):
            meant = message.stage_id in (None, hand.packet.stage_id) and message.attempt in (None, hand.attempt)
            if meant and hand.packet.execution_id == message.execution_id:
                self._soon(1, self._stop, hand, "cancelled")

    @property
    def _timeline(self) -> Timeline:
        return self._shop.timeline

    @property
    def _now(self) -> int:
        return self._shop.timeline.now

    def _soon(self, delay_ms: int, act: Callable[..., None], hand: Hand, *given: Any) -> None:
        self._timeline.after(delay_ms, self._go_on, act, hand, given)

    def _go_on(self, act: Callable[..., None], hand: Hand, given: tuple[Any, ...]) -> None:
        """Any step may be the worker's last one, or be done long after its time."""
        if not self.is_alive or hand.is_over:
            return
        if self._now < self._frozen_until:
            self._timeline.after(self._frozen_until - self._now, self._go_on, act, hand, given)
            return
        if self._dies():
            return
        if self._timeline.happens(self._shop.weather.freeze):
            self._frozen_until = self._now + self._timeline.between(2_000, 120_000)
            self._timeline.note(f"{self.instance_id} FREEZES for {self._frozen_until - self._now} ms")
            self._timeline.after(self._frozen_until - self._now, self._go_on, act, hand, given)
            return
        act(hand, *given)

    def _dies(self) -> bool:
        if not self._timeline.happens(self._shop.weather.death):
            return False
        self._timeline.note(f"{self.instance_id} DIES")
        self.is_alive = False
        self.hands = []
        self._timeline.after(self._timeline.between(100, 5_000), self._shop.hire, self._place, self._life + 1)
        return True

    def _attend(self, hand: Hand) -> None:
        packet, number = hand.packet, hand.delivery.number
        hand.asked_at = self._now
        if self._has_lost(hand):
            self._let_go(hand)
        elif number > MOST_DELIVERIES:
            self._ack(hand)
        elif self._timeline.happens(self._shop.weather.decline):
            self._decline(hand)
        elif packet.grant is not None and packet.attempt > 0 and number == 1:
            if self._is_unsettled(packet):
                self._ack(hand)
                return
            self._begin(hand, packet.attempt, packet.grant.max_cost_usd, packet.control.timeout_ms)
        else:
            self._claim(hand, 1)

    def _is_unsettled(self, packet: WorkPacket) -> bool:
        """It was offered to us, and stored as well by somebody who did not know that we have it."""
        return any(hand.packet.packet_id == packet.packet_id and hand.attempt == packet.attempt for hand in self.hands)

    def _claim(self, hand: Hand, times: int) -> None:
        """Ask, and once more under the same name when no answer comes: the attempt may be ours already."""
        packet = hand.packet
        if not hand.claim_id:
            # Another delivery of the packet that is being asked for here is not to get the same attempt.
            hand.claim_id = self._claims.pop(packet.packet_id, "") or self._new_claim_id()
        claim = AttemptClaimed(
            stage_id=packet.stage_id,
            packet_id=packet.packet_id,
            instance_id=self.instance_id,
            claim_id=hand.claim_id,
            is_first_delivery=hand.delivery.number == 1,
        )
        self._shop.cluster.ask(packet.execution_id, claim, lambda applied: self._soon(0, self._claimed, hand, applied, times))

    def _new_claim_id(self) -> str:
        self._claimed_so_far += 1
        return f"claim_{self._claimed_so_far}_of_{self.instance_id}"

    def _claimed(self, hand: Hand, applied: Applied | None, times: int) -> None:
        answer = applied.answer if applied is not None else None
        if answer is None and times == 1:
            self._soon(CLAIM_AGAIN_MS, self._claim, hand, 2)
            return
        if isinstance(answer, Later | None):
            self._claims[hand.packet.packet_id] = hand.claim_id
        hand.claim_id = ""
        match answer:
            case Granted(attempt=attempt, grant=grant, timeout_ms=timeout_ms, alone=alone):
                key = (hand.packet.execution_id, hand.packet.stage_id, attempt)
                self._shop.truth.was_granted(key, hand.packet.packet_id, self.instance_id)
                hand.attempt = attempt
                if alone:
                    self._wait_to_be_alone(hand, grant.max_cost_usd, timeout_ms)
                else:
                    self._begin(hand, attempt, grant.max_cost_usd, timeout_ms)
            case Later(retry_after_ms=wait_ms):
                self._put_off(hand, wait_ms)
            case Superseded() | Cancelled():
                self._ack(hand)
            case _ if isinstance(hand.delivery, Offer):
                # Whoever has offered it may have let it go by now.
                self._soon(CLAIM_AGAIN_MS, self._attend, hand)
            case _:
                self._put_off(hand, min(1_000 * 2 ** (hand.delivery.number - 1), 30_000))

    def _wait_to_be_alone(self, hand: Hand, allowed_usd: str, timeout_ms: int) -> None:
        """Nothing new is taken any more. When what is under way has ended and the orchestrator knows, the attempt begins."""
        if hand.stopped_by is not None:
            return
        attempt = (hand.packet.execution_id, hand.packet.stage_id, hand.attempt)
        if not hand.is_alone:
            self._shop.truth.seen["alone"] += 1
            self._shop.truth.waiting.add(attempt)
            hand.is_alone = hand.is_waiting = True
            hand.began_at = self._now
        if any(other.attempt and not other.is_waiting for other in self.hands):
            self._soon(ALONE_MS, self._wait_to_be_alone, hand, allowed_usd, timeout_ms)
            return

        self._shop.truth.waiting.discard(attempt)

        told_at = self._now

        def told(applied: Applied | None) -> None:
            self._soon(0, self._alone, hand, applied, told_at, allowed_usd, timeout_ms)

        self._shop.cluster.ask(hand.packet.execution_id, self._progress_of(hand, is_waiting=False), told)

    def _alone(self, hand: Hand, applied: Applied | None, told_at: int, allowed_usd: str, timeout_ms: int) -> None:
        self._told(hand, applied, told_at)
        if applied is None or any(other.attempt and not other.is_waiting for other in self.hands):
            self._soon(ALONE_MS, self._wait_to_be_alone, hand, allowed_usd, timeout_ms)
        elif hand.stopped_by is None:
            hand.is_waiting = False
            self._begin(hand, hand.attempt, allowed_usd, timeout_ms)

    def _begin(self, hand: Hand, attempt: int, allowed_usd: str, timeout_ms: int) -> None:
        self._timeline.note(f"{self.instance_id} begins attempt {attempt} of {hand.packet.execution_id}.{hand.packet.stage_id}")
        hand.attempt = attempt
        hand.confirmed_at = max(hand.confirmed_at, hand.asked_at)
        hand.allowed_usd = allowed_usd
        hand.left = usd(allowed_usd)
        hand.began_at = self._now
        duration = self._shop.duration_ms(timeout_ms)
        hand.ends_at = self._now + timeout_ms
        steps: list[tuple[int, Step]] = [(min(duration, timeout_ms), self._finish)]
        if duration > FIRST_PROGRESS_MS:
            steps.append((FIRST_PROGRESS_MS, self._tell))
        if hand.packet.action == PAID:
            for _ in range(self._timeline.chance.choice((1, 1, 2, 3))):
                steps.append((self._timeline.between(0, min(duration, timeout_ms) - 1), self._call))
        hand.steps = sorted(steps, key=lambda step: step[0], reverse=True)
        self._continue(hand)

    def _continue(self, hand: Hand) -> None:
        if hand.stopped_by is not None:
            return
        at_ms, step = hand.steps.pop()
        self._soon(max(0, hand.began_at + at_ms - self._now), step, hand)

    def _tell(self, hand: Hand) -> None:
        self._progress(hand)
        self._continue(hand)

    def _beat(self, hand: Hand) -> None:
        """Keep the delivery ours at the broker, and the attempt ours at the orchestrator."""
        if not self._has_lost(hand):
            hand.delivery.still_working()
            hand.refreshed_at = self._now
        if hand.attempt and hand.told is None:
            self._progress(hand)
        self._soon(BEAT_MS, self._beat, hand)

    def _progress(self, hand: Hand) -> None:
        hand.percent = min(99, hand.percent + self._timeline.between(0, 30))
        news = self._progress_of(hand, is_waiting=hand.is_waiting)
        told_at = self._now

        def told(applied: Applied | None) -> None:
            self._soon(0, self._told, hand, applied, told_at)

        self._shop.cluster.ask(hand.packet.execution_id, news, told)

    def _progress_of(self, hand: Hand, *, is_waiting: bool) -> AttemptProgressed:
        return AttemptProgressed(
            stage_id=hand.packet.stage_id,
            attempt=hand.attempt,
            instance_id=self.instance_id,
            percent=hand.percent,
            message="",
            is_waiting=is_waiting,
        )

    def _told(self, hand: Hand, applied: Applied | None, told_at: int) -> None:
        answer = applied.answer if applied is not None else None
        if isinstance(answer, Proceed):
            hand.confirmed_at = max(hand.confirmed_at, told_at)
            if hand.is_held_up:
                hand.is_held_up = False
                self._announce(hand)
        elif isinstance(answer, Superseded):
            self._stop(hand, "superseded")
        elif isinstance(answer, Cancelled):
            self._stop(hand, "cancelled")

    def _stop(self, hand: Hand, reason: str) -> None:
        """What is left of the work is dropped, and the end is reported."""
        is_at_work = hand.attempt and (hand.steps or hand.is_waiting or hand.under_way) and hand.told is None
        if is_at_work and hand.stopped_by is None:
            hand.stopped_by = reason
            hand.steps = []
            self._soon(1, self._finish, hand)

    def _call(self, hand: Hand) -> None:
        """Not beyond what is granted: then the attempt ends, and says why."""
        if hand.stopped_by is not None:
            return
        if hand.left < MOST_CALL_USD:
            self._stop(hand, BUDGET_EXCEEDED)
            return
        hand.left -= MOST_CALL_USD
        hand.under_way = self._shop.planned_call(hand.attempt, len(hand.calls) + 1, hand.packet)
        hand.is_sent = False
        self._announce(hand)

    def _announce(self, hand: Hand) -> None:
        """Before the provider is asked, so that nobody has to guess what a worker was doing that is gone."""
        call = hand.under_way
        if hand.stopped_by is not None or call is None or self._is_held_up(hand):
            return
        if self._shop.without is not Mechanism.ANNOUNCING:
            self._shop.announce(call)
        self._soon(self._timeline.between(0, 3), self._send, hand)

    def _send(self, hand: Hand) -> None:
        """Not when the announcement took so long that it may be somebody else's attempt by now."""
        if hand.stopped_by is None and not self._is_held_up(hand):
            hand.is_sent = True
            self._soon(0, self._bill, hand)

    def _is_held_up(self, hand: Hand) -> bool:
        """Until the attempt is confirmed anew; not beyond its time."""
        is_sure = self._now - hand.confirmed_at < PATIENCE.lease_ms and self._now < hand.ends_at
        if is_sure or self._shop.without is Mechanism.CONFIRMED:
            return False
        self._shop.truth.seen["held up"] += 1
        hand.is_held_up = True
        self._soon(max(0, hand.ends_at - self._now), self._finish_held_up, hand)
        return True

    def _finish_held_up(self, hand: Hand) -> None:
        if hand.is_held_up and self._now >= hand.ends_at:
            self._finish(hand)

    def _bill(self, hand: Hand) -> None:
        call = hand.under_way
        assert call is not None, "what is sent is under way until it has ended"
        cost = usd(f"0.{self._timeline.between(20_000, 99_999):06d}")
        self._shop.truth.was_billed(call, cost, self.instance_id, hand.allowed_usd)
        slow = self._timeline.happens(0.05)
        self._soon(self._timeline.between(1, 5_000 if slow else 50), self._hear_from_provider, hand, cost)

    def _hear_from_provider(self, hand: Hand, cost: Decimal) -> None:
        """Now and then no answer arrives, and what was billed stays in doubt."""
        if hand.stopped_by is not None:
            return
        if self._timeline.happens(self._shop.weather.failure / 10):
            self._end_call(hand, CallOutcome.IN_DOUBT, None)
        else:
            hand.left += MOST_CALL_USD - cost
            self._end_call(hand, CallOutcome.ANSWERED, cost)
        if not self._dies():
            self._continue(hand)

    def _end_call(self, hand: Hand, outcome: CallOutcome, cost: Decimal | None) -> None:
        started = hand.under_way
        assert started is not None, "only a call that is under way ends"
        call = replace(started, outcome=outcome, cost_usd=None if cost is None else usd_text(cost), tokens=_SOME_TOKENS)
        hand.under_way = None
        hand.calls.append(call)
        if not self._dies():
            self._shop.tell(call, call.call_key)

    def _finish(self, hand: Hand) -> None:
        if hand.is_over or hand.told is not None:
            return
        timeline, shop = self._timeline, self._shop
        hand.steps = []
        hand.is_held_up = False
        if hand.under_way is not None:
            if hand.is_sent:
                self._end_call(hand, CallOutcome.IN_DOUBT, None)
            else:
                self._end_call(hand, CallOutcome.CANCELLED, ZERO)
        if not self.is_alive:
            return
        if hand.stopped_by is None and timeline.happens(shop.weather.hand_back):
            hand.stopped_by = HANDED_BACK
        report = shop.report(hand, self.instance_id, self._now)
        key = (hand.packet.execution_id, hand.packet.stage_id, hand.attempt)
        shop.truth.said.setdefault(key, set()).add(type(report))
        timeline.note(f"{self.instance_id} reports {type(report).__name__} of {report.execution_id}.{report.stage_id}")
        hand.told = ReportTold(report=report, calls=tuple(hand.calls))
        self._send_soon(hand)

    def _decline(self, hand: Hand) -> None:
        packet = hand.packet
        report = Declined(
            packet_id=packet.packet_id,
            execution_id=packet.execution_id,
            stage_id=packet.stage_id,
            attempt=max(1, packet.attempt),
            worker_name=WORKER,
            instance_id=self.instance_id,
            code="unknown_action",
            message="not here",
        )
        hand.told = ReportTold(report=report)
        self._send_soon(hand)

    def _send_soon(self, hand: Hand) -> None:
        self._post.append(hand)
        if len(self._post) == 1:
            is_alone = self._timeline.happens(0.5)
            self._soon(0 if is_alone else self._timeline.between(0, LONGEST_POST_MS), self._send_together, hand)

    def _send_together(self, _: Hand) -> None:
        """To the replicas that have offered the packets; the others are stored."""
        hands, self._post = self._post, []
        together: dict[Relay | None, list[Hand]] = {}
        for hand in hands:
            delivery = hand.delivery
            together.setdefault(delivery.relay if isinstance(delivery, Offer) else None, []).append(hand)
        for relay, some in together.items():
            if relay is None:
                self._store_reports(some)
            else:
                self._tell_replica(relay, some)
            if not self.is_alive:
                return

    def _store_reports(self, hands: Sequence[Hand]) -> None:
        """And acknowledge the packets, each after the message with its report is stored."""
        told = _told_of(hands)
        self._shop.truth.found_packets.update(each.report.packet_id for each in told)
        names = [f"{each.report.execution_id}.{each.report.stage_id}.{each.report.attempt}" for each in told]
        self._shop.broker.publish(Queue.REPORTS, ReportsTold(told=told), f"{self.instance_id} {' '.join(names)}")
        self._ack_all(hands)

    def _tell_replica(self, relay: Relay, hands: Sequence[Hand]) -> None:
        def then(are_applied: bool) -> None:
            self._soon(0, self._heard_from_replica, hands[0], hands, are_applied)

        self._shop.cluster.tell(relay, ReportsTold(told=_told_of(hands)), then)

    def _heard_from_replica(self, _: Hand, hands: Sequence[Hand], are_applied: bool) -> None:
        if are_applied:
            self._shop.truth.seen["told directly"] += 1
            self._ack_all(hands)
        else:
            self._shop.truth.seen["stored after all"] += 1
            self._store_reports(hands)

    def _ack_all(self, hands: Sequence[Hand]) -> None:
        for hand in hands:
            if self._dies():
                return
            self._ack(hand)

    def _put_off(self, hand: Hand, wait_ms: int) -> None:
        """Have it delivered again later, or keep it when the broker's count runs out."""
        if hand.delivery.number >= MOST_DELIVERIES:
            self._soon(wait_ms, self._attend, hand)
        else:
            self._settle(hand, lambda: hand.delivery.retry_later(wait_ms))

    def _ack(self, hand: Hand) -> None:
        self._settle(hand, hand.delivery.ack)

    def _settle(self, hand: Hand, settle: Callable[[], None]) -> None:
        if not self._has_lost(hand):
            settle()
        self._let_go(hand)

    def _has_lost(self, hand: Hand) -> bool:
        """The broker may have given it to another; it never becomes ours again."""
        return self._now - hand.refreshed_at > ACK_WAIT_MS

    def _let_go(self, hand: Hand) -> None:
        hand.is_over = True
        if hand in self.hands:
            self.hands.remove(hand)


class Workshop:
    """All workers, the providers that they call, and what they make."""

    def __init__(
        self,
        *,
        timeline: Timeline,
        weather: Weather,
        broker: Broker,
        cluster: Cluster,
        truth: Truth,
        without: Mechanism | None,
    ) -> None:
        self.timeline = timeline
        self.weather = weather
        self.broker = broker
        self.cluster = cluster
        self.truth = truth
        self.without = without
        self._workers = [Worker(place, 1, self) for place in range(WORKERS)]
        self._made = 0
        broker.consume(Queue.WORK, self._take)
        cluster.offer_to_worker = self._offer
        cluster.tell_workers = self._tell_all

    def hire(self, place: int, life: int) -> None:
        self._workers[place] = Worker(place, life, self)

    def duration_ms(self, timeout_ms: int) -> int:
        if self.timeline.happens(self.weather.failure / 10):
            return timeout_ms + 1
        least, most = self.timeline.chance.choice(((5, 150), (5, 150), (5, 150), (500, 9_000), (9_000, 30_000)))
        return self.timeline.between(least, min(most, timeout_ms * 4 // 5))

    def planned_call(self, attempt: int, number: int, packet: WorkPacket) -> ProviderCall:
        return ProviderCall(
            call_key=f"{packet.execution_id}.{packet.stage_id}.{attempt}.{number}",
            execution_id=packet.execution_id,
            client_id=packet.context.client_id,
            stage_id=packet.stage_id,
            attempt=attempt,
            worker_name=WORKER,
            provider="oracle",
            model="oracle-1",
            purpose=Purpose.FIRST_TRY,
            outcome=CallOutcome.STARTED,
            upper_bound_usd=usd_text(MOST_CALL_USD),
        )

    def announce(self, call: ProviderCall) -> None:
        self.truth.was_announced(call)
        if self._is_given_back(call):
            self.truth.violated("announced in time", f"{call.call_key}: what its attempt had reserved is given back already")
        self.tell(call, f"{call.call_key}.started")

    def _is_given_back(self, call: ProviderCall) -> bool:
        row = self.cluster.record.rows[call.execution_id]
        run = row.execution.stages[call.stage_id]
        is_over = call.attempt <= run.ended or run.status.is_final
        return is_over and call.attempt not in run.reserved and call.attempt not in run.settled

    def tell(self, call: ProviderCall, message_id: str) -> None:
        self.broker.publish(Queue.USAGE, UsageTold(booked=CallBooked(call=call)), message_id)

    def report(self, hand: Hand, instance_id: str, now: int) -> Report:
        packet = hand.packet
        names: dict[str, Any] = {
            "packet_id": packet.packet_id,
            "execution_id": packet.execution_id,
            "stage_id": packet.stage_id,
            "attempt": hand.attempt,
            "worker_name": WORKER,
            "instance_id": instance_id,
            "metrics": _metrics(hand, now),
            "calls": tuple(hand.calls),
        }
        if hand.stopped_by is not None:
            return Failed(**names, code=hand.stopped_by, message="stopped", retryable=False)
        if now >= hand.ends_at:
            return Failed(**names, code="timeout", message="not done in time", retryable=True)
        if self.timeline.happens(self.weather.failure * 0.7):
            asked = self.timeline.between(0, 20_000) if self.timeline.happens(0.2) else None
            may_mend = not self.timeline.happens(0.1)
            return Failed(**names, code="provider_failed", message="no", retryable=may_mend, retry_after_ms=asked)
        self._made += 1
        value: dict[str, Any] = {
            "made": f"{packet.stage_id}.{hand.attempt}.{self._made}",
            "attempt": hand.attempt,
            "from": self._read(packet.data_ref),
            "mark": self.timeline.between(0, HIGHEST_MARK),
        }
        if self.timeline.happens(self.weather.failure * 0.3):
            value["made"] = ""
        quality = self.timeline.between(30, 100) / 100
        output = self._store(packet, value)
        self.truth.made[output.storage_key] = {**value, "quality_score": quality}
        return Completed(**names, output=output, quality_score=quality)

    def _read(self, ref: BlobRef) -> Any:
        given = msgspec.json.decode(ref.inline) if ref.inline is not None else self.cluster.blobs[ref.storage_key]
        return {name: value for name, value in given.items() if name != "text"}

    def _store(self, packet: WorkPacket, value: dict[str, Any]) -> BlobRef:
        content = msgspec.json.encode(value)
        inline = packet.inline_limit_bytes >= INLINE_LIMIT_BYTES and not self.timeline.happens(self.weather.large)
        key = f"data/{packet.execution_id}/{packet.stage_id}/output/{self._made}"
        if not inline:
            self.cluster.blobs[key] = value
        return BlobRef(
            storage_type=StorageType.INLINE if inline else StorageType.OBJECT,
            storage_key=key,
            size_bytes=len(content),
            sha256=f"{self._made:064x}",
            inline=content if inline else None,
        )

    def _take(self, delivery: Delivery) -> bool:
        first = int(self.timeline.chance.random() * WORKERS)
        return any(self._workers[(first + number) % WORKERS].take(delivery) for number in range(WORKERS))

    def _offer(self, offer: Offer) -> None:
        """To one of those who are there, at most once; if there is none, the broker itself refuses."""
        alive = [worker for worker in self._workers if worker.is_alive]
        if self.timeline.happens(self.weather.lost_offer):
            self.timeline.note(f"{offer.payload.packet_id} is lost")
        elif alive:
            worker = alive[int(self.timeline.chance.random() * len(alive))]
            self.timeline.after(self.timeline.between(1, 20), worker.hear, offer)
        else:
            offer.refuse()

    def _tell_all(self, message: ControlMessage) -> None:
        for worker in self._workers:
            worker.obey(message)


def _told_of(hands: Sequence[Hand]) -> tuple[ReportTold, ...]:
    return tuple(hand.told for hand in hands if hand.told is not None)


def _metrics(hand: Hand, now: int) -> Metrics:
    known = sum((usd(call.cost_usd) for call in hand.calls if call.cost_usd is not None), ZERO)
    is_complete = all(call.cost_usd is not None for call in hand.calls)
    return Metrics(
        cost_usd=usd_text(known) if is_complete else None,
        cost_lines=CostLines(ai_generation_usd=usd_text(known)),
        unanswered={call.call_key: call.upper_bound_usd or "0" for call in hand.calls if call.cost_usd is None},
        processing_time_ms=now - hand.began_at,
    )
