import asyncio
import time
from decimal import Decimal

from aif_contracts.metering import CallOutcome, Tokens
from aif_contracts.reports import Completed, Failed
from aif_runtime.assignment import Assignment, Outcome, WorkFailure
from aif_runtime.cpu_meter import run_in_thread
from support.worker_rig import WorkerRig, provider_call


def burn(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def test_a_provider_call_is_published_under_its_key_as_soon_as_it_ends() -> None:
    gate = asyncio.Event()

    async def call(assignment: Assignment) -> Outcome:
        await assignment.record_call(provider_call(assignment))
        await gate.wait()
        return Outcome(output={})

    rig = WorkerRig(call)

    async with rig.running():
        await rig.offer(await rig.packet())
        [published] = await rig.calls()
        reports_before = rig.reports_stored()
        gate.set()
        await rig.reports()

    assert published.call_key == "exec_1.stage_1.1.1"
    assert published.cost_usd == "0.000027"
    assert reports_before == 0


async def test_the_report_names_the_calls_whose_own_messages_it_may_overtake_and_of_many_the_newest() -> None:
    async def call_often(assignment: Assignment) -> Outcome:
        for _ in range(70):
            await assignment.record_call(provider_call(assignment))
        return Outcome(output={})

    rig = WorkerRig(call_often)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    assert [call.call_key for call in report.calls] == [f"exec_1.stage_1.1.{number}" for number in range(7, 71)]


async def test_the_report_tells_in_which_models_place_its_model_came_also_after_a_correction() -> None:
    async def fall_back(assignment: Assignment) -> Outcome:
        await assignment.record_call(provider_call(assignment, outcome=CallOutcome.FAILED, cost_usd="0"))
        stepped_in = {"model": "large", "purpose": "fallback", "fallback_from": "small", "reason": "price_unknown"}
        await assignment.record_call(provider_call(assignment, outcome=CallOutcome.REJECTED, **stepped_in))
        await assignment.record_call(provider_call(assignment, model="large", purpose="correction", reason="malformed_output"))
        return Outcome(output={})

    rig = WorkerRig(fall_back)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    told = report.metrics
    assert (told.model, told.fallback_from, told.fallback_reason) == ("large", "small", "price_unknown")


async def test_the_report_sums_tokens_and_cost_over_all_calls() -> None:
    async def call_twice(assignment: Assignment) -> Outcome:
        await assignment.record_call(provider_call(assignment, outcome=CallOutcome.TRUNCATED))
        tokens = Tokens(prompt_tokens=50, completion_tokens=5, total_tokens=55, cache_read_tokens=40)
        await assignment.record_call(provider_call(assignment, model="large", tokens=tokens, cost_usd="0.1"))
        return Outcome(output={})

    rig = WorkerRig(call_twice)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    assert report.metrics.tokens_used == Tokens(prompt_tokens=150, completion_tokens=25, total_tokens=175, cache_read_tokens=40)
    assert report.metrics.cost_usd == "0.100027"
    assert report.metrics.cost_lines.ai_generation_usd == "0.100027"
    assert (report.metrics.provider, report.metrics.model) == ("openai", "large")
    assert report.metrics.resource_usage.api_calls == 2


async def test_an_answer_that_was_kept_is_no_call_to_be_paid_for() -> None:
    async def answer_again(assignment: Assignment) -> Outcome:
        await assignment.record_call(provider_call(assignment))
        await assignment.record_call(provider_call(assignment, outcome=CallOutcome.CACHED, tokens=Tokens(), cost_usd="0"))
        return Outcome(output={})

    rig = WorkerRig(answer_again)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    assert report.metrics.resource_usage.api_calls == 1


async def test_a_call_of_unknown_price_makes_the_cost_unknown_and_not_zero() -> None:
    async def call(assignment: Assignment) -> Outcome:
        await assignment.record_call(provider_call(assignment))
        await assignment.record_call(provider_call(assignment, cost_usd=None, outcome=CallOutcome.IN_DOUBT))
        raise WorkFailure("no_answer", "the provider did not answer", retryable=True)

    rig = WorkerRig(call)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Failed)
    assert report.metrics.cost_usd is None
    assert report.metrics.cost_lines.ai_generation_usd == "0.000027"


