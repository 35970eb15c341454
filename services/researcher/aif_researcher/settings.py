"""The researcher's settings."""

from typing import Annotated

from msgspec import Meta

from aif_ai.model_settings import ModelSettings


class ResearcherSettings(ModelSettings, frozen=True, kw_only=True):
    researcher_slots: Annotated[int, Meta(ge=1, le=64, description="Topics that one process researches at once")] = 4
