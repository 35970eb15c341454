"""Python programs order over the real gateway: pipelines made on the spot, results, and everything that breaks on the way."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from urllib.parse import urlsplit

import msgspec
import pytest

from aif_client import ExecutionNotEnded, ExecutionResult, GatewayUnavailable, PipelineExecutor, RequestRefused
from aif_contracts.events import ExecutionEvent
from aif_contracts.orders import ExecutionStatus, Refusal
from aif_contracts.packets import Priority
from aif_pipelines.builder import Pipeline
from aif_pipelines.definition import Pipeline as PipelineDefinition
from integration.kam.gateway_under_test import STRUCTURE, GatewayUnderTest
from support.waiting import eventually

COURSE = "content_granulation_course"


def bee_course(description: str = "") -> PipelineDefinition:
    pipeline = Pipeline("bee_course").version("1.0.0").description(description)
    return pipeline.step("structure").worker("content_granulator", "structure_course").output_as("course").done().build()


class Cable:
    """The network between a program and the gateway, to be cut and mended."""

    def __init__(self, url: str) -> None:
        self.to = urlsplit(url)
        self.is_cut = False
        self.connections = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if not self.is_cut:
            there, back = await asyncio.open_connection(self.to.hostname, self.to.port)
            self._open |= {writer, back}
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
            self._open -= {writer, back}
        writer.close()

    def cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while some := await reader.read(4096):
            writer.write(some)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


@asynccontextmanager
async def cable_to(kam: GatewayUnderTest) -> AsyncIterator[tuple[Cable, str]]:
    cable = Cable(kam.url)
    server = await asyncio.start_server(cable.carry, "127.0.0.1", 0)
    try:
        yield cable, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        cable.cut()


@asynccontextmanager
async def busy_proxy(status: int, headers: Mapping[str, str]) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Stands before the gateway and lets nothing through; with the first lines of what it was asked."""
    asked: list[bytes] = []
    lines = [f"HTTP/1.1 {status} Busy", "Content-Length: 0", "Connection: close", *(f"{k}: {v}" for k, v in headers.items())]

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        await reader.readuntil(b"\r\n\r\n")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()


def executor_of(kam: GatewayUnderTest, who: str = "alice", *, url: str = "", patience_seconds: float = 30) -> PipelineExecutor:
    return PipelineExecutor(url or kam.url, kam.keys[who], patience_seconds=patience_seconds)


async def only_order(kam: GatewayUnderTest) -> str:
    await eventually(lambda: len(kam.orchestrator.orders) == 1)
    return next(iter(kam.orchestrator.orders))


async def ended(kam: GatewayUnderTest, executing: "asyncio.Task[ExecutionResult]") -> ExecutionResult:
    await kam.orchestrator.complete(await only_order(kam), await kam.store_structure())
    return await asyncio.wait_for(executing, 60)


async def test_a_pipeline_made_here_is_saved_ordered_and_delivers(kam: GatewayUnderTest) -> None:
    async with executor_of(kam) as executor:
        executing = asyncio.create_task(
            executor.execute(
                pipeline=bee_course(),
                input_data={"topic": "bees"},
                tenant_id="alice",
                urgency_level=Priority.HIGH,
                max_cost_usd=Decimal("0.50"),
            )
        )
        result = await ended(kam, executing)

    order = kam.orchestrator.orders[result.execution_id]
    assert (order.template_name, order.template_version, order.parameters["topic"]) == ("bee_course", "1.0.0", "bees")
    assert (order.client_id, order.priority, order.max_cost_usd) == ("alice", "high", "0.5")
    assert (result.success, result.status, result.output) == (True, "completed", {"course": STRUCTURE})
    assert (result.total_cost_usd, result.total_duration_ms) == (Decimal("0.0015"), 1200)
    assert (result.total_tokens, result.attempts) == (1000, 1)
    assert result.fallbacks == {"structure": "gpt-4o-mini"}
    assert (result.failure_code, result.failure_message) == (None, None)


async def test_a_stored_version_with_other_content_is_refused_and_the_same_content_is_ordered_again(
    kam: GatewayUnderTest,
) -> None:
    async with executor_of(kam) as executor, executor_of(kam) as another:
        first = await executor.start(bee_course(), {})
        again = await another.start(bee_course(), {})
        with pytest.raises(RequestRefused, match="raise the version") as refused:
            await executor.start(bee_course("of another kind"), {})

    assert (refused.value.code, refused.value.problem.status) == ("pipeline_version_taken", 409)
    assert set(kam.orchestrator.orders) == {first, again}


async def test_a_stored_pipeline_is_ordered_by_its_name_with_or_without_a_version(kam: GatewayUnderTest) -> None:
    async with executor_of(kam) as executor:
        newest = await executor.start(COURSE, {"topic": "bees"})
        await executor.start(bee_course(), {})
        named = await executor.start("bee_course@1.0.0", {})

    assert (kam.orchestrator.orders[newest].template_name, kam.orchestrator.orders[newest].template_version) == (COURSE, None)
    assert kam.orchestrator.orders[named].template_version == "1.0.0"


