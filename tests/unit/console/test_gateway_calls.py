"""The factory by HTTP, with a stand-in for the network."""

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from aif_console.exit_codes import REFUSED, UNREACHABLE
from aif_console.failures import BadInput, FactoryUnreachable, RequestRefused
from aif_console.gateway.gateway import Gateway
from aif_contracts.events import ExecutionEvent, Totals, WorkflowCompleted, WorkflowStarted
from aif_contracts.metering import ResourceUsage, TimeBreakdown, Tokens

ORDERED = {"request_id": "req_1", "execution_id": "exec_1", "status": "running"}
TOTALS = Totals(
    tokens_used=Tokens(),
    cost_usd="0",
    cost_is_complete=True,
    wall_time_ms=1,
    busy_time_ms=1,
    breakdown=TimeBreakdown(),
    resource_usage=ResourceUsage(),
    attempts=1,
)


def gateway(answer: Callable[[httpx.Request], httpx.Response], *, patience_seconds: float = 5.0) -> Gateway:
    transport = httpx.MockTransport(answer)
    return Gateway("http://factory", "the-key", transport=transport, patience_seconds=patience_seconds, pause_seconds=0.001)


def event(sequence: int, *, is_final: bool = False) -> bytes:
    data = (
        WorkflowCompleted(status="completed", totals=TOTALS, deliverables=())
        if is_final
        else WorkflowStarted(template="t", version="1.0.0", stages=("s",))
    )
    happened = ExecutionEvent(
        id=f"exec_1:{sequence}",
        type="aif.x",
        time="2026-01-01T00:00:00.000Z",
        subject="exec_1",
        sequence=sequence,
        client_id="local",
        progress_percent=0,
        data=data,
    )
    return b"id: %d\ndata: " % sequence + msgspec.json.encode(happened) + b"\n\n"


TEMPLATE: dict[str, Any] = {
    "name": "bees",
    "version": "1.0.0",
    "title": "Bees",
    "description": "",
    "structure_type": None,
    "parameters": {},
    "stages": [],
}


async def test_an_order_carries_the_key_and_a_key_that_makes_it_one() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202, json=ORDERED)

    async with gateway(answer) as factory:
        await factory.order("content_granulation_quiz", {"questionCount": 3}, message="quiz")
        await factory.order("content_granulation_quiz", {"questionCount": 3}, message="quiz")

    assert seen[0].headers["X-API-Key"] == "the-key"
    assert msgspec.json.decode(seen[0].content) == {
        "selected_template": "content_granulation_quiz",
        "parameters": {"questionCount": 3},
        "message": "quiz",
        "urgency_level": "normal",
    }
    assert seen[0].headers["Idempotency-Key"] != seen[1].headers["Idempotency-Key"]


async def test_a_problem_is_told_with_field_message_and_mend() -> None:
    problem = {
        "type": "urn:aif:problem:invalid_input",
        "title": "Something in the request is wrong",
        "status": 422,
        "detail": "said again",
        "errors": [{"field": "parameters.granularityLevel", "message": "must be 1 to 5", "mend": "Send a whole number."}],
    }

    async with gateway(lambda _: httpx.Response(422, json=problem)) as factory:
        with pytest.raises(RequestRefused) as refused:
            await factory.templates()

    assert str(refused.value) == (
        "Something in the request is wrong\n  parameters.granularityLevel: must be 1 to 5\n  -> Send a whole number."
    )
    assert refused.value.exit_code == REFUSED == 2


async def test_nobody_there_at_the_first_call_is_said_at_once() -> None:
    calls = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        raise httpx.ConnectError("connection refused")

    async with gateway(answer) as factory:
        with pytest.raises(FactoryUnreachable, match="aif up") as failure:
            await factory.templates()

    assert calls == 1
    assert failure.value.exit_code == UNREACHABLE == 3


async def test_a_factory_that_listens_and_never_answers_is_told_so() -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("")

    async with gateway(answer) as factory:
        with pytest.raises(FactoryUnreachable, match="http://factory does not serve: no answer in time"):
            await factory.templates()


