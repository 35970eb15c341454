"""Runs the action of one attempt and puts its end, whatever it is, into a report."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any

import msgspec
import structlog
from msgspec import Meta, Struct, ValidationError, convert

from aif_contracts.blobs import BlobRef
from aif_contracts.reports import LONGEST_TEXT, MOST_CALLS_NAMED, Completed, ElementCount, Failed, QualityScore
from aif_runtime.assignment import Action, Outcome, WorkFailure
from aif_runtime.attempt import Attempt, StopReason
from aif_runtime.attempt_metrics import PeakMemory, metrics_of
from aif_runtime.failures import RuntimeFailure
from aif_runtime.interruption import Interruption
from aif_runtime.worker_settings import CostRates

LARGEST_OUTPUT_BYTES = 50 * 1024 * 1024
_JSON = "application/json"
_Word = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\ud800-\udfff]*$(?!\n)", max_length=500)]

_encoder = msgspec.json.Encoder()
_input_decoder = msgspec.json.Decoder(dict[str, Any])
_log = structlog.get_logger()


class AttemptWork:
    def __init__(self, *, instance_id: str, rates: CostRates, sendable: Callable[[str], str]) -> None:
        """`sendable` makes texts of actions fit to leave the process."""
        self._instance_id = instance_id
        self._rates = rates
        self._sendable = sendable
        self._memory = PeakMemory()

    async def report(
        self, attempt: Attempt, action: Action, alone: AbstractAsyncContextManager[None] | None = None
    ) -> Completed | Failed:
        """Work until the attempt ends by itself, by its time limit or because it was stopped.

        One that is to be `alone` begins, and its time with it, when it is; it can be stopped before.
        """
        interruption = Interruption()
        attempt.interruption = interruption
        try:
            if alone is None:
                outcome, ref = await attempt.meter.measure(self._outcome(attempt, action))
            else:
                async with alone:
                    attempt.begin()
                    outcome, ref = await attempt.meter.measure(self._outcome(attempt, action))
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and interruption.is_of_the_task:
                raise
            await interruption.leave()
            # What an action makes of being cancelled does not hide that it was. One that ends as cancelled though nobody has
            # cancelled it has met an error of its own, and so has one that wants to end the process.
            return self._cut_short(attempt) if interruption.has_struck else self._failed_by(attempt, error)
        await interruption.leave()
        return self._completed(attempt, outcome, ref)

    async def _outcome(self, attempt: Attempt, action: Action) -> tuple[Outcome, BlobRef]:
        """What the action made, stored."""
        attempt.take_input(_object_in(await attempt.blobs.get(attempt.packet.data_ref)))
        outcome = await _begun(action, attempt)
        ref = await attempt.blobs.put(
            f"data/{attempt.execution_id}/{attempt.stage_id}/output",
            _encoded(outcome),
            media_type=outcome.media_type,
            inline_limit_bytes=attempt.packet.inline_limit_bytes,
        )
        return outcome, ref

    def _completed(self, attempt: Attempt, outcome: Outcome, ref: BlobRef) -> Completed:
        return Completed(
            packet_id=attempt.packet.packet_id,
            execution_id=attempt.execution_id,
            stage_id=attempt.stage_id,
            attempt=attempt.attempt,
            worker_name=attempt.worker_name,
            instance_id=self._instance_id,
            output=ref,
            metrics=metrics_of(attempt, self._rates, outcome, self._memory),
            calls=tuple(attempt.calls[-MOST_CALLS_NAMED:]),
            points=attempt.untold.taken(self._sendable),
            quality_score=outcome.quality_score,
            element_count=outcome.element_count,
            output_summary=self._sendable(outcome.summary)[:LONGEST_TEXT],
        )

    def _cut_short(self, attempt: Attempt) -> Failed:
        reason = attempt.stop_reason
        if reason is None:
            seconds = attempt.elapsed_seconds()
            return self._failed(attempt, "timeout", f"not done after {seconds:.1f} s, the attempt's time limit", retryable=True)
        return self._failed(attempt, reason.value, _STOPPED[reason], retryable=False)

    def _failed_by(self, attempt: Attempt, error: BaseException) -> Failed:
        cause = _typed_cause(error)
        if isinstance(cause, WorkFailure):
            return self._failed(
                attempt, cause.code, cause.message, retryable=cause.retryable, retry_after_ms=cause.retry_after_ms
            )
        if isinstance(cause, RuntimeFailure):
            return self._failed(attempt, cause.code, str(cause), retryable=cause.retryable)
        return self._broken(attempt, error)

    def _broken(self, attempt: Attempt, error: BaseException) -> Failed:
        _log.error("action_broke", action=attempt.action, exc_info=error)
        if isinstance(error, asyncio.CancelledError):
            message = (
                f"the action {attempt.action} ended as cancelled, though nobody had cancelled the attempt: it has cancelled "
                "its own task, or awaited one that was cancelled"
            )
        else:
            message = f"the action {attempt.action} met an error of its own; the worker's log tells it under this execution"
        return self._failed(attempt, "internal_error", message, retryable=True)

    def _failed(
        self, attempt: Attempt, code: str, message: str, *, retryable: bool, retry_after_ms: int | None = None
    ) -> Failed:
        return Failed(
            packet_id=attempt.packet.packet_id,
            execution_id=attempt.execution_id,
            stage_id=attempt.stage_id,
            attempt=attempt.attempt,
            worker_name=attempt.worker_name,
            instance_id=self._instance_id,
            code=code,
            message=self._sendable(message)[:LONGEST_TEXT],
            retryable=retryable,
            retry_after_ms=retry_after_ms,
            metrics=metrics_of(attempt, self._rates, None, self._memory),
            calls=tuple(attempt.calls[-MOST_CALLS_NAMED:]),
            points=attempt.untold.taken(self._sendable),
        )


_STOPPED = {
    StopReason.CANCELLED: "the execution was cancelled",
    StopReason.SUPERSEDED: "another attempt has taken the place of this one",
    StopReason.HANDED_BACK: "the worker process ended; another one continues",
}


def _typed_cause(error: BaseException) -> BaseException:
    """Of a task group's failures the first one that says what it means."""
    if isinstance(error, BaseExceptionGroup):
        leaves = [_typed_cause(inner) for inner in error.exceptions]
        return next((leaf for leaf in leaves if isinstance(leaf, (WorkFailure, RuntimeFailure))), error)
    return error


