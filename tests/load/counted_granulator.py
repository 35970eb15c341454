"""The granulator, which notes each attempt that has ended in a file before it reports it: `counted_granulator.py FILE`.

The note is with the kernel when the report leaves, so a process that is killed leaves all its notes behind.
"""

import os
import sys
from contextlib import AbstractAsyncContextManager

import msgspec
from msgspec import Struct

from aif_contracts.reports import Completed, Failed
from aif_granulator.settings import GranulatorSettings
from aif_granulator.wiring import wire
from aif_runtime import worker_loop
from aif_runtime.assignment import Action
from aif_runtime.attempt import Attempt
from aif_runtime.attempt_work import AttemptWork
from aif_runtime.process import run_service


class Note(Struct, frozen=True, kw_only=True):
    execution_id: str
    stage_id: str
    attempt: int
    success: bool
    processing_time_ms: int
    cpu_time_ms: int


class NotedWork(AttemptWork):
    notes: int
    """The file's descriptor."""

    async def report(
        self, attempt: Attempt, action: Action, alone: AbstractAsyncContextManager[None] | None = None
    ) -> Completed | Failed:
        report = await super().report(attempt, action, alone)
        note = Note(
            execution_id=report.execution_id,
            stage_id=report.stage_id,
            attempt=report.attempt,
            success=isinstance(report, Completed),
            processing_time_ms=report.metrics.processing_time_ms,
            cpu_time_ms=report.metrics.resource_usage.cpu_time_ms,
        )
        os.write(self.notes, msgspec.json.encode(note) + b"\n")
        return report


if __name__ == "__main__":
    NotedWork.notes = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    worker_loop.AttemptWork = NotedWork  # type: ignore[attr-defined]
    sys.exit(run_service(service="granulator", settings_type=GranulatorSettings, wire=wire))
