"""Order a course by publishing one JSON message, and wait for its end. Any NATS client in any language can do the same.

.venv/bin/python samples/order_over_nats.py samples/beekeeping.md
"""

import argparse
import asyncio
import base64
import json
import sys
import uuid
from pathlib import Path

import nats
from nats.aio.msg import Msg

REFUSED = "aif.dead.requests"
ENDS = ("WORKFLOW_COMPLETED", "WORKFLOW_FAILED", "WORKFLOW_CANCELLED")


async def place_order(name: str, text: str, *, address: str, client_id: str) -> int:
    """The exit code: 0 when it has ended, 1 when it was refused, which only the factory's operator hears over NATS."""
    connection = await nats.connect(address)
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    await connection.subscribe(f"aif.event.{client_id}.*.*", cb=heard.put)
    await connection.subscribe(REFUSED, cb=heard.put)
    # Sent again under the same key it would be the same order, not a second one.
    key = f"{name}-{uuid.uuid4()}"
    order = {
        "idempotency_key": key,
        "template": "content_granulation_course",
        "parameters": {"source_text": text, "granularityLevel": 3},
        "urgency_level": "normal",
    }
    stored = await connection.jetstream().publish(f"aif.request.submit.{client_id}", json.dumps(order).encode())
    sys.stdout.write(f"stored as message {stored.seq} of stream {stored.stream}\n")
    exit_code = None
    while exit_code is None:
        exit_code = _told(await heard.get(), key)
    await connection.close()
    return exit_code


def _told(message: Msg, key: str) -> int | None:
    """Print what the message says, if it is about the order; the exit code when nothing follows."""
    if message.subject == REFUSED:
        refused = json.loads(message.data)
        if key.encode() not in base64.b64decode(refused["payload"]):
            return None
        sys.stdout.write(f"refused: {refused['reason']}\n")
        return 1
    # What happened together comes together, in order; an end is the last of its message.
    events = json.loads(message.data)
    for event in events:
        sys.stdout.write(f"{event['time']}  {event['data']['event_type']}  {event['subject']}\n")
    return 0 if events[-1]["data"]["event_type"] in ENDS else None


def main() -> int:
    """The data folder of the running factory holds the broker's address, with the operator's password, and the client's id."""
    parser = argparse.ArgumentParser(description="Order a course over NATS, and wait for its end.")
    parser.add_argument("source", type=Path, help="a document as Markdown or plain text")
    parser.add_argument("data_folder", type=Path, nargs="?", default=Path("var"), help="of a factory that runs; var without it")
    given = parser.parse_args()
    try:
        text = given.source.read_text(encoding="utf-8")
        address = (given.data_folder / "nats.url").read_text().strip()
        client_id = json.loads((given.data_folder / "keys.json").read_text())["client_id"]
    except (OSError, UnicodeDecodeError) as unreadable:
        parser.error(f"{unreadable}: name a text file, and the data folder of a factory that runs here")
    return asyncio.run(place_order(given.source.name, text, address=address, client_id=client_id))


if __name__ == "__main__":
    sys.exit(main())