async def test_an_operator_orders_for_a_tenant_and_a_client_for_itself_alone(kam: GatewayUnderTest) -> None:
    async with executor_of(kam, "admin") as operator, executor_of(kam, "bob") as bob:
        for_alice = await operator.start(bee_course(), {}, "alice")
        with pytest.raises(RequestRefused) as of_nobody:
            await operator.start(bee_course(), {})
        with pytest.raises(RequestRefused) as of_another:
            await bob.start(COURSE, {}, "alice")

    assert kam.orchestrator.orders[for_alice].client_id == "alice"
    assert (of_nobody.value.code, of_nobody.value.problem.errors[0].field) == ("invalid_input", "client_id")
    assert of_another.value.code == "not_allowed"
    assert [each.pipeline.owner for each in kam.orchestrator.library.pipelines] == ["alice"]


async def test_a_wrong_field_is_named_with_its_mend(kam: GatewayUnderTest) -> None:
    async with executor_of(kam) as executor:
        with pytest.raises(RequestRefused) as refused:
            await executor.execute(COURSE, {"granularityLevel": "four"})

    assert refused.value.problem.status == 422
    assert [each.field for each in refused.value.problem.errors] == ["input_data.granularityLevel"]
    assert "input_data.granularityLevel" in str(refused.value)


async def test_an_execution_that_fails_is_a_result(kam: GatewayUnderTest) -> None:
    async with executor_of(kam) as executor:
        execution_id = await executor.start(COURSE, {})
        await kam.orchestrator.fail(execution_id, "worker_failed", "no bees")
        result = await executor.result(execution_id)

    assert (result.success, result.status, result.output) == (False, "failed", {})
    assert (result.failure_code, result.failure_message) == ("worker_failed", "no bees")


async def test_a_result_is_there_although_the_gateway_did_not_hear_of_the_end(kam: GatewayUnderTest) -> None:
    async with executor_of(kam) as executor:
        execution_id = await executor.start(COURSE, {})
        await kam.orchestrator.complete(execution_id, await kam.store_structure(), stored_only=True)
        result = await executor.result(execution_id)

    assert (result.success, result.output) == (True, {"course": STRUCTURE})


async def test_a_resumed_execution_gives_the_result_of_its_last_leg(kam: GatewayUnderTest) -> None:
    async with executor_of(kam) as executor:
        execution_id = await executor.start(COURSE, {})
        await kam.orchestrator.fail(execution_id, "worker_failed", "no bees")
        await kam.orchestrator.resumed(execution_id)
        waiting = asyncio.create_task(executor.result(execution_id))
        result = await ended(kam, waiting)
        seen = [event.sequence async for event in executor.events(execution_id, after=1)]

    assert (result.success, result.execution.leg) == (True, 2)
    assert seen == [2, 3, 4]


async def test_a_cost_that_is_unknown_is_none(kam: GatewayUnderTest) -> None:
    async with executor_of(kam) as executor:
        execution_id = await executor.start(COURSE, {})
        await kam.orchestrator.complete(execution_id, await kam.store_structure())
        view = kam.orchestrator.views[execution_id]
        totals = msgspec.structs.replace(view.totals, cost_is_complete=False)
        kam.orchestrator.views[execution_id] = msgspec.structs.replace(view, totals=totals)
        result = await executor.result(execution_id)

    assert result.total_cost_usd is None


async def test_a_lost_connection_is_made_anew_and_no_event_is_missed_or_told_twice(kam: GatewayUnderTest) -> None:
    async with cable_to(kam) as (cable, url), executor_of(kam, url=url) as executor:
        execution_id = await executor.start(COURSE, {})
        seen: list[ExecutionEvent] = []
        async for event in executor.events(execution_id):
            seen.append(event)
            if len(seen) == 1:
                cable.cut()
                await kam.orchestrator.progress(execution_id, 30)
                await kam.orchestrator.progress(execution_id, 60)
            if len(seen) == 3:
                cable.cut()
                await kam.orchestrator.complete(execution_id, await kam.store_structure())

    assert [event.sequence for event in seen] == [1, 2, 3, 4]
    assert type(seen[-1].data).__name__ == "WorkflowCompleted"
    assert cable.connections >= 3


async def test_who_waits_for_a_result_does_not_notice_that_the_connection_was_lost(kam: GatewayUnderTest) -> None:
    async with cable_to(kam) as (cable, url), executor_of(kam, url=url) as executor:
        executing = asyncio.create_task(executor.execute(COURSE, {}))
        execution_id = await only_order(kam)
        await eventually(lambda: kam.orchestrator.asked_for_events[execution_id] > 0)
        cable.is_cut = True
        cable.cut()
        tried = cable.connections
        await eventually(lambda: cable.connections > tried)
        cable.is_cut = False
        result = await ended(kam, executing)

    assert (result.success, result.output) == (True, {"course": STRUCTURE})


