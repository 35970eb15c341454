"""Is the time limit right? Three answers: too short, far too long, or hit by attempts that hang."""

import math
from collections.abc import Sequence
from decimal import Decimal
from statistics import NormalDist

from aif_classifier.findings import Finding, Thresholds, percent
from aif_classifier.samples import TIMEOUT, Sample, Slice, percentile
from aif_classifier.significance import at_most_by_sample, share_is_above
from aif_contracts.performance import RecommendationType

SHARE_INSIDE = 0.99
"""A recommended limit is meant to let this share of attempts finish."""
NEAR = 0.7
"""When the slowest twentieth of the successes uses this share of the limit, more time would help."""
MOST_RAISE = 4.0
SLACK = 2.0
"""A lowered limit stays at this multiple of the slowest success seen."""
WORTH_LOWERING = 0.5
"""Only a limit that would shrink to this share or below is worth touching."""
SHORTEST_MS = 100
LONGEST_MS = 86_400_000
"""A stage's timeout is a day at most."""


def about_timeout(slice_: Slice, samples: Sequence[Sample], thresholds: Thresholds) -> Finding | None:
    """Judges the limit that is in force now, by the attempts that had it."""
    limit_ms = limit_in_force(samples)
    if limit_ms is None:
        return None
    # Attempts that failed for another reason never showed how long they would have taken.
    under_limit = [s for s in samples if s.timeout_ms in (None, limit_ms) and (s.success or s.failure_code == TIMEOUT)]
    times = [s.execution_time_ms for s in under_limit if s.success]
    timed_out = len(under_limit) - len(times)
    if len(under_limit) < thresholds.minimum_sample or not times:
        return None
    if timed_out == 0:
        return _lower_unused(slice_, times, limit_ms, thresholds)
    confidence = share_is_above(timed_out, len(under_limit), thresholds.tolerated_timeout_share)
    if confidence < thresholds.minimum_confidence:
        return None
    if percentile(times, 0.95) >= NEAR * limit_ms:
        return _raise(slice_, times, timed_out, limit_ms, confidence)
    return _lower_for_hangs(slice_, times, timed_out, limit_ms, confidence)


def limit_in_force(samples: Sequence[Sample]) -> int | None:
    """The limit of the newest attempt that told one; else the median time at which attempts timed out; else None.
    A limit of no time at all is none."""
    told = [sample for sample in samples if sample.timeout_ms is not None]
    if told:
        return max(told, key=lambda sample: sample.timestamp).timeout_ms
    timed_out = [sample.execution_time_ms for sample in samples if sample.failure_code == TIMEOUT]
    return round(percentile(timed_out, 0.5)) or None if timed_out else None


def limit_for_share(times_ms: Sequence[int], timed_out: int, limit_ms: int, share: float) -> int:
    """The time within which `share` of the attempts would finish if times are log-normal.

    Two quantiles are known although the times above the limit are not: the median over all attempts, and the share that
    finished at the limit. They give both parameters: mu = ln(median), sigma = (ln(limit) - mu) / z(finished). At most four
    times the limit, because a tail is not known that far out; exactly that when half of the attempts timed out, because the
    median is unknown then.
    """
    finished = len(times_ms) / (len(times_ms) + timed_out)
    if finished <= 0.5:
        return round(limit_ms * MOST_RAISE)
    middle_ms = percentile([*times_ms, *[max(limit_ms, *times_ms)] * timed_out], 0.5)
    normal = NormalDist()
    sigma = max(0.0, math.log(limit_ms) - math.log(max(1.0, middle_ms))) / normal.inv_cdf(finished)
    # By logarithms: when little more than half finished, sigma has no bound.
    raised_by = math.log(max(1.0, middle_ms)) + sigma * normal.inv_cdf(share) - math.log(limit_ms)
    return round(limit_ms * math.exp(min(max(raised_by, 0.0), math.log(MOST_RAISE))))


def rounded_up(milliseconds: float) -> int:
    """To whole seconds, below ten seconds to tenths: nobody wants a limit of 47,312 ms."""
    step = 1000 if milliseconds >= 10_000 else 100
    return max(math.ceil(milliseconds / step) * step, SHORTEST_MS)


def duration(milliseconds: int) -> str:
    """As a pipeline writes it: `12s`, `1.8s`."""
    return f"{Decimal(milliseconds) / 1000:f}s"


