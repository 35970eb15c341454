"""How an attempt ends: every end is a report, the packet is acknowledged after it, and nothing else is."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from aif_contracts.blobs import BlobRef, StorageType
from aif_contracts.packets import Control
from aif_contracts.reports import Completed, Failed
from aif_runtime.assignment import Action, Assignment, Outcome, WorkFailure
from aif_runtime.failures import BlobStoreUnavailable
from aif_runtime.memory_blobs import MemoryBlobStore
from support.waiting import eventually
from support.worker_rig import WorkerRig

TOO_LARGE_TO_RIDE_INLINE = "b" * 100_000


class FullBlobStore(MemoryBlobStore):
    """Stores nothing so many times."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self._refusals = refusals

    async def put(self, storage_key: str, content: bytes, **how: Any) -> BlobRef:
        if len(content) >= len(TOO_LARGE_TO_RIDE_INLINE) and self._refusals:
            self._refusals -= 1
            raise BlobStoreUnavailable("no space left on device")
        return await super().put(storage_key, content, **how)


async def failed(action: Any, **changes: Any) -> Failed:
    """The report of an attempt at the action; the packet is gone after it."""
    rig = WorkerRig(action)
    async with rig.running():
        await rig.offer(await rig.packet(**changes))
        [report] = await rig.reports()
        await rig.nothing_is_left()
    assert isinstance(report, Failed)
    return report


async def test_the_output_is_stored_and_the_report_names_it() -> None:
    async def write(assignment: Assignment) -> Outcome:
        return Outcome(
            output={"b": [1, 2]}, quality_score=0.75, element_count=2, summary="two things", provider="local", model="m1"
        )

    rig = WorkerRig(write)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    assert report.output.storage_type is StorageType.INLINE
    assert report.output.inline == b'{"b":[1,2]}'
    assert (report.quality_score, report.element_count, report.output_summary) == (0.75, 2, "two things")
    assert (report.metrics.provider, report.metrics.model) == ("local", "m1")


async def test_an_attempt_that_fails_at_once_has_worked_for_a_millisecond_and_not_for_none() -> None:
    async def refuse(assignment: Assignment) -> Outcome:
        rig.clock.advance(0.0003)
        raise WorkFailure("invalid_input", "no", retryable=False)

    rig = WorkerRig(refuse)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Failed)
    assert report.metrics.processing_time_ms == 1


async def test_an_output_above_the_packets_inline_limit_is_stored_as_a_blob() -> None:
    rig = WorkerRig()

    async with rig.running():
        await rig.offer(await rig.packet(inline_limit_bytes=0))
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    assert report.output.storage_type is StorageType.KV
    assert report.output.storage_key.startswith("data/exec_1/stage_1/output")
    assert await rig.blobs.get(report.output) == b'{"heard":{"word":"bee"}}'
    assert report.metrics.resource_usage.kv_operations == 1


async def test_an_output_of_another_media_type_is_stored_as_it_is() -> None:
    async def draw(assignment: Assignment) -> Outcome:
        return Outcome(output=b"<svg/>", media_type="image/svg+xml")

    rig = WorkerRig(draw)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    assert report.output.inline == b"<svg/>"
    assert report.output.media_type == "image/svg+xml"


async def test_bytes_that_are_to_be_json_are_written_as_base64() -> None:
    async def make_bytes(assignment: Assignment) -> Outcome:
        return Outcome(output=b"<svg/>")

    rig = WorkerRig(make_bytes)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    assert report.output.inline == b'"PHN2Zy8+"'


async def test_a_work_failure_is_reported_with_its_own_code() -> None:
    async def refuse(assignment: Assignment) -> Outcome:
        raise WorkFailure("rate_limited", "the provider asks to wait", retryable=True, retry_after_ms=1500)

    report = await failed(refuse)

    assert (report.code, report.message) == ("rate_limited", "the provider asks to wait")
    assert (report.retryable, report.retry_after_ms) == (True, 1500)


