"""Where money goes that need not: attempts that fail, and a model that a cheaper one could stand in for.

Attempts whose cost is unknown are left out of every sum; where they are more than a tenth, nothing is said about money.
"""

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct

from aif_classifier.findings import Finding, Thresholds, percent
from aif_classifier.samples import Sample, Slice, grouped
from aif_classifier.significance import (
    mean,
    mean_rose_by_more_than,
    share_is_not_lower,
    share_of_sum_is_above,
)
from aif_contracts.money import ZERO, usd_text
from aif_contracts.performance import RecommendationType

MOST_UNKNOWN = 0.1
_ESTIMATE_STEP = Decimal("0.00000001")


class _Use(Struct, frozen=True, kw_only=True):
    """How one model did."""

    model: str
    amounts: list[Decimal]
    """Cost of every judged attempt, failed ones included."""
    successes: int
    qualities: list[float]

    @property
    def total(self) -> Decimal:
        return sum(self.amounts, ZERO)

    @property
    def per_success(self) -> Decimal:
        return self.total / self.successes


def about_wasted_cost(slice_: Slice, samples: Sequence[Sample], thresholds: Thresholds) -> Finding | None:
    """The share of the cost that went to failed attempts, when it is surely above what is tolerated."""
    priced = _priced([sample for sample in samples if sample.is_judged])
    total = sum((amount for _, amount in priced), ZERO)
    if len(priced) < thresholds.minimum_sample or total <= 0:
        return None
    confidence = share_of_sum_is_above(
        [float(amount) for _, amount in priced],
        [not sample.success for sample, _ in priced],
        thresholds.tolerated_wasted_share,
    )
    if confidence < thresholds.minimum_confidence:
        return None
    wasted_by_code: dict[str, Decimal] = {}
    for sample, amount in priced:
        if not sample.success:
            code = sample.failure_code or "unnamed"
            wasted_by_code[code] = wasted_by_code.get(code, ZERO) + amount
    wasted = sum(wasted_by_code.values(), ZERO)
    worst = max(sorted(wasted_by_code), key=lambda code: wasted_by_code[code])
    share = float(wasted / total)
    return Finding(
        insight_key=f"wasted_cost/{slice_.worker_name}/{slice_.action}/{slice_.template}",
        recommendation_type=RecommendationType.COST,
        description=(
            f"{percent(share)} of the cost of {slice_.action} in {slice_.template} went to attempts that failed, most of it to"
            f" the failure {worst}: mend that one first."
        ),
        confidence_score=confidence,
        sample_size=len(priced),
        current_value=percent(share),
        recommended_value=f"at most {percent(thresholds.tolerated_wasted_share)}",
        expected_improvement=f"up to -{percent(share)} cost",
        saving_usd=wasted,
        evidence={"cost_usd": usd_text(total), "wasted_usd": usd_text(wasted), "costliest_failure": worst},
    )


def about_cheaper_model(slice_: Slice, complexity: str, samples: Sequence[Sample], thresholds: Thresholds) -> Finding | None:
    """The best saving among models that were all observed on inputs of the same class.

    Three things must hold at once: cost per attempt is lower, quality is not worse by the margin, successes are not rarer by
    the margin. The confidence is that of the least sure one, which holds for their conjunction (R. L. Berger, Technometrics
    24, 1982). The doubt is as many times larger as models were tried (Bonferroni): the best of many looks good by chance.
    """
    uses = [use for use in _uses(samples) if len(use.amounts) >= thresholds.minimum_sample and use.successes > 0]
    if len(uses) < 2:
        return None
    in_use = _models_in_use(samples, thresholds.minimum_sample)
    incumbent = max(
        (use for use in uses if use.model in in_use),
        key=lambda use: (len(use.amounts), use.per_success, use.model),
        default=None,
    )
    if incumbent is None:
        return None
    rivals = [use for use in uses if use is not incumbent]
    found = [
        finding for rival in rivals if (finding := _compared(slice_, complexity, incumbent, rival, len(rivals), thresholds))
    ]
    return max(found, key=lambda finding: (finding.saving_usd or ZERO, finding.insight_key), default=None)


def _compared(slice_: Slice, complexity: str, now: _Use, rival: _Use, tried: int, thresholds: Thresholds) -> Finding | None:
    enough_judged = min(len(now.qualities), len(rival.qualities)) >= thresholds.minimum_sample
    if now.per_success <= 0 or not enough_judged:
        return None
    saved_share = 1 - rival.per_success / now.per_success
    if saved_share < Decimal(str(thresholds.smallest_saving)):
        return None
    least = min(
        mean_rose_by_more_than([float(a) for a in rival.amounts], [float(a) for a in now.amounts]),
        mean_rose_by_more_than(now.qualities, rival.qualities, -thresholds.quality_margin),
        share_is_not_lower((now.successes, len(now.amounts)), (rival.successes, len(rival.amounts)), thresholds.success_margin),
    )
    confidence = 1 - tried * (1 - least)
    if confidence < thresholds.minimum_confidence:
        return None
    return Finding(
        insight_key=f"cheaper_model/{slice_.worker_name}/{slice_.action}/{slice_.template}/{complexity}/{now.model}",
        recommendation_type=RecommendationType.COST,
        description=(
            f"On {complexity} inputs of {slice_.action} in {slice_.template}, {rival.model} costs {percent(float(saved_share))}"
            f" less per success than {now.model}, and its quality ({mean(rival.qualities):.3f} against"
            f" {mean(now.qualities):.3f}) and success rate are not worse by what matters: use it."
        ),
        confidence_score=confidence,
        sample_size=len(now.amounts) + len(rival.amounts),
        parameter="model",
        current_value=now.model,
        recommended_value=rival.model,
        expected_improvement=f"-{percent(float(saved_share))} cost per success",
        saving_usd=((now.per_success - rival.per_success) * now.successes).quantize(_ESTIMATE_STEP),
        evidence={
            "cost_per_success_usd": _short(now.per_success),
            "cheaper_cost_per_success_usd": _short(rival.per_success),
            "quality_mean": mean(now.qualities),
            "cheaper_quality_mean": mean(rival.qualities),
            "attempts": len(now.amounts),
            "cheaper_attempts": len(rival.amounts),
        },
    )


def _models_in_use(samples: Sequence[Sample], newest: int) -> set[str]:
    """Those of the newest attempts: what was given up is nothing to change any more."""
    told = sorted((s for s in samples if s.is_judged and s.model is not None), key=lambda sample: sample.timestamp)
    return {sample.model for sample in told[-newest:] if sample.model is not None}


def _uses(samples: Sequence[Sample]) -> list[_Use]:
    uses = []
    for model, attempts in grouped([s for s in samples if s.is_judged], lambda sample: sample.model).items():
        if model is None:
            continue
        priced = _priced(attempts)
        uses.append(
            _Use(
                model=model,
                amounts=[amount for _, amount in priced],
                successes=sum(sample.success for sample, _ in priced),
                qualities=[s.quality_score for s, _ in priced if s.success and s.quality_score is not None],
            )
        )
    return uses


def _priced(samples: Sequence[Sample]) -> list[tuple[Sample, Decimal]]:
    """The attempts with a known cost; none at all when too many are unknown."""
    priced = [(sample, sample.cost_usd) for sample in samples if sample.cost_usd is not None]
    return priced if len(samples) - len(priced) <= MOST_UNKNOWN * len(samples) else []


def _short(amount: Decimal) -> str:
    return usd_text(amount.quantize(_ESTIMATE_STEP))
