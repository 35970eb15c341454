"""Order a course by publishing one JSON message, and wait for its end. Any NATS client in any language can do the same.

.venv/bin/python samples/order_over_nats.py samples/beekeeping.md
"""

import asyncio
import json
import sys
from pathlib import Path

import nats


async def order(source: Path, data_folder: Path) -> None:
    """`data_folder` is that of the running factory: it holds the broker's address and the operator's password."""
    address = (data_folder / "nats.url").read_text().strip()
    client_id = json.loads((data_folder / "keys.json").read_text())["client_id"]
    connection = await nats.connect(address)
    ended = await connection.subscribe(f"aif.event.{client_id}.*.*")
    message = {
        "template": "content_granulation_course",
        "parameters": {"source_text": source.read_text(encoding="utf-8"), "granularityLevel": 3},
        "urgency_level": "normal",
        "idempotency_key": f"sample-{source.name}",
    }
    stored = await connection.jetstream().publish(f"aif.request.submit.{client_id}", json.dumps(message).encode())
    sys.stdout.write(f"stored as message {stored.seq} of stream {stored.stream}\n")
    async for event in ended.messages:
        told = json.loads(event.data)
        sys.stdout.write(f"{told['time']}  {told['data']['event_type']}  {told['subject']}\n")
        if told["data"]["event_type"] in ("WORKFLOW_COMPLETED", "WORKFLOW_FAILED", "WORKFLOW_CANCELLED"):
            break
    await connection.close()


if __name__ == "__main__":
    asyncio.run(order(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "var")))
