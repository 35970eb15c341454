"""A gateway whose blob store answers, and does not let it: its credentials are wrong, or have run out."""

import asyncio

import pytest

from aif_runtime.obstore_blobs import ObstoreBlobStore
from integration.kam.gateway_under_test import open_gateway


async def _forbid(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


async def test_a_blob_store_that_refuses_the_factory_is_the_operators_to_mend_and_clients_are_told_so(
    fresh_kam_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await asyncio.start_server(_forbid, "127.0.0.1", 0) as bucket:
        port = bucket.sockets[0].getsockname()[1]
        credentials = {"ACCESS_KEY_ID": "old", "SECRET_ACCESS_KEY": "old", "REGION": "eu", "ALLOW_HTTP": "true"}
        for name, value in {**credentials, "ENDPOINT": f"http://127.0.0.1:{port}"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        store = ObstoreBlobStore.from_url("s3://bucket")

        async with open_gateway(fresh_kam_database, blob_store=store) as kam, kam.client() as alice:
            answer = await alice.post(
                "/api/kam/sources", files={"source": ("bees.md", b"# Bees\n\nThey fly.", "text/markdown")}
            )

    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (503, "urn:aif:problem:blob_store_refuses")
    assert (
        problem["detail"] == "the blob store refuses the factory: its operator has to look at the credentials and rights for it"
    )