async def test_a_work_failure_inside_a_task_group_is_found() -> None:
    async def refuse() -> None:
        raise WorkFailure("no_source", "give a source text", retryable=False)

    async def in_parallel(assignment: Assignment) -> Outcome:
        async with asyncio.TaskGroup() as group:
            group.create_task(refuse())
        raise AssertionError

    report = await failed(in_parallel)

    assert (report.code, report.retryable) == ("no_source", False)


async def test_a_missing_input_is_reported_as_such() -> None:
    gone = BlobRef(storage_type=StorageType.KV, storage_key="data/gone", size_bytes=2, sha256="0" * 64)

    report = await failed(never, data_ref=gone)

    assert (report.code, report.retryable) == ("blob_missing", False)
    assert "data/gone" in report.message


async def test_an_input_that_is_no_object_is_refused() -> None:
    rig = WorkerRig(never)

    async with rig.running():
        await rig.offer(await rig.packet(stage_input=b"[1]"))
        [report] = await rig.reports()

    assert isinstance(report, Failed)
    assert (report.code, report.retryable) == ("input_invalid", False)
    assert report.message == "the stage's input is no JSON object: Expected `object`, got `array`"


async def test_a_blob_store_that_is_away_can_be_tried_again() -> None:
    async def lose(assignment: Assignment) -> Outcome:
        raise BlobStoreUnavailable("the object store does not answer")

    report = await failed(lose)

    assert (report.code, report.retryable) == ("blob_store_unavailable", True)


async def test_an_attempt_that_has_ended_is_freed_without_the_garbage_collector() -> None:
    begun: list[weakref.ref[Assignment]] = []

    async def write(assignment: Assignment) -> Outcome:
        begun.append(weakref.ref(assignment))
        return Outcome(output={})

    rig = WorkerRig(write)
    gc.disable()
    try:
        async with rig.running():
            await rig.offer(await rig.packet())
            await rig.reports()
            await rig.nothing_is_left()
            # A circle of references would wait for the collector, and be cold by then.
            await eventually(lambda: begun[0]() is None, what="nothing refers to it")
    finally:
        gc.enable()


async def test_what_a_full_blob_store_refuses_is_stored_later_and_not_made_again() -> None:
    made = 0

    async def make(assignment: Assignment) -> Outcome:
        nonlocal made
        made += 1
        return Outcome(output={"text": TOO_LARGE_TO_RIDE_INLINE})

    rig = WorkerRig(make)
    rig.blobs = FullBlobStore(refusals=2)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    assert report.output.storage_type is not StorageType.INLINE
    assert made == 1


async def test_a_blob_store_that_is_full_until_the_time_is_over_is_told_in_its_words() -> None:
    async def make(assignment: Assignment) -> Outcome:
        return Outcome(output={"text": TOO_LARGE_TO_RIDE_INLINE})

    rig = WorkerRig(make)
    rig.blobs = FullBlobStore(refusals=1000)

    async with rig.running():
        await rig.offer(await rig.packet(control=Control(timeout_ms=1_000)))
        [report] = await rig.reports()

    assert isinstance(report, Failed)
    assert (report.code, report.message, report.retryable) == ("blob_store_unavailable", "no space left on device", True)


async def test_an_error_of_the_action_is_logged_with_its_trace_and_told_without_it(
    log_lines: Callable[[], list[dict[str, Any]]],
) -> None:
    async def break_down(assignment: Assignment) -> Outcome:
        raise KeyError("the customer's words")

    report = await failed(break_down)

    assert (report.code, report.retryable) == ("internal_error", True)
    assert "customer" not in report.message
    [line] = [line for line in log_lines() if line["event"] == "action_broke"]
    assert line["execution_id"] == "exec_1"
    assert 'KeyError: "the customer\'s words"' in line["traceback"]


