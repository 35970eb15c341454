"""From a message of the reports' stream to the reports in it, and to what in it is none."""

import msgspec
from msgspec import Struct

from aif_contracts.reports import Report
from aif_runtime.decoding import decode, parts_of
from aif_runtime.failures import MalformedMessage

_REPORTS = msgspec.json.Decoder(list[Report])
_REPORT: msgspec.json.Decoder[Report] = msgspec.json.Decoder(Report)


class Poison(Struct, frozen=True, kw_only=True):
    """What can never be applied."""

    content: bytes
    """A message of its own, which can be sent again once the cause is mended."""
    reason: str


def read_reports(payload: bytes, *, worker: str) -> tuple[list[Report], list[Poison]]:
    """The reports of `worker`, which the message's subject names. One that cannot be read takes no other with it."""
    try:
        reports = decode(_REPORTS, payload)
    except MalformedMessage as mistake:
        return _read_each(payload, worker, str(mistake))
    if reports and all(report.worker_name == worker for report in reports):
        return reports, []
    return _read_each(payload, worker, "the message holds no report: send a JSON array of them")


def _read_each(payload: bytes, worker: str, reason: str) -> tuple[list[Report], list[Poison]]:
    """`reason` is why the whole could not be read."""
    parts = parts_of(payload)
    if not parts:
        return [], [Poison(content=payload, reason=reason)]
    reports: list[Report] = []
    poison: list[Poison] = []
    for content in parts:
        try:
            reports.append(_read(content, worker))
        except MalformedMessage as mistake:
            alone = payload if len(parts) == 1 else b"[" + content + b"]"
            poison.append(Poison(content=alone, reason=str(mistake)))
    return reports, poison


def _read(content: bytes, worker: str) -> Report:
    report: Report = decode(_REPORT, content)
    if report.worker_name != worker:
        raise MalformedMessage(f"the report is of {report.worker_name}, its subject says {worker}")
    return report
