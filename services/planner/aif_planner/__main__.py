"""`python -m aif_planner` runs the planner."""

import sys

from aif_planner.settings import PlannerSettings
from aif_planner.wiring import wire
from aif_runtime.process import run_service

if __name__ == "__main__":
    sys.exit(run_service(service="planner", settings_type=PlannerSettings, wire=wire))