async def test_a_factory_that_has_answered_is_waited_for_and_asked_again_under_the_same_key() -> None:
    keys: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"templates": []})
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) == 1:
            raise httpx.ReadError("gone")
        return httpx.Response(503, json={"title": "away"}) if len(keys) == 2 else httpx.Response(202, json=ORDERED)

    async with gateway(answer) as factory:
        await factory.templates()
        ordered = await factory.order("t", {}, message="")

    assert ordered.execution_id == "exec_1"
    assert len(keys) == 3
    assert len(set(keys)) == 1


async def test_a_factory_that_only_says_that_it_is_away_is_waited_for() -> None:
    answers = [httpx.Response(200, json={"templates": []}), httpx.Response(503, json={"title": "the database is away"})]

    async with gateway(lambda _: answers.pop()) as factory:
        assert (await factory.templates()).templates == ()


async def test_templates_are_fetched_page_by_page() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.query.decode())
        is_last = "cursor=bees" in seen[-1]
        return httpx.Response(200, json={"templates": [TEMPLATE], "next_cursor": None if is_last else "bees"})

    async with gateway(answer) as factory:
        found = (await factory.templates()).templates

    assert len(found) == 2
    assert seen == ["limit=100", "limit=100&cursor=bees"]


async def test_an_address_that_is_none_is_told() -> None:
    async with Gateway("factory:8420", "key") as factory:
        with pytest.raises(FactoryUnreachable, match="protocol"):
            await factory.templates()


async def test_patience_ends() -> None:
    answers = [httpx.Response(200, json={"templates": []})]

    def answer(request: httpx.Request) -> httpx.Response:
        return answers.pop() if answers else httpx.Response(503, json={"detail": "the database does not answer"})

    async with gateway(answer, patience_seconds=0.01) as factory:
        await factory.templates()
        with pytest.raises(FactoryUnreachable, match="the database does not answer"):
            await factory.templates()


async def test_something_else_that_listens_there_is_no_factory() -> None:
    async with gateway(lambda _: httpx.Response(200, text="<html>hello</html>")) as factory:
        with pytest.raises(FactoryUnreachable, match="something else than a factory"):
            await factory.templates()


@pytest.mark.parametrize(
    "content",
    [
        {"headers": {"Content-Encoding": "gzip"}, "stream": httpx.ByteStream(b"not gzip")},
        {"text": "id: 1\ndata: nonsense\n\n"},
    ],
)
async def test_answers_and_events_that_cannot_be_read_are_of_no_factory(content: dict[str, Any]) -> None:
    async with gateway(lambda _: httpx.Response(200, **content)) as factory:
        with pytest.raises(FactoryUnreachable, match="something else than a factory"):
            await factory.templates()
        with pytest.raises(FactoryUnreachable, match="something else than a factory"):
            await anext(factory.events("req_1"))


async def test_events_go_on_after_the_last_one_seen_when_the_connection_breaks() -> None:
    after: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        after.append(request.headers["Last-Event-ID"])
        if len(after) == 1:
            return httpx.Response(200, content=event(1) + event(2))
        if len(after) == 2:
            raise httpx.ReadError("gone")
        return httpx.Response(503) if len(after) == 3 else httpx.Response(200, content=event(3, is_final=True))

    async with gateway(answer) as factory:
        seen = [happened.sequence async for happened in factory.events("req_1")]

    assert seen == [1, 2, 3]
    assert after == ["0", "2", "2", "2"]


@pytest.mark.parametrize(
    ("some_id", "path"), [("req_1", "/api/kam/requests/req_1/events"), ("exec_1", "/api/v1/ai/pipelines/exec_1/events")]
)
async def test_requests_and_executions_are_both_followed(some_id: str, path: str) -> None:
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(200, content=event(1, is_final=True))

    async with gateway(answer) as factory:
        assert [happened.sequence async for happened in factory.events(some_id)] == [1]

    assert paths == [path]


@pytest.mark.parametrize("some_id", ["", "req_", "../admin", "request 1", "src_1"])
async def test_what_is_no_id_is_not_sent(some_id: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing is sent")

    async with gateway(answer) as factory:
        with pytest.raises(BadInput, match="req_"):
            await factory.request(some_id)
