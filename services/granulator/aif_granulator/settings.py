"""The granulator's settings."""

from typing import Annotated

from msgspec import Meta

from aif_ai.model_settings import ModelSettings


class GranulatorSettings(ModelSettings, frozen=True, kw_only=True):
    granulator_slots: Annotated[int, Meta(ge=1, le=64, description="Structures that one process makes at once")] = 4
    optimizer_slots: Annotated[int, Meta(ge=1, le=64, description="Structures that one process makes smaller at once")] = 2
