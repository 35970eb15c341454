"""The classifier's settings."""

from datetime import timedelta
from typing import Annotated

from msgspec import Meta

from aif_runtime.settings import Secret
from aif_runtime.worker_settings import WorkerSettings

_DURATIONS = ("classifier_retention", "classifier_window", "classifier_analysis_interval")


class ClassifierSettings(WorkerSettings, frozen=True, kw_only=True):
    classifier_database_url: Annotated[
        Secret,
        Meta(description="Postgres URL of the classifier's own role, whose search path is its own schema"),
    ]
    classifier_retention: Annotated[timedelta, Meta(description="Attempts older than this are deleted")] = timedelta(days=90)
    classifier_window: Annotated[timedelta, Meta(description="Recommendations come from the attempts of so long a time")] = (
        timedelta(days=7)
    )
    classifier_analysis_interval: Annotated[
        timedelta, Meta(description="Pause between two looks at the attempts that arrived")
    ] = timedelta(seconds=15)
    classifier_minimum_sample: Annotated[
        int, Meta(ge=10, le=100_000, description="Attempts in each compared group below which nothing is recommended")
    ] = 30
    classifier_minimum_confidence: Annotated[
        float, Meta(gt=0.5, lt=1, description="Confidence below which nothing is recommended")
    ] = 0.9
    classifier_slots: Annotated[
        int, Meta(ge=1, le=16, description="Clients' questions about their attempts that one process answers at once")
    ] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in _DURATIONS:
            if getattr(self, field) <= timedelta(0):
                raise ValueError(f"AIF_{field.upper()} is 0: set it to a duration such as 15s or 90d")
        if self.classifier_window > self.classifier_retention:
            raise ValueError(
                "AIF_CLASSIFIER_WINDOW is longer than AIF_CLASSIFIER_RETENTION: attempts would be deleted before they are"
                " analysed; shorten the window or keep attempts longer"
            )