async def test_what_an_action_logs_names_its_attempt_and_the_trace_that_it_belongs_to(
    log_lines: Callable[[], list[dict[str, Any]]],
) -> None:
    async def log(assignment: Assignment) -> Outcome:
        structlog.get_logger().info("at_work")
        return Outcome(output={})

    rig = WorkerRig(log)
    async with rig.running():
        trace = "0af7651916cd43dd8448eb211c80319c"
        await rig.offer(await rig.packet(attempt=2), headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
        await rig.reports()

    [line] = [line for line in log_lines() if line["event"] == "at_work"]
    assert (line["execution_id"], line["stage_id"], line["attempt"], line["trace_id"]) == ("exec_1", "stage_1", 2, trace)


async def test_what_takes_the_place_of_an_attempt_is_not_logged_under_its_name(
    log_lines: Callable[[], list[dict[str, Any]]],
) -> None:
    go_on = asyncio.Event()

    async def wait(assignment: Assignment) -> Outcome:
        await go_on.wait()
        return Outcome(output={})

    rig = WorkerRig(wait, slots=1)
    async with rig.running():
        await rig.offer(await rig.packet())
        await rig.offer_bytes(b"poison")
        await eventually(lambda: rig.delivered() == 2, what="the poison waits for the slot")
        go_on.set()
        await rig.nothing_is_left()

    [line] = [line for line in log_lines() if line["event"] == "packet_buried"]
    assert "execution_id" not in line


async def test_an_action_that_outlasts_its_time_is_stopped() -> None:
    stopped = asyncio.Event()

    async def dawdle(assignment: Assignment) -> Outcome:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError

    report = await failed(dawdle, control=Control(timeout_ms=0))

    assert stopped.is_set()
    assert (report.code, report.retryable) == ("timeout", True)


async def test_an_action_has_all_of_its_time_by_the_monotonic_clock() -> None:
    begun = asyncio.Event()

    async def dawdle(assignment: Assignment) -> Outcome:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    rig = WorkerRig(dawdle)
    async with rig.running():
        await rig.offer(await rig.packet(control=Control(timeout_ms=20_000)))
        await begun.wait()
        await rig.passes(19.9)
        await eventually(lambda: rig.told, what="a beat has looked at it")
        stored_early = rig.reports_stored()
        await rig.passes(0.2)
        [report] = await rig.reports()

    assert stored_early == 0
    assert isinstance(report, Failed)
    assert (report.code, report.metrics.processing_time_ms) == ("timeout", 20_100)


async def test_a_time_limit_of_the_actions_own_is_an_error_of_its_own() -> None:
    async def impatient(assignment: Assignment) -> Outcome:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
        raise AssertionError

    report = await failed(impatient)

    assert report.code == "internal_error"


async def test_what_an_action_makes_of_its_cancelling_does_not_hide_the_timeout() -> None:
    async def translate(assignment: Assignment) -> Outcome:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise WorkFailure("connection_lost", "the stream ended", retryable=True) from None
        raise AssertionError

    report = await failed(translate, control=Control(timeout_ms=0))

    assert report.code == "timeout"


async def test_an_output_that_is_no_json_fails_the_attempt() -> None:
    async def give_an_object(assignment: Assignment) -> Outcome:
        return Outcome(output=object())

    report = await failed(give_an_object)

    assert (report.code, report.retryable) == ("output_not_encodable", False)


async def test_an_output_above_50_mib_fails_the_attempt() -> None:
    async def give_too_much(assignment: Assignment) -> Outcome:
        return Outcome(output=b" " * (50 * 1024 * 1024 + 1), media_type="text/plain")

    report = await failed(give_too_much)

    assert (report.code, report.retryable) == ("output_too_large", False)


@pytest.mark.parametrize("quality", [1.5, -0.1, float("nan")])
async def test_a_quality_outside_its_range_never_reaches_the_wire(quality: float) -> None:
    async def boast(assignment: Assignment) -> Outcome:
        return Outcome(output={}, quality_score=quality)

    report = await failed(boast)

    assert report.code == "outcome_invalid"


async def test_a_count_of_fewer_than_no_elements_never_reaches_the_wire() -> None:
    async def miscount(assignment: Assignment) -> Outcome:
        return Outcome(output={}, element_count=-1)

    report = await failed(miscount)

    assert (report.code, report.retryable) == ("outcome_invalid", False)


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"quality_score": True}, "Expected `float | null`, got `bool` - at `$.quality_score`"),
        ({"element_count": 2.5}, "Expected `int | null`, got `float` - at `$.element_count`"),
        ({"element_count": 2**31}, "Expected `int` <= 2147483647 - at `$.element_count`"),
        ({"provider": 5}, "Expected `str | null`, got `int` - at `$.provider`"),
        ({"model": "m\0"}, "at `$.model`"),
        ({"summary": 5}, "Expected `str`, got `int` - at `$.summary`"),
        ({"media_type": None}, "Expected `str`, got `null` - at `$.media_type`"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
async def test_an_outcome_that_nobody_could_read_fails_the_attempt_and_names_the_field(
    changes: dict[str, Any], mistake: str
) -> None:
    async def say(assignment: Assignment) -> Outcome:
        return Outcome(output={}, **changes)

    report = await failed(say)

    assert (report.code, report.retryable) == ("outcome_invalid", False)
    assert mistake in report.message


async def test_what_is_no_outcome_fails_the_attempt_with_the_mend() -> None:
    async def give_a_dict(assignment: Assignment) -> Any:
        return {"words": 3}

    report = await failed(give_a_dict)

    assert (report.code, report.retryable) == ("outcome_invalid", False)
    assert report.message == "the action gave a dict in place of an Outcome: return Outcome(output=…)"


async def test_an_action_that_is_no_coroutine_function_fails_the_attempt_with_the_mend() -> None:
    def work_at_once(assignment: Assignment) -> Any:
        return Outcome(output={})

    report = await failed(work_at_once)

    assert (report.code, report.retryable) == ("outcome_invalid", False)
    assert report.message == "the action say cannot be awaited, it gave Outcome: define it with async def"


async def test_a_summary_with_half_a_character_is_reported_all_the_same() -> None:
    async def say(assignment: Assignment) -> Outcome:
        return Outcome(output={}, summary="a\ud800b")

    rig = WorkerRig(say)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()

    assert isinstance(report, Completed)
    assert report.output_summary == "a?b"


class Unusual(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError(), Unusual(), SystemExit(3), KeyboardInterrupt(), BaseExceptionGroup("two", [Unusual()])],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_an_action_raises_is_an_error_of_its_own(error: BaseException) -> None:
    async def raise_it(assignment: Assignment) -> Outcome:
        raise error

    report = await failed(raise_it)

    assert (report.code, report.retryable) == ("internal_error", True)


async def test_an_action_that_awaits_what_it_has_cancelled_has_met_an_error_of_its_own() -> None:
    async def cancel_a_part(assignment: Assignment) -> Outcome:
        part = asyncio.create_task(asyncio.Event().wait())
        part.cancel()
        await part
        raise AssertionError

    report = await failed(cancel_a_part)

    assert report.code == "internal_error"
    assert "ended as cancelled, though nobody had cancelled the attempt" in report.message


def cancel_own_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def cancel_and_wait(assignment: Assignment) -> Outcome:
    cancel_own_task()
    await asyncio.Event().wait()
    raise AssertionError


async def cancel_from_a_timer(assignment: Assignment) -> Outcome:
    asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)  # type: ignore[union-attr]
    await asyncio.Event().wait()
    raise AssertionError