class _Said(Struct):
    """What an outcome says besides its output."""

    quality_score: QualityScore | None
    element_count: ElementCount | None
    provider: _Word | None
    model: _Word | None
    summary: str
    media_type: _Word


def _check_said(outcome: Outcome) -> None:
    """Raises WorkFailure for what the orchestrator could not read."""
    try:
        convert({name: getattr(outcome, name) for name in _Said.__struct_fields__}, _Said)
    except ValidationError as wrong:
        message = f"the outcome of the action cannot be reported: {wrong}"
        raise WorkFailure("outcome_invalid", message, retryable=False) from wrong


def _object_in(content: bytes) -> dict[str, Any]:
    """A stage's input. Raises WorkFailure."""
    try:
        return _input_decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        raise WorkFailure("input_invalid", f"the stage's input is no JSON object: {wrong}", retryable=False) from wrong


def _begun(action: Action, attempt: Attempt) -> Awaitable[Outcome]:
    """Its work. Raises WorkFailure for a plain function, which has done it already and held up everybody else."""
    work = action(attempt)
    if not isinstance(work, Awaitable):
        message = f"the action {attempt.action} cannot be awaited, it gave {type(work).__name__}: define it with async def"
        raise WorkFailure("outcome_invalid", message, retryable=False)
    return work


def _encoded(outcome: Outcome) -> bytes:
    """The bytes to store. Raises WorkFailure for an outcome that cannot be sent."""
    if not isinstance(outcome, Outcome):
        message = f"the action gave a {type(outcome).__name__} in place of an Outcome: return Outcome(output=…)"
        raise WorkFailure("outcome_invalid", message, retryable=False)
    _check_said(outcome)
    if isinstance(outcome.output, bytes) and outcome.media_type != _JSON:
        content = outcome.output
    else:
        try:
            content = _encoder.encode(outcome.output)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as wrong:
            message = f"the output cannot be written as JSON: {wrong}"
            raise WorkFailure("output_not_encodable", message, retryable=False) from wrong
    if len(content) > LARGEST_OUTPUT_BYTES:
        message = f"the output has {len(content)} bytes, above the limit of {LARGEST_OUTPUT_BYTES}"
        raise WorkFailure("output_too_large", message, retryable=False)
    return content
