"""Objects as other NATS clients lay them down, in chunks of their own size; without roll-ups, which our streams refuse."""

import base64
import hashlib
import uuid

import msgspec
from nats.aio.client import Client

STORE = "aif_blobs"
CHUNK_BYTES = 128 * 1024


async def put_object(client: Client, name: str, content: bytes) -> None:
    nuid = uuid.uuid4().hex
    chunks = [content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES)]
    for chunk in chunks:
        await client.jetstream().publish(f"$O.{STORE}.C.{nuid}", chunk)
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()
    await _describe(client, name, nuid=nuid, size=len(content), chunks=len(chunks), digest=f"SHA-256={digest}")


async def delete_object(client: Client, name: str) -> None:
    await _describe(client, name, nuid="", size=0, chunks=0, digest="", deleted=True)


async def _describe(client: Client, name: str, **description: object) -> None:
    subject = f"$O.{STORE}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"
    await client.jetstream().publish(subject, msgspec.json.encode({"name": name, "bucket": STORE, **description}))
