"""Did it get worse? The recent half of the attempts against the earlier half, inputs of one class at a time."""

from collections.abc import Sequence

from aif_classifier.findings import Finding, Thresholds, percent
from aif_classifier.samples import Sample, Slice, halves_by_time, percentile
from aif_classifier.significance import mean, mean_rose_by_more_than, values_rose
from aif_contracts.performance import RecommendationType


def about_quality(slice_: Slice, complexity: str, samples: Sequence[Sample], thresholds: Thresholds) -> Finding | None:
    """A drop of the mean quality score that surely exceeds the margin (Welch)."""
    earlier, recent = halves_by_time([s for s in samples if s.success and s.quality_score is not None])
    if len(earlier) < thresholds.minimum_sample:
        return None
    before = [s.quality_score for s in earlier if s.quality_score is not None]
    now = [s.quality_score for s in recent if s.quality_score is not None]
    confidence = mean_rose_by_more_than(now, before, thresholds.quality_margin)
    if confidence < thresholds.minimum_confidence:
        return None
    return Finding(
        insight_key=f"quality_fell/{slice_.worker_name}/{slice_.action}/{slice_.template}/{complexity}",
        recommendation_type=RecommendationType.QUALITY,
        description=(
            f"The quality of {slice_.action} in {slice_.template} on {complexity} inputs fell from {mean(before):.3f} to"
            f" {mean(now):.3f}{_compared(earlier, recent)}"
        ),
        confidence_score=confidence,
        sample_size=len(before) + len(now),
        current_value=f"{mean(now):.3f}",
        recommended_value=f"{mean(before):.3f}",
        expected_improvement=f"+{mean(before) - mean(now):.3f} quality score",
        evidence={
            "earlier_quality_mean": mean(before),
            "recent_quality_mean": mean(now),
            "earlier_models": _models(earlier),
            "recent_models": _models(recent),
        },
    )


def about_speed(slice_: Slice, complexity: str, samples: Sequence[Sample], thresholds: Thresholds) -> Finding | None:
    """Successes that take longer: medians apart by the ratio that matters, and surely not by chance (Mann and Whitney,
    because times are skewed)."""
    earlier, recent = halves_by_time([sample for sample in samples if sample.success])
    if len(earlier) < thresholds.minimum_sample:
        return None
    before = [float(sample.execution_time_ms) for sample in earlier]
    now = [float(sample.execution_time_ms) for sample in recent]
    before_ms, now_ms = percentile(before, 0.5), percentile(now, 0.5)
    if before_ms <= 0 or now_ms < thresholds.slowdown * before_ms:
        return None
    confidence = values_rose(before, now)
    if confidence < thresholds.minimum_confidence:
        return None
    return Finding(
        insight_key=f"speed_fell/{slice_.worker_name}/{slice_.action}/{slice_.template}/{complexity}",
        recommendation_type=RecommendationType.SPEED,
        description=(
            f"{slice_.action} in {slice_.template} on {complexity} inputs takes {now_ms:.0f} ms where it took"
            f" {before_ms:.0f} ms{_compared(earlier, recent)}"
        ),
        confidence_score=confidence,
        sample_size=len(before) + len(now),
        current_value=f"{now_ms:.0f} ms",
        recommended_value=f"{before_ms:.0f} ms",
        expected_improvement=f"-{percent(1 - before_ms / now_ms)} time",
        evidence={
            "earlier_time_ms_p50": before_ms,
            "recent_time_ms_p50": now_ms,
            "earlier_models": _models(earlier),
            "recent_models": _models(recent),
        },
    )


def _compared(earlier: Sequence[Sample], recent: Sequence[Sample]) -> str:
    """The halves meet in the middle, wherever between their ends the change was."""
    return (
        f", comparing the attempts before {recent[0].timestamp:%Y-%m-%d %H:%M} UTC with those since: look for what changed"
        f" between {earlier[0].timestamp:%Y-%m-%d %H:%M} and {recent[-1].timestamp:%Y-%m-%d %H:%M} UTC, and take it back."
    )


def _models(samples: Sequence[Sample]) -> str:
    return ", ".join(sorted({sample.model for sample in samples if sample.model is not None}))
