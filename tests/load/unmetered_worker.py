"""The worker that does nothing, and measures nothing of it: neither CPU time nor the figures of its reports nor Prometheus'."""

import sys
from collections.abc import Awaitable, Coroutine
from typing import Any

from aif_contracts.metering import Metrics
from aif_contracts.reports import Completed, Failed
from aif_runtime.attempt import Attempt
from aif_runtime.attempt_metrics import metrics_of
from aif_runtime.cpu_meter import CpuMeter
from aif_runtime.process import run_service
from aif_runtime.worker_figures import WorkerFigures
from load.idle_worker import IdleWorkerSettings, wire
from load.replaced import replace_everywhere

NOTHING = Metrics()


def unmeasured(_meter: CpuMeter, work: Coroutine[Any, Any, Any]) -> Awaitable[Any]:
    return work


def uncounted(_figures: WorkerFigures, _attempt: Attempt, _report: Completed | Failed) -> None:
    return None


if __name__ == "__main__":
    CpuMeter.measure = unmeasured  # type: ignore[assignment, method-assign]
    WorkerFigures.attempt = uncounted  # type: ignore[assignment, method-assign]
    replace_everywhere(metrics_of, lambda *_: NOTHING)
    sys.exit(run_service(service="idle_worker", settings_type=IdleWorkerSettings, wire=wire))
