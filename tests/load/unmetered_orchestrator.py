"""The orchestrator without what is there for metrics alone: no attempt is kept or told to the classifier, nothing is added up
for a stage or an execution, and Prometheus' figures stand still.
"""

import sys
from collections.abc import Sequence

from aif_contracts.events import Totals
from aif_contracts.metering import CostLines, ResourceUsage, TimeBreakdown, Tokens
from aif_orchestrator.engine.batch import Worked
from aif_orchestrator.engine.figures import Figures
from aif_orchestrator.execution.charging import record_attempt
from aif_orchestrator.execution.metering import execution_totals
from aif_orchestrator.execution.spent import with_attempt
from aif_orchestrator.settings import OrchestratorSettings
from aif_orchestrator.wiring import wire
from aif_runtime.process import run_service
from load.replaced import replace_everywhere

NOTHING = Totals(
    tokens_used=Tokens(),
    cost_usd="0",
    cost_is_complete=True,
    cost_lines=CostLines(),
    wall_time_ms=0,
    busy_time_ms=0,
    breakdown=TimeBreakdown(),
    resource_usage=ResourceUsage(),
    attempts=0,
)


def uncounted(_figures: Figures, _worked: Sequence[Worked]) -> None:
    return None


if __name__ == "__main__":
    Figures.count = uncounted  # type: ignore[assignment, method-assign]
    replace_everywhere(record_attempt, lambda *_, **__: None)
    replace_everywhere(execution_totals, lambda *_: NOTHING)
    replace_everywhere(with_attempt, lambda total, _: total)
    sys.exit(run_service(service="orchestrator", settings_type=OrchestratorSettings, wire=wire))
