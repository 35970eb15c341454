"""What really travels over NATS while a factory works is what its description says."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import nats
from nats.aio.msg import Msg

from support.factory import running_factory
from support.factory_settings import model_settings
from support.http_client import FactoryClient, client_of
from support.provider_double.server import provider_double
from support.waiting import eventually

SPOKEN = {
    "orders",
    "events",
    "offers",
    "claims",
    "claims_answer",
    "progress",
    "progress_answer",
    "calls",
    "direct_reports",
    "direct_reports_answer",
    "registry",
}
"""What is heard whenever a factory with a model makes one course for another system."""


async def test_every_message_on_a_described_channel_is_as_described(factory_dir: Path) -> None:
    heard: list[Msg] = []

    async def hear(message: Msg) -> None:
        heard.append(message)

    async with (
        provider_double() as provider,
        running_factory(factory_dir, model_settings(provider)) as factory,
        client_of(factory) as client,
    ):
        provider.seconds_for_an_answer = 1.0
        document = (await client.http.get("/schema/asyncapi.json")).json()
        connection = await nats.connect(factory.folder.nats_url.read_text().strip())
        try:
            await connection.subscribe(">", cb=hear)
            order = {"template": "content_granulation_course", "parameters": {"topic": "Beekeeping"}}
            subject = document["channels"]["orders"]["address"].format(client_id=factory.keys.client_id)
            await connection.jetstream().publish(subject, json.dumps(order).encode())
            await eventually(lambda: _ended(client), 30, what="the order has ended")
            # Entries of the registry are written every five seconds.
            await eventually(lambda: _was_heard(heard, "$KV.aif_registry."), 10, what="a worker has told of itself")
        finally:
            await connection.close()

    spoken = set()
    for channel, message in _on_described_channels(document, heard):
        spoken.add(channel)
        for content in _contents(document, channel):
            _check(document, content, message)
    assert spoken >= SPOKEN


async def _ended(client: FactoryClient) -> bool:
    requests = (await client.http.get("/api/kam/requests")).json()["requests"]
    return [each["status"] for each in requests] == ["completed"]


async def _was_heard(heard: list[Msg], beginning: str) -> bool:
    return any(each.subject.startswith(beginning) for each in heard)


def _on_described_channels(document: dict[str, Any], heard: list[Msg]) -> Iterator[tuple[str, Msg]]:
    """Each message with its channel; answers are known by the reply subject of their question."""
    patterns = {
        name: re.compile(re.sub(r"\\\{\w+\\\}", r"[^.]+", re.escape(channel["address"])))
        for name, channel in document["channels"].items()
        if channel["address"] is not None
    }
    awaited: dict[str, str] = {}
    for message in heard:
        if message.subject in awaited:
            yield awaited[message.subject], message
        for name, pattern in patterns.items():
            if pattern.fullmatch(message.subject):
                yield name, message
                if f"{name}_answer" in document["channels"]:
                    awaited[message.reply] = f"{name}_answer"


def _contents(document: dict[str, Any], channel: str) -> list[dict[str, Any]]:
    return [message["payload"] for message in document["channels"][channel]["messages"].values()]


def _check(document: dict[str, Any], payload: dict[str, Any], message: Msg) -> None:
    text = message.data.decode()
    content = text if payload.get("type") == "string" else json.loads(text)
    jsonschema_rs.Draft202012Validator({**payload, "components": document["components"]}).validate(content)
