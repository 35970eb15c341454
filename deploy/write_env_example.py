"""Writes deploy/env.example from the services' settings structs: `python deploy/write_env_example.py`.

A script and no command of `aif`, because it imports every service, and no package of the project may import them all.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from aif_analyst.settings import AnalystSettings
from aif_classifier.settings import ClassifierSettings
from aif_granulator.settings import GranulatorSettings
from aif_kam.settings import KamSettings
from aif_orchestrator.settings import OrchestratorSettings
from aif_planner.settings import PlannerSettings
from aif_researcher.settings import ResearcherSettings
from aif_runtime.env_example import env_example

TARGET = Path(__file__).with_name("env.example")
SETTINGS: Mapping[str, type[Struct]] = {
    "kam": KamSettings,
    "orchestrator": OrchestratorSettings,
    "granulator": GranulatorSettings,
    "researcher": ResearcherSettings,
    "analyst": AnalystSettings,
    "planner": PlannerSettings,
    "classifier": ClassifierSettings,
}


def rendered() -> str:
    """The file's text."""
    return env_example(SETTINGS)


if __name__ == "__main__":
    TARGET.write_text(rendered(), encoding="utf-8")
    sys.stdout.write(f"wrote {TARGET.name}\n")
