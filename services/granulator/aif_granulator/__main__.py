"""`python -m aif_granulator` runs the granulator."""

import sys

from aif_granulator.settings import GranulatorSettings
from aif_granulator.wiring import wire
from aif_runtime.process import run_service

if __name__ == "__main__":
    sys.exit(run_service(service="granulator", settings_type=GranulatorSettings, wire=wire))
