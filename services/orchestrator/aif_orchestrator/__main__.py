"""`python -m aif_orchestrator`: one replica of the orchestrator."""

import sys

from aif_orchestrator.settings import OrchestratorSettings
from aif_orchestrator.wiring import wire
from aif_runtime.process import run_service

if __name__ == "__main__":
    sys.exit(run_service(service="orchestrator", settings_type=OrchestratorSettings, wire=wire))
