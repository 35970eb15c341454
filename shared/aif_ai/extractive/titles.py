"""Names for stretches of text that have no heading: the words that set them apart from their neighbours."""

# Typographic signs are meant as such, and word lists read best as running text.
# ruff: noqa: RUF001

from collections import Counter
from collections.abc import Sequence
from math import log

from aif_ai.extractive.sentences import Sentence
from aif_ai.extractive.words import STOPWORDS, folded, is_english, plain, tokens

_FIRST_WORDS = 8
_LONGEST_WORD = 40
"""Longer ones are addresses and codes, and name nothing."""


def titles_of(parts: Sequence[Sequence[Sentence]]) -> list[str]:
    """One title for each part, from its own wording."""
    counts = [Counter(word for s in part for word in s.meaning) for part in parts]
    spread = Counter(word for count in counts for word in count)
    titles: list[str] = []
    for part, count in zip(parts, counts, strict=True):
        weights = {
            word: amount * log(1 + len(parts) / spread[word])
            for word, amount in count.items()
            if amount > 1 and not word.isdigit() and 2 < len(word) <= _LONGEST_WORD
        }
        best = sorted(weights, key=lambda word: (-weights[word], word))[:6]
        phrases = _phrases(part, best)
        if phrases:
            joint = " and " if is_english(" ".join(s.text for s in part)) else ", "
            title = joint.join(phrases)
        else:
            title = _opening(part[0].text)
        title = title[:1].upper() + title[1:]
        titles.append(title if title not in titles else f"{title}: {_opening(part[0].text)}")
    return titles


def distinct(titles: Sequence[str]) -> list[str]:
    """The titles, numbered from the second of one name on: every chapter of a book may have its `Summary`."""
    taken: set[str] = set()
    found: list[str] = []
    for title in titles:
        number, candidate = 1, title
        while plain(candidate) in taken:
            number += 1
            candidate = f"{title} ({number})"
        taken.add(plain(candidate))
        found.append(candidate)
    return found


def _phrases(part: Sequence[Sentence], words: Sequence[str]) -> list[str]:
    """The two best words as the text writes them, each grown to the phrase in which it mostly stands."""
    if not words:
        return []
    surfaces: dict[str, Counter[str]] = {word: Counter() for word in words}
    pairs: Counter[tuple[str, str]] = Counter()
    for sentence in part:
        run = tokens(sentence.text)
        for i, token in enumerate(run):
            word = folded(token)
            if word in surfaces:
                surfaces[word][token if i or token.isupper() else token.lower()] += 1
            if i and all(part.lower() not in STOPWORDS and len(part) <= _LONGEST_WORD for part in run[i - 1 : i + 1]):
                pairs[run[i - 1].lower() if i == 1 else run[i - 1], token] += 1
    phrases: list[str] = []
    used: set[str] = set()
    for word in words:
        if word in used or not surfaces[word]:
            continue
        total = surfaces[word].total()
        grown = [
            (amount, pair)
            for pair, amount in pairs.items()
            if word in (folded(pair[0]), folded(pair[1])) and 2 * amount > total
        ]
        if grown:
            pair = max(grown, key=lambda candidate: (candidate[0], candidate[1]))[1]
            phrase = f"{pair[0]} {pair[1]}"
            used.update((folded(pair[0]), folded(pair[1])))
        else:
            phrase = max(surfaces[word].items(), key=lambda entry: (entry[1], entry[0]))[0]
            used.add(word)
        phrases.append(phrase)
        if len(phrases) == 2:
            break
    return phrases


def _opening(text: str) -> str:
    words = text.split()
    opening = " ".join(words[:_FIRST_WORDS])[:60].rstrip(".,;:。，、")
    return opening + ("…" if len(opening) < len(text.rstrip(".。")) else "")
