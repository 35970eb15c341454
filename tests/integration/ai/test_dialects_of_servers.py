"""Servers that speak OpenAI's language in their own way."""

import msgspec
import pytest

from aif_ai.openai_provider import COMPATIBLE
from aif_contracts.metering import Tokens
from support.provider_double.http_server import HttpRequest
from support.provider_double.written_answers import USAGE, Written, chunk, events, told_by


@pytest.mark.parametrize(("name", "is_asked"), [("openai", True), (COMPATIBLE, True), ("mistral", False)])
async def test_usage_is_asked_for_except_where_that_is_refused(name: str, is_asked: bool) -> None:
    requests: list[HttpRequest] = []

    heard = await told_by(name, Written(body=events(chunk("Bees", finish="stop", usage=USAGE))), requests=requests)

    assert ("stream_options" in msgspec.json.decode(requests[0].body)) is is_asked
    assert heard.trace.tokens == Tokens(prompt_tokens=20, completion_tokens=5, total_tokens=25)


async def test_what_a_model_thinks_aloud_is_no_part_of_its_answer() -> None:
    thought = [{"type": "thinking", "thinking": [{"type": "text", "text": "They want bees."}]}]
    said = [{"type": "text", "text": "Bees "}]

    heard = await told_by(
        "mistral", Written(body=events(chunk(thought), chunk(said), chunk("fly", finish="stop", usage=USAGE)))
    )

    assert heard.answer is not None
    assert heard.answer.text == "Bees fly"
    assert heard.trace.characters == len("Bees fly")


async def test_reasoning_that_is_counted_beside_the_completion_is_paid_once() -> None:
    usage = {
        "prompt_tokens": 32,
        "completion_tokens": 9,
        "total_tokens": 135,
        "completion_tokens_details": {"reasoning_tokens": 94},
    }

    heard = await told_by("x_ai", Written(body=events(chunk("Bees", finish="stop", usage=usage))))

    assert heard.trace.tokens == Tokens(prompt_tokens=32, completion_tokens=103, total_tokens=135, reasoning_tokens=94)
