"""Which sentences say most: a random walk between sentences and the words they share.

The idea is that of TextRank: a sentence matters when it shares words with sentences that matter. Walking from a sentence to
one of its words and on to another sentence with that word gives the same graph without drawing an edge for each pair of
sentences, so the cost grows with the length of the text and not with its square.
"""

from collections import defaultdict
from collections.abc import Sequence
from math import log

from aif_ai.extractive.sentences import Sentence

_DAMPING = 0.85
_ROUNDS = 12


def rank(sentences: Sequence[Sentence]) -> list[float]:
    """A weight for each sentence; the mean is 1. Equal input gives equal output."""
    if not sentences:
        return []
    count = len(sentences)
    holders: dict[str, list[int]] = defaultdict(list)
    for i, sentence in enumerate(sentences):
        for word in sorted(set(sentence.meaning)):
            holders[word].append(i)
    # A word of one sentence connects nothing; a word of all of them tells nothing.
    shared = {word: log(1 + count / len(where)) for word, where in holders.items() if len(where) > 1}
    if not shared:
        return [1.0] * count
    own = [[word for word in sorted(set(s.meaning)) if word in shared] for s in sentences]
    strength = [sum(shared[word] for word in words) for words in own]
    weight = [1.0] * count
    for _ in range(_ROUNDS):
        flow: dict[str, float] = defaultdict(float)
        for i, words in enumerate(own):
            for word in words:
                flow[word] += weight[i] * shared[word] / strength[i]
        fresh = [1 - _DAMPING] * count
        for word, amount in flow.items():
            share = _DAMPING * amount / len(holders[word])
            for i in holders[word]:
                fresh[i] += share
        weight = fresh
    scale = count / sum(weight)
    return [value * scale for value in weight]
