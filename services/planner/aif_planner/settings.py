"""The planner's settings."""

from typing import Annotated

from msgspec import Meta

from aif_ai.model_settings import ModelSettings


class PlannerSettings(ModelSettings, frozen=True, kw_only=True):
    planner_slots: Annotated[int, Meta(ge=1, le=64, description="Workflows that one process makes at once")] = 4
