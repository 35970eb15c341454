"""`python -m aif_researcher` runs the researcher."""

import sys

from aif_researcher.settings import ResearcherSettings
from aif_researcher.wiring import wire
from aif_runtime.process import run_service

if __name__ == "__main__":
    sys.exit(run_service(service="researcher", settings_type=ResearcherSettings, wire=wire))