async def test_a_call_that_the_provider_refused_costs_nothing() -> None:
    async def call(assignment: Assignment) -> Outcome:
        await assignment.record_call(provider_call(assignment, cost_usd=None, outcome=CallOutcome.FAILED))
        return Outcome(output={})

    rig = WorkerRig(call)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    assert report.metrics.cost_usd == "0"


async def test_storage_and_compute_have_cost_lines_of_their_own() -> None:
    async def work(assignment: Assignment) -> Outcome:
        burn(0.02)
        return Outcome(output={})

    rig = WorkerRig(work, cpu_cost_per_ms=Decimal("0.001"), kv_operation_cost=Decimal("0.0000005"))

    async with rig.running():
        await rig.offer(await rig.packet(stage_input=b'{"text":"' + b"x" * 9000 + b'"}', inline_limit_bytes=0))
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    metrics = report.metrics
    assert metrics.resource_usage.kv_operations == 2
    assert metrics.cost_lines.storage_usd == "0.000001"
    compute = Decimal(metrics.cost_lines.compute_usd)
    assert compute == Decimal("0.001") * metrics.resource_usage.cpu_time_ms
    assert compute >= Decimal("0.02")
    assert metrics.cost_usd is not None
    assert Decimal(metrics.cost_usd) == compute + Decimal("0.000001")


async def test_waiting_is_wall_time_and_no_cpu_time() -> None:
    async def wait(assignment: Assignment) -> Outcome:
        for _ in range(50):
            await asyncio.sleep(0)
        rig.clock.advance(3.0)
        assignment.spent_on("ai_generation", 2.5)
        assignment.spent_on("validation", 0.25)
        return Outcome(output={})

    rig = WorkerRig(wait)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    assert report.metrics.processing_time_ms == 3000
    assert report.metrics.breakdown.ai_generation_ms == 2500
    assert report.metrics.breakdown.validation_ms == 250
    assert report.metrics.resource_usage.cpu_time_ms < 100
    assert report.metrics.resource_usage.memory_mb > 10


async def test_two_attempts_at_once_are_billed_for_their_own_cpu_time_only() -> None:
    met = asyncio.Barrier(2)

    async def work(assignment: Assignment) -> Outcome:
        await met.wait()
        if assignment.execution_id == "exec_1":
            burn(0.05)
        await met.wait()
        return Outcome(output={})

    rig = WorkerRig(work)

    async with rig.running():
        await rig.offer(await rig.packet(1))
        await rig.offer(await rig.packet(2))
        reports = {report.execution_id: report for report in await rig.reports(2)}

    busy, idle = reports["exec_1"], reports["exec_2"]
    assert isinstance(busy, Completed)
    assert isinstance(idle, Completed)
    assert busy.metrics.resource_usage.cpu_time_ms >= 50
    assert idle.metrics.resource_usage.cpu_time_ms < 40


async def test_work_in_a_thread_counts_for_the_attempt_that_awaits_it() -> None:
    async def work(assignment: Assignment) -> Outcome:
        await run_in_thread(burn, 0.05)
        return Outcome(output={})

    rig = WorkerRig(work)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    assert report.metrics.resource_usage.cpu_time_ms >= 50


async def test_a_call_that_was_not_confirmed_goes_out_again_before_the_report() -> None:
    async def call(assignment: Assignment) -> Outcome:
        rig.broker.go_down()
        await assignment.record_call(provider_call(assignment))
        rig.broker.come_back()
        return Outcome(output={})

    rig = WorkerRig(call)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()
        [published] = await rig.calls()

    assert published.call_key == "exec_1.stage_1.1.1"
    assert isinstance(report, Completed)
    assert report.metrics.cost_usd == "0.000027"


async def test_the_process_counts_its_attempts_by_outcome() -> None:
    rig = WorkerRig()

    async with rig.running():
        await rig.offer(await rig.packet(1))
        await rig.offer(await rig.packet(2))
        await rig.reports(2)
        await rig.nothing_is_left()

    labels = {"worker": "echo", "action": "say", "outcome": "completed"}
    assert rig.registry.get_sample_value("aif_attempts_total", labels) == 2
    assert rig.registry.get_sample_value("aif_attempt_seconds_count", {"worker": "echo", "action": "say"}) == 2
