"""All findings about one slice. Computed, never asked of a model: the same attempts always give the same findings."""

from collections.abc import Sequence

from aif_classifier import regressions, spending, timeouts
from aif_classifier.findings import Finding, Thresholds
from aif_classifier.samples import Sample, Slice, grouped


def findings_about(slice_: Slice, samples: Sequence[Sample], thresholds: Thresholds) -> tuple[Finding, ...]:
    """What is worth recommending, surest first. Nothing below the minimum sample, nothing below the minimum confidence."""
    judged = [sample for sample in samples if sample.is_judged]
    found = [
        timeouts.about_timeout(slice_, judged, thresholds),
        spending.about_wasted_cost(slice_, judged, thresholds),
    ]
    for complexity, alike in sorted(grouped(judged, lambda sample: sample.input_complexity).items()):
        found += [
            spending.about_cheaper_model(slice_, complexity, alike, thresholds),
            regressions.about_quality(slice_, complexity, alike, thresholds),
            regressions.about_speed(slice_, complexity, alike, thresholds),
        ]
    kept = [finding for finding in found if finding is not None]
    return tuple(sorted(kept, key=lambda finding: (-finding.confidence_score, finding.insight_key)))
