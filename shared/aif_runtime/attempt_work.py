"""Runs the action of one attempt and puts its end, whatever it is, into a report."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import structlog

from aif_contracts.blobs import BlobRef
from aif_contracts.reports import Completed, Failed
from aif_runtime.assignment import Action, Outcome, WorkFailure
from aif_runtime.attempt import Attempt, StopReason
from aif_runtime.attempt_metrics import PeakMemory, metrics_of
from aif_runtime.failures import RuntimeFailure
from aif_runtime.interruption import Interruption
from aif_runtime.worker_settings import CostRates

LARGEST_OUTPUT_BYTES = 50 * 1024 * 1024
_TEXT_CHARACTERS = 2000
_JSON = "application/json"

_encoder = msgspec.json.Encoder()
_input_decoder = msgspec.json.Decoder(dict[str, Any])
_log = structlog.get_logger()


class AttemptWork:
    def __init__(self, *, instance_id: str, rates: CostRates, redact: Callable[[str], str]) -> None:
        self._instance_id = instance_id
        self._rates = rates
        self._redact = redact
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
        except asyncio.CancelledError:
            if not (interruption.leave() and interruption.has_struck):
                raise
            return self._cut_short(attempt)
        except Exception as error:  # noqa: BLE001 the outermost place of an action
            interruption.leave()
            # What an action makes of being cancelled does not hide that it was.
            return self._cut_short(attempt) if interruption.has_struck else self._failed_by(attempt, error)
        finally:
            interruption.leave()
        return self._completed(attempt, outcome, ref)

    async def _outcome(self, attempt: Attempt, action: Action) -> tuple[Outcome, BlobRef]:
        """What the action made, stored."""
        attempt.take_input(_object_in(await attempt.blobs.get(attempt.packet.data_ref)))
        outcome = await action(attempt)
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
            quality_score=outcome.quality_score,
            element_count=outcome.element_count,
            output_summary=self._clean(outcome.summary),
        )

    def _cut_short(self, attempt: Attempt) -> Failed:
        reason = attempt.stop_reason
        if reason is None:
            seconds = attempt.elapsed_seconds()
            return self._failed(attempt, "timeout", f"not done after {seconds:.1f} s, the attempt's time limit", retryable=True)
        return self._failed(attempt, reason.value, _STOPPED[reason], retryable=False)

    def _failed_by(self, attempt: Attempt, error: Exception) -> Failed:
        cause = _typed_cause(error)
        if isinstance(cause, WorkFailure):
            return self._failed(
                attempt, cause.code, cause.message, retryable=cause.retryable, retry_after_ms=cause.retry_after_ms
            )
        if isinstance(cause, RuntimeFailure):
            return self._failed(attempt, cause.code, str(cause), retryable=cause.retryable)
        return self._broken(attempt, error)

    def _broken(self, attempt: Attempt, error: Exception) -> Failed:
        _log.error("action_broke", action=attempt.action, exc_info=error)
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
            message=self._clean(message),
            retryable=retryable,
            retry_after_ms=retry_after_ms,
            metrics=metrics_of(attempt, self._rates, None, self._memory),
        )

    def _clean(self, text: str) -> str:
        """Fit to be sent: without secrets, and without NUL, which every reader of ours refuses."""
        if not text:
            return ""
        return self._redact(text.replace("\0", "\N{REPLACEMENT CHARACTER}"))[:_TEXT_CHARACTERS]


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


def _object_in(content: bytes) -> dict[str, Any]:
    """A stage's input. Raises WorkFailure."""
    try:
        return _input_decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        raise WorkFailure("input_invalid", f"the stage's input is no JSON object: {wrong}", retryable=False) from wrong


def _encoded(outcome: Outcome) -> bytes:
    """The bytes to store. Raises WorkFailure for an outcome that cannot be sent."""
    quality, count = outcome.quality_score, outcome.element_count
    if quality is not None and not 0 <= quality <= 1:
        raise WorkFailure("outcome_invalid", f"quality_score is {quality}, which is not from 0 to 1", retryable=False)
    if count is not None and count < 0:
        raise WorkFailure("outcome_invalid", f"element_count is {count}, which is below 0", retryable=False)
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
