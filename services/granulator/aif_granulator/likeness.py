"""Which texts say the same in almost the same words. Deterministic, and far from comparing each with each.

Two texts are alike when they share most of their words that carry meaning. Two such texts share at least one of the rarest
words of each, so only texts that meet there are compared. Numbers and negations make all the difference between sentences
that are otherwise alike, so these must be the same.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import ceil

from aif_ai.extractive.words import meaningful, tokens

_NEGATIONS = frozenset({"not", "no", "never", "none", "without", "neither", "nor", "cannot"})


def first_alike(texts: Sequence[str], threshold: float) -> list[int]:
    """For each text the number of the first that is alike, its own when there is none before it.

    `threshold` is the share of common words among all words of both, above 0 and up to 1.
    """
    bags = [frozenset(meaningful(text)) for text in texts]
    exact = [_exact(text) for text in texts]
    frequency = Counter(word for bag in bags for word in bag)
    holders: dict[str, list[int]] = defaultdict(list)
    found: list[int] = []
    for number, bag in enumerate(bags):
        rarest = sorted(bag, key=lambda word: (frequency[word], word))[: len(bag) - ceil(threshold * len(bag)) + 1]
        candidates = sorted({other for word in rarest for other in holders[word]})
        alike = [o for o in candidates if exact[o] == exact[number] and _shared(bags[o], bag) >= threshold]
        if alike:
            found.append(alike[0])
            continue
        found.append(number)
        for word in rarest:
            holders[word].append(number)
    return found


def _exact(text: str) -> tuple[str, ...]:
    words = [token.lower().replace("\u2019", "'") for token in tokens(text)]
    return tuple(sorted(w for w in words if w[0].isdigit() or w in _NEGATIONS or w.endswith("n't")))


def _shared(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