async def cancel_twice(assignment: Assignment) -> Outcome:
    try:
        await cancel_and_wait(assignment)
    finally:
        cancel_own_task()
    raise AssertionError


@pytest.mark.parametrize("action", [cancel_and_wait, cancel_from_a_timer, cancel_twice], ids=lambda action: action.__name__)
async def test_an_action_that_cancels_its_own_task_is_reported_as_failed(action: Action) -> None:
    report = await failed(action)

    assert (report.code, report.retryable) == ("internal_error", True)
    assert "ended as cancelled, though nobody had cancelled the attempt: it has cancelled its own task" in report.message


async def test_an_action_that_cancels_its_own_task_and_fails_is_reported_with_its_failure() -> None:
    async def cancel_and_refuse(assignment: Assignment) -> Outcome:
        cancel_own_task()
        raise WorkFailure("no_source", "give a source text", retryable=False)

    report = await failed(cancel_and_refuse)

    assert (report.code, report.message) == ("no_source", "give a source text")


async def test_the_output_of_an_action_that_cancels_its_own_task_at_its_end_is_reported() -> None:
    async def cancel_and_give(assignment: Assignment) -> Outcome:
        cancel_own_task()
        return Outcome(output={})

    rig = WorkerRig(cancel_and_give)

    async with rig.running():
        await rig.offer(await rig.packet())
        [report] = await rig.reports()
        await rig.nothing_is_left()

    assert isinstance(report, Completed)


