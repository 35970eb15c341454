"""How sure the data lets us be: a few classic tests, each with its source.

Every function returns a confidence: 1 minus the one-sided p value of "it is not so". Sums are exact (`math.fsum`), so the order
of the observations never matters. No confidence exceeds what its sample size allows: `at_most_by_sample`.
"""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist

from msgspec import Struct

_NORMAL = NormalDist()
_FRACTION_STEPS = 300
_FRACTION_PRECISION = 1e-14
_TINY = 1e-300

CONFIDENCE_95 = 1.959963984540054


class Interval(Struct, frozen=True, kw_only=True):
    low: float
    high: float


class WelchTest(Struct, frozen=True, kw_only=True):
    difference: float
    """Mean of the second sample minus mean of the first."""
    standard_error: float
    degrees_of_freedom: float
    """By Welch and Satterthwaite; infinite when neither sample varies."""


def wilson_interval(successes: int, trials: int, z: float = CONFIDENCE_95) -> Interval:
    """Interval of a proportion (E. B. Wilson, JASA 22, 1927). Without trials it is everything, 0 to 1."""
    if trials == 0:
        return Interval(low=0.0, high=1.0)
    share = successes / trials
    spread = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / spread
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / spread
    # The ends are exact where rounding would miss them by one part in 10^17.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return Interval(low=low, high=high)


def share_is_above(hits: int, trials: int, share: float) -> float:
    """That a proportion lies above `share`: exact binomial test (C. J. Clopper and E. S. Pearson, Biometrika 26, 1934), because
    few hits are far from normal. At least `hits` of the trials hit by chance with the probability I_share(hits, misses + 1)."""
    by_chance = _incomplete_beta(hits, trials - hits + 1, share) if hits > 0 else 1.0
    return at_most_by_sample(1 - by_chance, trials)


def share_is_not_lower(before: tuple[int, int], after: tuple[int, int], margin: float) -> float:
    """That the second proportion is not lower than the first by `margin` or more; each as (hits, trials).

    Normal test after adding one hit and one miss to each sample (Agresti and Caffo, The American Statistician 54, 2000), which
    keeps it honest at 0 % and 100 %.
    """
    shares, variances = [], []
    for hits, trials in (before, after):
        share = (hits + 1) / (trials + 2)
        shares.append(share)
        variances.append(share * (1 - share) / (trials + 2))
    z = (shares[1] - shares[0] + margin) / math.sqrt(math.fsum(variances))
    return at_most_by_sample(_NORMAL.cdf(z), before[1] + after[1])


def share_of_sum_is_above(amounts: Sequence[float], is_part: Sequence[bool], share: float) -> float:
    """That the marked amounts make up more than `share` of the sum: ratio estimator with its large-sample variance
    (W. G. Cochran, Sampling Techniques, 3rd edition, chapter 6). The sum must be above 0, with two amounts at least."""
    count, total = len(amounts), math.fsum(amounts)
    ratio = math.fsum(amount for amount, part in zip(amounts, is_part, strict=True) if part) / total
    squares = math.fsum((amount * (part - ratio)) ** 2 for amount, part in zip(amounts, is_part, strict=True))
    error = math.sqrt(count / (count - 1) * squares) / total
    return at_most_by_sample(_certainty(ratio - share, error), count)


def mean(sample: Sequence[float]) -> float:
    return math.fsum(sample) / len(sample)


def welch(first: Sequence[float], second: Sequence[float]) -> WelchTest:
    """Two means with unequal variances (B. L. Welch, Biometrika 34, 1947). Two observations in each at least."""
    parts = [_variance(sample) / len(sample) for sample in (first, second)]
    pooled = math.fsum(parts)
    weights = math.fsum(part * part / (len(sample) - 1) for part, sample in zip(parts, (first, second), strict=True))
    return WelchTest(
        difference=mean(second) - mean(first),
        standard_error=math.sqrt(pooled),
        degrees_of_freedom=pooled * pooled / weights if weights > 0 else math.inf,
    )


def mean_rose_by_more_than(first: Sequence[float], second: Sequence[float], margin: float = 0.0) -> float:
    """That the second mean exceeds the first by more than `margin` (a negative margin: that it is not lower by as much)."""
    test = welch(first, second)
    excess = test.difference - margin
    if test.standard_error == 0 or math.isinf(test.degrees_of_freedom):
        certainty = _certainty(excess, test.standard_error)
    else:
        certainty = student_t_cdf(excess / test.standard_error, test.degrees_of_freedom)
    return at_most_by_sample(certainty, len(first) + len(second))


def values_rose(first: Sequence[float], second: Sequence[float]) -> float:
    """That values of the second sample tend to lie above those of the first: Mann and Whitney (Annals of Mathematical
    Statistics 18, 1947), normal approximation with correction for ties and continuity."""
    counts = Counter([*first, *second])
    n, m = len(first), len(second)
    u, mean_u = _mann_whitney_u(second, counts), n * m / 2
    ties = math.fsum(count**3 - count for count in counts.values())
    variance = n * m / 12 * ((n + m + 1) - ties / ((n + m) * (n + m - 1)))
    excess = u - mean_u
    corrected = max(0.0, excess - 0.5) if excess > 0 else min(0.0, excess + 0.5)
    return at_most_by_sample(_certainty(corrected, math.sqrt(max(0.0, variance))), n + m)


def at_most_by_sample(confidence: float, observations: int) -> float:
    """No more than Laplace's rule of succession grants: after n observations that all agree, the next one disagrees with
    probability 1/(n+2). Keeps samples without any variance from looking certain."""
    return min(confidence, 1 - 1 / (observations + 2))


def student_t_cdf(t: float, degrees_of_freedom: float) -> float:
    """Student's distribution by the incomplete beta function (NIST Handbook of Mathematical Functions, 26.7.1)."""
    tail = 0.5 * _incomplete_beta(degrees_of_freedom / 2, 0.5, degrees_of_freedom / (degrees_of_freedom + t * t))
    return 1 - tail if t > 0 else tail


def _certainty(excess: float, error: float) -> float:
    """Normal, or the plain fact where there is no error."""
    if error > 0:
        return _NORMAL.cdf(excess / error)
    return 1.0 if excess > 0 else 0.0 if excess < 0 else 0.5


def _variance(sample: Sequence[float]) -> float:
    # An exact answer for equal values: the mean of n equal floats can differ from them in the last bit.
    if min(sample) == max(sample):
        return 0.0
    centre = mean(sample)
    return math.fsum((value - centre) ** 2 for value in sample) / (len(sample) - 1)


def _mann_whitney_u(sample: Sequence[float], counts: Counter[float]) -> float:
    """Pairs in which the sample's value is the greater one, ties counted half."""
    midranks: dict[float, float] = {}
    below = 0
    for value in sorted(counts):
        midranks[value] = below + (counts[value] + 1) / 2
        below += counts[value]
    size = len(sample)
    return math.fsum(midranks[value] for value in sample) - size * (size + 1) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised, by its continued fraction (DLMF 8.17.22) on the side where that converges fast."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1 - front * _beta_fraction(b, a, 1 - x) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Evaluated from the front with Lentz's method (Applied Optics 15, 1976)."""
    numerator, denominator = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    value = denominator
    for step in range(1, _FRACTION_STEPS):
        for term in (
            step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step)),
            -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1)),
        ):
            denominator = 1 / _not_zero(1 + term * denominator)
            numerator = _not_zero(1 + term / numerator)
            change = denominator * numerator
            value *= change
        if abs(change - 1) < _FRACTION_PRECISION:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
