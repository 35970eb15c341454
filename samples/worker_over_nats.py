"""A worker that imports nothing of the factory: JSON over NATS, as a worker in any language would be. It counts words.

.venv/bin/python samples/worker_over_nats.py

counted_words.yaml is a pipeline that uses it. Its work takes a moment and costs nothing, so it gives no signs of life meanwhile
and books no calls to providers; nor does it take offers. The steps are those of shared/aif_runtime/README.md under "A worker in
another language".
"""

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NoAnswer
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.client import JetStreamContext

WORKER = "word_counter"
ACTION = "count"
INSTANCE = f"{WORKER}-{uuid.uuid4().hex}"
PRIORITIES = ("critical", "high", "normal", "low")
MOST_DELIVERIES = 20
ACK_WAIT_SECONDS = 30.0
NEEDED = {"packet_id", "execution_id", "stage_id", "action", "attempt", "grant", "data_ref", "inline_limit_bytes"}
REGISTERS_EVERY_SECONDS = 5.0


class WordCounter:
    def __init__(self, connection: Client, blobs: Path) -> None:
        self._connection = connection
        self._stream = connection.jetstream()
        self._blobs = blobs
        self._cancelled: set[str] = set()

    async def work(self) -> None:
        """Until it is ended. The most urgent packet that has come is next."""
        await self._connection.subscribe(f"aif.control.{WORKER}", cb=self._hear_of_cancel)
        queues = {priority: await self._queue(priority) for priority in PRIORITIES}
        waiting = {priority: asyncio.create_task(_next(queue)) for priority, queue in queues.items()}
        while True:
            await asyncio.wait(waiting.values(), return_when=asyncio.FIRST_COMPLETED)
            priority = next(each for each in PRIORITIES if waiting[each].done())
            message = waiting[priority].result()
            if message is not None:
                await self._take(message)
            waiting[priority] = asyncio.create_task(_next(queues[priority]))

    async def register(self) -> None:
        entry = {"worker_name": WORKER, "instance_id": INSTANCE, "version": "1", "actions": [{"name": ACTION, "paid": False}]}
        subject = f"$KV.aif_registry.{WORKER}.{INSTANCE}"
        await self._stream.publish(subject, json.dumps(entry).encode(), headers={"Nats-TTL": "15s"})

    async def stay_registered(self) -> None:
        """Whoever is silent for 15 s passes for gone."""
        while True:
            await asyncio.sleep(REGISTERS_EVERY_SECONDS)
            with contextlib.suppress(NoAnswer, nats.js.errors.Error):
                await self.register()

    async def _queue(self, priority: str) -> JetStreamContext.PullSubscription:
        name = f"{WORKER}_{priority}"
        config = ConsumerConfig(durable_name=name, ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT_SECONDS)
        return await self._stream.pull_subscribe(
            f"aif.work.{WORKER}.{priority}", durable=name, stream="AIF_WORK", config=config
        )

    async def _hear_of_cancel(self, message: Msg) -> None:
        told = json.loads(message.data)
        if told["action"] == "cancel":
            self._cancelled.add(told["execution_id"])

    async def _take(self, message: Msg) -> None:
        try:
            if message.metadata.num_delivered > MOST_DELIVERIES:
                raise ValueError("it came more than twenty times")
            packet = json.loads(message.data)
            if missing := NEEDED - packet.keys():
                raise ValueError(f"it has no {', '.join(sorted(missing))}")
            attempt, grant, execution_id = int(packet["attempt"]), packet["grant"], packet["execution_id"]
        except (ValueError, TypeError, AttributeError) as unreadable:
            await self._give_up(message, f"{type(unreadable).__name__}: {unreadable}")
            return
        is_first = message.metadata.num_delivered == 1 and execution_id not in self._cancelled
        if grant is None or attempt < 1 or not is_first:
            attempt = await self._claim(packet, message)
        if attempt is not None:
            await self._report({**self._made(packet), **_of(packet, attempt)})
            await message.ack_sync()

    async def _claim(self, packet: dict[str, Any], message: Msg) -> int | None:
        """The attempt that may begin; None when there is none now, and the message is answered."""
        claim = {each: packet[each] for each in ("packet_id", "execution_id", "stage_id")}
        claim |= {"instance_id": INSTANCE, "num_delivered": message.metadata.num_delivered, "claim_id": uuid.uuid4().hex}
        answer: dict[str, Any] = await self._ask("aif.orchestrator.claim", claim) or {"type": "later", "retry_after_ms": 5000}
        match answer["type"]:
            case "granted":
                # It does one packet at a time, so it is alone at once; that attempt begins when the orchestrator has heard so.
                sign = {**_of(packet, answer["attempt"]), "type": "progress", "percent": 0}
                if not answer.get("alone") or await self._ask("aif.orchestrator.progress", [sign]) == [{"type": "proceed"}]:
                    return int(answer["attempt"])
                await message.nak(delay=1)
            case "later":
                await message.nak(delay=answer["retry_after_ms"] / 1000)
            case _:
                await message.ack()
        return None

    async def _ask(self, subject: str, question: Any) -> Any:
        """The answer; None when there is none, also to the same question a second later."""
        for pause in (1, 0):
            with contextlib.suppress(NoAnswer, NoRespondersError):
                reply = await self._connection.request(subject, json.dumps(question).encode(), timeout=5)
                if reply.data:
                    return json.loads(reply.data)
            await asyncio.sleep(pause)
        return None

    def _made(self, packet: dict[str, Any]) -> dict[str, Any]:
        """What the report says of the work."""
        began, cpu_began = time.monotonic(), time.process_time()
        if packet["action"] != ACTION:
            return {"type": "declined", "code": "unknown_action", "message": f"{WORKER} has the action {ACTION} alone"}
        try:
            text = self._read(packet["data_ref"])["text"]
            output = self._stored(packet, json.dumps({"words": len(text.split())}).encode())
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as wrong:
            message = f"the input needs a `text` that can be read: {type(wrong).__name__}: {wrong}"
            return {"type": "failed", "code": "no_text", "message": message, "retryable": isinstance(wrong, OSError)}
        metrics = {
            "processing_time_ms": round((time.monotonic() - began) * 1000),
            "resource_usage": {"cpu_time_ms": round((time.process_time() - cpu_began) * 1000)},
        }
        return {"type": "completed", "output": output, "metrics": metrics, "output_summary": "words counted"}

    def _read(self, blob: dict[str, Any]) -> Any:
        if blob["storage_type"] == "INLINE":
            content = base64.b64decode(blob["inline"])
        else:
            content = (self._blobs / blob["storage_key"]).read_bytes()
        if hashlib.sha256(content).hexdigest() != blob["sha256"]:
            raise ValueError(f"{blob['storage_key']} holds other bytes than were stored")
        return json.loads(content)

    def _stored(self, packet: dict[str, Any], content: bytes) -> dict[str, Any]:
        """A reference that carries small content itself; what is larger is a file, moved to its place when it is whole."""
        digest = hashlib.sha256(content).hexdigest()
        key = f"data/{packet['execution_id']}/{packet['stage_id']}/output-{digest[:16]}"
        blob = {"storage_key": key, "size_bytes": len(content), "sha256": digest, "media_type": "application/json"}
        if len(content) <= packet["inline_limit_bytes"]:
            return blob | {"storage_type": "INLINE", "inline": base64.b64encode(content).decode()}
        place = self._blobs / key
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = place.with_name(f"{place.name}.{INSTANCE}")
        unfinished.write_bytes(content)
        os.replace(unfinished, place)
        return blob | {"storage_type": "OBJECT"}

    async def _report(self, report: dict[str, Any]) -> None:
        """Return when it is stored; until then the packet is not acknowledged."""
        content = json.dumps([report]).encode()
        # The same report stored twice is one message.
        headers = {"Nats-Msg-Id": hashlib.sha256(content).hexdigest()}
        while True:
            with contextlib.suppress(NoAnswer, nats.js.errors.Error):
                await self._stream.publish(f"aif.report.{WORKER}", content, headers=headers)
                return
            await asyncio.sleep(1)

    async def _give_up(self, message: Msg, reason: str) -> None:
        letter = {
            "subject": message.subject,
            "reason": reason,
            "payload": base64.b64encode(message.data).decode(),
            "headers": dict(message.headers or {}),
            "deliveries": message.metadata.num_delivered,
            "found_by": WORKER,
        }
        await self._stream.publish("aif.dead.work", json.dumps(letter).encode())
        await message.term()