async def test_a_worker_that_is_cancelled_takes_its_attempts_with_it_and_finds_no_error_in_them(
    log_lines: Callable[[], list[dict[str, Any]]],
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait(assignment: Assignment) -> Outcome:
        begun.set()
        try:
            return await asyncio.Future[Outcome]()
        finally:
            ended.set()

    rig = WorkerRig(wait)

    async def work_until_cancelled() -> None:
        async with rig.running() as worker:
            await rig.offer(await rig.packet())
            await begun.wait()
            worker.cancel()
            await ended.wait()
            await rig.settles()

    with pytest.raises(asyncio.CancelledError):
        await work_until_cancelled()
    assert [line for line in log_lines() if line["event"] == "action_broke"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"code": 5},
        {"code": "No such"},
        {"code": "handed_back"},
        {"message": ValueError("x")},
        {"retryable": "yes"},
        {"retry_after_ms": 1.5},
        {"retry_after_ms": -1},
        {"retry_after_ms": 10**12 + 1},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_a_failure_that_nobody_could_read_is_refused_where_it_is_made(
    wrong: dict[str, Any], log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    async def refuse(assignment: Assignment) -> Outcome:
        said: dict[str, Any] = {"code": "no_text", "message": "give a text", "retryable": False}
        said |= wrong
        raise WorkFailure(said.pop("code"), said.pop("message"), **said)

    report = await failed(refuse)

    assert report.code == "internal_error"
    [line] = [line for line in log_lines() if line["event"] == "action_broke"]
    assert repr(next(iter(wrong.values()))) in line["traceback"]


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0, 1e30])
async def test_a_part_of_the_time_that_is_no_time_is_refused_where_it_is_told(
    seconds: float, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    async def count_wrongly(assignment: Assignment) -> Outcome:
        assignment.spent_on("validation", seconds)
        raise AssertionError

    report = await failed(count_wrongly)

    assert report.code == "internal_error"
    [line] = [line for line in log_lines() if line["event"] == "action_broke"]
    assert f"{seconds} seconds of validation are no wall time" in line["traceback"]


async def test_a_failures_text_is_fit_to_be_read_by_the_orchestrator() -> None:
    async def babble(assignment: Assignment) -> Outcome:
        raise WorkFailure("odd", "a\0b" + "x" * 9000, retryable=False)

    report = await failed(babble)

    assert report.message.startswith("a\N{REPLACEMENT CHARACTER}b")
    assert len(report.message) == 2000


async def test_the_packet_stays_until_the_broker_has_confirmed_the_report() -> None:
    done = asyncio.Event()

    async def finish(assignment: Assignment) -> Outcome:
        rig.broker.stop_confirming()
        done.set()
        return Outcome(output={})

    rig = WorkerRig(finish)

    async with rig.running():
        await rig.offer(await rig.packet())
        await done.wait()
        await rig.settles()
        left_unconfirmed = rig.packets_left()
        rig.broker.come_back()
        await rig.nothing_is_left()
        reports = rig.reports_stored()

    assert left_unconfirmed == 1
    assert reports == 1


async def test_a_report_that_is_never_confirmed_leaves_the_packet_to_be_delivered_again() -> None:
    attempts: list[int] = []

    async def finish(assignment: Assignment) -> Outcome:
        attempts.append(assignment.attempt)
        if len(attempts) == 1:
            rig.broker.stop_confirming()
        return Outcome(output={})

    rig = WorkerRig(finish)

    async with rig.running():
        await rig.offer(await rig.packet())
        await eventually(lambda: attempts == [1])
        await rig.settles()
        await rig.passes(8.0)
        await eventually(lambda: rig.set_aside("unconfirmed") == 1)
        rig.broker.come_back()
        for _ in range(3):
            await rig.passes(10.5)
            await rig.fetches_ended()
        await rig.nothing_is_left()

    assert attempts == [1, 7]


async def never(assignment: Assignment) -> Outcome:
    raise AssertionError("nothing to work on")