async def test_an_order_whose_answer_is_lost_is_sent_again_and_is_one_execution(kam: GatewayUnderTest) -> None:
    kam.orchestrator.loses_answers_to_execute = True
    async with executor_of(kam) as executor:
        starting = asyncio.create_task(executor.start(COURSE, {}))
        await eventually(lambda: kam.orchestrator.asked_to_execute > 0)
        kam.orchestrator.loses_answers_to_execute = False
        execution_id = await asyncio.wait_for(starting, 60)

    assert set(kam.orchestrator.orders) == {execution_id}


async def test_an_order_under_the_programs_own_key_is_one_execution_after_a_new_start_of_the_program(
    kam: GatewayUnderTest,
) -> None:
    async with executor_of(kam) as executor:
        first = await executor.start(bee_course(), {"topic": "bees"}, idempotency_key="night-7")
    async with executor_of(kam) as executor:
        second = await executor.start(bee_course(), {"topic": "bees"}, idempotency_key="night-7")

    assert first == second


async def test_a_refusal_that_may_be_a_yes_later_is_asked_for_again_until_patience_ends(kam: GatewayUnderTest) -> None:
    kam.orchestrator.refusal = Refusal(code="budget_reserved", message="others have it", retry_after_ms=100)
    async with executor_of(kam) as patient, executor_of(kam, patience_seconds=0) as impatient:
        with pytest.raises(RequestRefused) as refused:
            await impatient.start(COURSE, {})
        starting = asyncio.create_task(patient.start(COURSE, {}))
        await eventually(lambda: kam.orchestrator.asked_to_execute == 2)
        kam.orchestrator.refusal = None
        execution_id = await asyncio.wait_for(starting, 60)

    assert (refused.value.code, refused.value.problem.status) == ("budget_reserved", 402)
    assert set(kam.orchestrator.orders) == {execution_id}


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}])
@pytest.mark.parametrize("status", [429, 503])
async def test_what_a_proxy_has_no_time_for_is_sent_again(kam: GatewayUnderTest, status: int, headers: dict[str, str]) -> None:
    async with busy_proxy(status, headers) as (url, asked), executor_of(kam, url=url, patience_seconds=1.5) as executor:
        with pytest.raises(GatewayUnavailable, match=f"status {status}"):
            await executor.start(COURSE, {})

    assert len(asked) > 1


@pytest.mark.parametrize("wait", ["60", "Wed, 21 Oct 2099 07:28:00 GMT"])
async def test_who_is_to_come_again_when_patience_has_ended_does_not_come_before(kam: GatewayUnderTest, wait: str) -> None:
    async with busy_proxy(503, {"Retry-After": wait}) as (url, asked), executor_of(kam, url=url) as executor:
        with pytest.raises(GatewayUnavailable, match="status 503"):
            await executor.start(COURSE, {})

    assert len(asked) == 1


async def test_nobody_who_answers_is_said_within_the_patience(kam: GatewayUnderTest) -> None:
    async with cable_to(kam) as (cable, url), executor_of(kam, url=url, patience_seconds=1.5) as executor:
        cable.is_cut = True
        with pytest.raises(GatewayUnavailable, match=url):
            await executor.start(COURSE, {})

    assert cable.connections > 1


async def test_who_waits_no_longer_does_not_end_the_execution_and_cancel_does(kam: GatewayUnderTest) -> None:
    async with executor_of(kam) as executor:
        with pytest.raises(ExecutionNotEnded) as over:
            await executor.execute(COURSE, {}, timeout=0.1)
        execution_id = over.value.execution_id
        waiting = asyncio.create_task(executor.result(execution_id))
        asked = kam.orchestrator.asked_for_events[execution_id]
        await eventually(lambda: kam.orchestrator.asked_for_events[execution_id] > asked)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert kam.orchestrator.views[execution_id].status is ExecutionStatus.RUNNING

        await executor.cancel(execution_id)
        result = await executor.result(execution_id)
        with pytest.raises(RequestRefused) as unknown:
            await executor.result("exec_of_nobody")

    assert (result.success, result.status) == (False, "cancelled")
    assert unknown.value.problem.status == 404


async def test_a_document_is_uploaded_and_ordered_from(kam: GatewayUnderTest) -> None:
    async with executor_of(kam, "admin") as executor:
        source = await executor.upload("bees.md", b"# Bees\n\nBees live in hives.\n", "alice")
        execution_id = await executor.start(COURSE, {"source": source}, "alice")

    assert kam.orchestrator.orders[execution_id].parameters["source"]["storage_key"].startswith(f"sources/alice/{source}/")
