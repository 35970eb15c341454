"""Twenty secrets and more, every error path, and nothing of them in logs, spans, events, dead letters, audit log or database.

The secrets are those that a factory lives by: provider keys, passwords of broker and database, API keys, the audit key. Some
also come in from outside, where an error message could repeat them.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg
import httpx
import nats

from aif_console.factory.factory import Factory
from aif_contracts import subjects
from support.factory import running_factory
from support.http_client import SAMPLES, client_of
from support.otlp_receiver import OtlpReceiver, otlp_receiver
from support.provider_double.faults import FaultKind
from support.provider_double.server import provider_double
from support.waiting import eventually

OPENAI_KEY = "sk-wrong-openai-canary-5f2c81d09e"
ANTHROPIC_KEY = "sk-ant-anthropic-canary-77a1c3"
AUDIT_KEY = "audit-key-canary-4be19c0d8f"
FOREIGN_KEYS = {
    "garbage": "not a key, garbage-canary-1f9d",
    "shaped": "af_live_key0_c4n4ryc4n4ryc4n4ryc4n4ry_deadbeef",
}
BEARER = "bearer-canary-8d41c2f7aa"
URL_PASSWORD = "url-password-canary-93be"


async def test_no_secret_leaves_by_any_way(factory_dir: Path) -> None:
    async with provider_double() as double, otlp_receiver() as receiver:
        double.plan(*[FaultKind.UNAUTHORIZED] * 20)
        settings = {
            "AIF_LOG_LEVEL": "debug",
            "OPENAI_API_KEY": OPENAI_KEY,
            "AIF_OPENAI_BASE_URL": f"{double.url}/v1",
            "AIF_OPENAI_MODELS": "gpt-4o-mini",
            "ANTHROPIC_API_KEY": ANTHROPIC_KEY,
            "AIF_ANTHROPIC_BASE_URL": double.url,
            "AIF_ANTHROPIC_MODELS": "claude-sonnet-5-5",
            "AIF_ORCHESTRATOR_AUDIT_KEYS": AUDIT_KEY,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        }
        async with running_factory(factory_dir, settings) as factory:
            secrets = _secrets_of(factory)
            told = Told()
            secrets |= await _minted_keys(factory, told)
            await _go_wrong(factory, told)
            told.take("database", await _database_dump(factory))
            await eventually(lambda: receiver.spans, 10.0, what="spans arrive")
        for name, path in factory.log_paths.items():
            told.take(f"log of {name}", path.read_bytes())
        told.take("spans", _text_of(receiver))

    assert len(secrets) >= 20
    assert told.sizes["database"] > 10_000
    assert told.sizes["spans"] > 100
    assert told.sizes["broker"] > 500
    shown = json.dumps(double.headers)
    assert ANTHROPIC_KEY in shown or OPENAI_KEY in shown
    assert double.bill == []
    assert told.hits(secrets) == []


class Told:
    """All that was let out, by where."""

    def __init__(self) -> None:
        self._content: dict[str, bytes] = {}

    @property
    def sizes(self) -> Mapping[str, int]:
        return {where: len(content) for where, content in self._content.items()}

    def take(self, where: str, content: bytes) -> None:
        self._content[where] = self._content.get(where, b"") + content

    def hits(self, secrets: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """Which secret is where, with the beginning of what stands around it, itself left out."""
        return [
            (name, where, content[max(0, content.find(form) - 60) : content.find(form)].decode("utf-8", "replace"))
            for where, content in self._content.items()
            for name, secret in secrets.items()
            for form in _forms(secret)
            if form in content
        ]


async def _go_wrong(factory: Factory, told: Told) -> None:
    async with client_of(factory) as client:
        source_id = await client.upload(SAMPLES / "beekeeping.md")
        accepted = await client.order("content_granulation_course", {"source": source_id})
        ended = await client.ended(accepted["request_id"])
        told.take("answers", json.dumps([accepted, ended]).encode())
        for number, event in await client.events(accepted["request_id"]):
            told.take("events", json.dumps([number, event]).encode())
        told.take("answers", (await client.http.get(f"/api/v1/ai/pipelines/{accepted['execution_id']}/history")).content)
    async with httpx.AsyncClient(base_url=factory.kam_url) as stranger:
        for key in FOREIGN_KEYS.values():
            told.take("answers", (await stranger.get("/api/kam/requests", headers={"X-API-Key": key})).content)
        headers = {"X-API-Key": factory.keys.client_key, "Authorization": f"Bearer {BEARER}"}
        broken = [b"{", b'{"request_type": 5}', json.dumps({"selected_template": f"x Bearer {BEARER}"}).encode(), b"\xff"]
        for body in broken:
            told.take("answers", (await stranger.post("/api/kam/orders", content=body, headers=headers)).content)
        told.take("answers", (await stranger.get(f"/api/kam/requests/nothing?key={BEARER}", headers=headers)).content)
    await _bury(factory)
    async with httpx.AsyncClient(base_url=factory.kam_url, headers={"X-API-Key": factory.keys.admin_key}) as admin:
        letters = await eventually(lambda: _letters(admin), 20.0, what="the poison is buried")
        for content in await _dead_letters_on_the_broker(factory):
            told.take("broker", content)
        for letter in letters:
            answer = await admin.get(f"/api/admin/dead-letters/{letter['dead_letter_id']}")
            told.take("dead letters", answer.content + base64.b64decode(answer.json()["payload"]))
            told.take("answers", (await admin.post(f"/api/admin/dead-letters/{letter['dead_letter_id']}/replay")).content)
        await eventually(lambda: _audited(admin, told), 20.0, what="the audit log is written")
        verdict = (await admin.post("/api/admin/audit/verify")).json()
        assert verdict["fault"] is None
        told.take("answers", (await admin.get("/health")).content + (await admin.get("/metrics")).content)
        told.take("answers", (await admin.get("/api/admin/calls")).content)


async def _minted_keys(factory: Factory, told: Told) -> dict[str, str]:
    """A key that was made, was used, was rotated, and that nobody can get by calling again."""
    path, once = "/api/kam/keys", {"Idempotency-Key": "mint"}
    wish = {"client_id": factory.keys.client_id, "name": "canary", "scope": "manage"}
    async with httpx.AsyncClient(base_url=factory.kam_url, headers={"X-API-Key": factory.keys.admin_key}) as admin:
        made = (await admin.post(path, json=wish, headers=once)).json()
        told.take("answers", (await admin.post(path, json=wish, headers=once)).content)
        async with httpx.AsyncClient(base_url=factory.kam_url, headers={"X-API-Key": made["key"]}) as client:
            rotated = await client.post(f"{path}/{made['key_id']}/rotate", json={"grace_seconds": 60})
            told.take("answers", (await client.get(path)).content)
            told.take("answers", (await client.post(path, json={"name": made["key"], "scope": made["key"]})).content)
            told.take("answers", (await client.get(f"{path}/{made['key']}")).content)
    return {"minted key": made["key"], "rotated key": rotated.json()["key"]}


async def _bury(factory: Factory) -> None:
    """Broken reports and audit entries that repeat secrets in their texts."""
    connection = await nats.connect(factory.folder.nats_url.read_text().strip())
    leak = f"refused key {OPENAI_KEY}, postgres://user:{URL_PASSWORD}@host/db, Authorization: Bearer {BEARER}"
    try:
        stream = connection.jetstream()
        await stream.publish(subjects.report("maker"), json.dumps([{"type": "nope", "message": leak}]).encode())
        await stream.publish(subjects.usage("exec_1"), leak.encode())
        await stream.publish(subjects.audit("kam"), json.dumps({"action": leak}).encode())
        entry = {
            "audit_id": "canary",
            "action": "CONFIGURATION_CHANGED",
            "severity": "info",
            "actor": "service:kam",
            "occurred_at": "2026-11-21T10:00:00Z",
            "details": {"note": leak, "password": URL_PASSWORD, "nested": [{"api_key": "plain-canary-3311"}]},
        }
        await stream.publish(subjects.audit("kam"), json.dumps(entry).encode())
    finally:
        await connection.close()


async def _dead_letters_on_the_broker(factory: Factory) -> list[bytes]:
    connection = await nats.connect(factory.folder.nats_url.read_text().strip())
    try:
        stream = connection.jetstream()
        state = (await stream.stream_info(subjects.STREAM_DEAD)).state
        kept = [await stream.get_msg(subjects.STREAM_DEAD, seq) for seq in range(state.first_seq, state.last_seq + 1)]
    finally:
        await connection.close()
    contents = [message.data or b"" for message in kept]
    return contents + [base64.b64decode(json.loads(content)["payload"]) for content in contents]


async def _letters(admin: httpx.AsyncClient) -> list[dict[str, str]]:
    letters: list[dict[str, str]] = (await admin.get("/api/admin/dead-letters")).json()["dead_letters"]
    return letters if len(letters) >= 3 else []


async def _audited(admin: httpx.AsyncClient, told: Told) -> bool:
    answer = await admin.get("/api/admin/audit")
    if not any(row["entry"]["audit_id"] == "canary" for row in answer.json()["rows"]):
        return False
    told.take("audit log", answer.content)
    return True


async def _database_dump(factory: Factory) -> bytes:
    """Every value of every table of every service, bytes as they are."""
    parts: list[bytes] = []
    for service, url in factory.database_urls.items():
        connection = await asyncpg.connect(url)
        try:
            tables = await connection.fetch(
                "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = $1", service
            )
            for table in tables:
                for row in await connection.fetch(f"SELECT * FROM {table['name']}"):  # noqa: S608 a name out of the catalogue
                    parts += [value if isinstance(value, bytes) else str(value).encode() for value in row.values()]
        finally:
            await connection.close()
    return b"\n".join(parts)


def _secrets_of(factory: Factory) -> dict[str, str]:
    keys = factory.keys
    databases = {f"database password of {name}": urlsplit(url).password or "" for name, url in factory.database_urls.items()}
    return {
        "openai key": OPENAI_KEY,
        "anthropic key": ANTHROPIC_KEY,
        "audit key": AUDIT_KEY,
        "key pepper": keys.key_pepper,
        "client key": keys.client_key,
        "admin key": keys.admin_key,
        "factory's own audit key": keys.audit_key,
        **{f"foreign key {name}": key for name, key in FOREIGN_KEYS.items()},
        "bearer": BEARER,
        "password in a URL": URL_PASSWORD,
        "key in a detail": "plain-canary-3311",
        **{f"broker password of {user}": word for user, word in keys.nats_passwords.items()},
        **databases,
    }


def _forms(secret: str) -> Iterator[bytes]:
    yield secret.encode()
    yield base64.b64encode(secret.encode()).rstrip(b"=")[:-2]
    if quote(secret, safe="") != secret:
        yield quote(secret, safe="").encode()
    yield secret.encode().hex().encode()


def _text_of(receiver: OtlpReceiver) -> bytes:
    return "\n".join(f"{span.name} {span.attributes}" for span in receiver.spans).encode()
