"""From a message of the reports' stream to the reports in it, and to what in it is none."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from aif_contracts.metering import AttemptNumber
from aif_contracts.reports import MOST_TOGETHER, Completed, Failed, Report
from aif_orchestrator.execution.happenings import AttemptFailed
from aif_runtime.decoding import decode, parts_of
from aif_runtime.failures import MalformedMessage

_REPORTS = msgspec.json.Decoder(list[Report])
_Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,200}$(?!\n)")]
_NOT_ENDS = ("accepted", "progress", "declined")
_REPORT: msgspec.json.Decoder[Report] = msgspec.json.Decoder(Report)


class Poison(Struct, frozen=True, kw_only=True):
    """What can never be applied."""

    content: bytes
    """A message of its own, which can be sent again once the cause is mended."""
    reason: str
    ended: "Ended | None" = None
    """The attempt that ended with it: nothing else will be heard of that."""


class Ended(Struct, frozen=True, kw_only=True):
    """As much of a report as tells which attempt it is about."""

    execution_id: _Id
    stage_id: _Id
    attempt: AttemptNumber
    worker_name: _Id
    instance_id: _Id | None = None
    type: str = ""

    def failed(self, reason: str) -> AttemptFailed:
        """What becomes of the attempt. What it spent is not known but for its booked calls."""
        return AttemptFailed(
            stage_id=self.stage_id,
            attempt=self.attempt,
            worker_name=self.worker_name,
            code="report_unusable",
            message=f"the worker's report on attempt {self.attempt} cannot be used: {reason}",
            retryable=True,
            retry_after_ms=None,
            metrics=None,
            instance_id=self.instance_id,
        )


_ENDED = msgspec.json.Decoder(Ended)


def read_reports(payload: bytes, *, worker: str) -> tuple[list[Report], list[Poison]]:
    """The reports of `worker`, which the message's subject names. One that cannot be read takes no other with it."""
    try:
        reports = decode(_REPORTS, payload)
    except MalformedMessage as mistake:
        return _read_each(payload, worker, str(mistake))
    if reports and all(_mistake_in(report, worker) is None for report in reports):
        return reports, []
    return _read_each(payload, worker, "the message holds no report: send a JSON array of them")


def _read_each(payload: bytes, worker: str, reason: str) -> tuple[list[Report], list[Poison]]:
    """`reason` is why the whole could not be read."""
    try:
        parts = parts_of(payload, at_most=MOST_TOGETHER)
    except MalformedMessage as mistake:
        return [], [Poison(content=payload, reason=str(mistake))]
    if not parts:
        return [], [Poison(content=payload, reason=reason)]
    reports: list[Report] = []
    poison: list[Poison] = []
    for content in parts:
        try:
            reports.append(_read(content, worker))
        except MalformedMessage as mistake:
            alone = payload if len(parts) == 1 else b"[" + content + b"]"
            poison.append(Poison(content=alone, reason=str(mistake), ended=_ended(content, worker)))
    return reports, poison


def _read(content: bytes, worker: str) -> Report:
    report: Report = decode(_REPORT, content)
    mistake = _mistake_in(report, worker)
    if mistake is not None:
        raise MalformedMessage(mistake)
    return report


def _mistake_in(report: Report, worker: str) -> str | None:
    """Whether it speaks for somebody else."""
    if report.worker_name != worker:
        return f"the report is of {report.worker_name}, its subject says {worker}"
    if isinstance(report, Completed | Failed) and report.calls:
        own = (report.execution_id, report.stage_id, report.attempt, worker)
        for call in report.calls:
            if (call.execution_id, call.stage_id, call.attempt, call.worker_name) != own:
                return f"the report names {call.call_key}, which is not a call of its attempt"
    return None


def _ended(content: bytes, worker: str) -> Ended | None:
    """Which attempt of `worker` has ended with a report that cannot be read; None when that cannot be read either."""
    try:
        ended = _ENDED.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return ended if ended.worker_name == worker and ended.type not in _NOT_ENDS else None
