"""The worker `classifier`: how a client's own attempts did, as a stage of that client's pipelines."""

from aif_classifier.client_insights import ClientInsights
from aif_runtime.assignment import ActionSpec, WorkerSpec

CLASSIFIER = "classifier"


def classifier_spec(insights: ClientInsights, *, slots: int) -> WorkerSpec:
    """It calls no provider, so its packets need no claim."""
    return WorkerSpec(
        worker_name=CLASSIFIER,
        actions={"analyze_worker_performance": ActionSpec(run=insights.analyze_worker_performance, paid=False)},
        slots=slots,
    )
