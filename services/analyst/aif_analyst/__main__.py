"""`python -m aif_analyst` runs the analyst."""

import sys

from aif_analyst.settings import AnalystSettings
from aif_analyst.wiring import wire
from aif_runtime.process import run_service

if __name__ == "__main__":
    sys.exit(run_service(service="analyst", settings_type=AnalystSettings, wire=wire))