def _raise(slice_: Slice, times: Sequence[int], timed_out: int, limit_ms: int, confidence: float) -> Finding | None:
    enough_ms = limit_for_share(times, timed_out, limit_ms, SHARE_INSIDE)
    wanted_ms = min(rounded_up(enough_ms), LONGEST_MS)
    if wanted_ms <= limit_ms:
        return None
    attempts = len(times) + timed_out
    share = timed_out / attempts
    is_enough = enough_ms < min(limit_ms * MOST_RAISE, LONGEST_MS)
    left = f"about {percent(1 - SHARE_INSIDE)} of the attempts" if is_enough else "fewer, how few is not known"
    return Finding(
        insight_key=_key("timeout_too_short", slice_),
        recommendation_type=RecommendationType.RELIABILITY,
        description=(
            f"{percent(share)} of the attempts of {slice_.action} in {slice_.template} reach the limit of {limit_ms} ms, and"
            f" the successes crowd below it: raise the stage's timeout to {duration(wanted_ms)}."
        ),
        confidence_score=confidence,
        sample_size=attempts,
        parameter="timeout",
        current_value=duration(limit_ms),
        recommended_value=duration(wanted_ms),
        expected_improvement=f"timeouts from {percent(share)} to {left}",
        evidence=_evidence(times, timed_out),
    )


def _lower_for_hangs(slice_: Slice, times: Sequence[int], timed_out: int, limit_ms: int, confidence: float) -> Finding | None:
    wanted_ms = rounded_up(SLACK * max(times))
    if wanted_ms >= limit_ms:
        return None
    attempts = len(times) + timed_out
    return Finding(
        insight_key=_key("attempts_hang", slice_),
        recommendation_type=RecommendationType.RELIABILITY,
        description=(
            f"{percent(timed_out / attempts)} of the attempts of {slice_.action} in {slice_.template} hang until the limit of"
            f" {limit_ms} ms, while the slowest success took {max(times)} ms: more time would not help; lower the stage's"
            f" timeout to {duration(wanted_ms)}, so that the next attempt begins sooner."
        ),
        confidence_score=confidence,
        sample_size=attempts,
        parameter="timeout",
        current_value=duration(limit_ms),
        recommended_value=duration(wanted_ms),
        expected_improvement=f"-{limit_ms - wanted_ms} ms for each attempt that hangs",
        evidence=_evidence(times, timed_out),
    )


def _lower_unused(slice_: Slice, times: Sequence[int], limit_ms: int, thresholds: Thresholds) -> Finding | None:
    """Confidence that at least 99 % of all attempts take no longer than the slowest of n seen: 1 - 0.99^n
    (S. S. Wilks, Annals of Mathematical Statistics 12, 1941), whatever the distribution is."""
    confidence = at_most_by_sample(1 - SHARE_INSIDE ** len(times), len(times))
    wanted_ms = rounded_up(SLACK * max(times))
    if confidence < thresholds.minimum_confidence or wanted_ms > WORTH_LOWERING * limit_ms:
        return None
    return Finding(
        insight_key=_key("timeout_too_long", slice_),
        recommendation_type=RecommendationType.SPEED,
        description=(
            f"No attempt of {slice_.action} in {slice_.template} took longer than {max(times)} ms, the limit is {limit_ms} ms:"
            f" lower the stage's timeout to {duration(wanted_ms)}, so that an attempt that hangs is noticed sooner."
        ),
        confidence_score=confidence,
        sample_size=len(times),
        parameter="timeout",
        current_value=duration(limit_ms),
        recommended_value=duration(wanted_ms),
        expected_improvement=f"-{limit_ms - wanted_ms} ms for each attempt that hangs",
        evidence=_evidence(times, 0),
    )


def _key(kind: str, slice_: Slice) -> str:
    return f"{kind}/{slice_.worker_name}/{slice_.action}/{slice_.template}"


def _evidence(times: Sequence[int], timed_out: int) -> dict[str, str | int | float]:
    return {
        "attempts": len(times) + timed_out,
        "timeouts": timed_out,
        "success_time_ms_p50": percentile(times, 0.5),
        "success_time_ms_p95": percentile(times, 0.95),
        "success_time_ms_max": max(times),
    }
