"""`python -m aif_kam` runs the gateway."""

import sys

from aif_kam.settings import KamSettings
from aif_kam.wiring import wire
from aif_runtime.process import run_service

if __name__ == "__main__":
    sys.exit(run_service(service="kam", settings_type=KamSettings, wire=wire))