async def _next(queue: JetStreamContext.PullSubscription) -> Msg | None:
    try:
        (message,) = await queue.fetch(1, timeout=20)
    except NoAnswer:
        return None
    return message


def _of(packet: dict[str, Any], attempt: int) -> dict[str, Any]:
    """What every word about an attempt begins with."""
    named = {each: packet[each] for each in ("packet_id", "execution_id", "stage_id")}
    return named | {"attempt": attempt, "worker_name": WORKER, "instance_id": INSTANCE}


async def run(address: str, blobs: Path) -> None:
    connection = await nats.connect(address, max_reconnect_attempts=-1)
    worker = WordCounter(connection, blobs)
    await worker.register()
    sys.stdout.write(f"{WORKER} works\n")
    sys.stdout.flush()
    await asyncio.gather(worker.work(), worker.stay_registered())


def main() -> int:
    """The data folder of the running factory holds the broker's address, with the operator's password, and the blobs."""
    parser = argparse.ArgumentParser(description="Count words for a factory, until Ctrl-C.")
    parser.add_argument("data_folder", type=Path, nargs="?", default=Path("var"), help="of a factory that runs; var without it")
    folder = parser.parse_args().data_folder
    try:
        address = (folder / "nats.url").read_text().strip()
    except OSError as unreadable:
        parser.error(f"{unreadable}: name the data folder of a factory that runs here")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(address, folder / "blobs"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
