"""A quiz from a source document. Every key is true by construction, because it is what the source says.

Four kinds of question, best first:

`term`        which term fits this meaning: the source defines it so
`meaning`     what does this term mean: the same, turned round
`figure`      a sentence with a number taken out
`word`        a sentence with a key word taken out, where definitions and figures are too few

The wrong options are terms, meanings and numbers of the same kind from elsewhere in the document. One that could be right as
well (the same value, a term that shares a word with the key or stands in the sentence) is never offered. The order of the
options follows a digest of their text: no randomness, yet no pattern.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from hashlib import sha256
from math import log10

import msgspec
from msgspec import Struct

from aif_ai.extractive.facts import Definition, Figure, definitions_in, figures_in, stands_alone
from aif_ai.extractive.outline import outline_of
from aif_ai.extractive.ranking import rank
from aif_ai.extractive.sentences import Sentence
from aif_ai.extractive.telling import Tell, tell_nobody
from aif_ai.extractive.words import STOPWORDS, folded, is_english, meaningful, plain, tokens
from aif_ai.failures import SourceTooThin
from aif_contracts.documents import SourceDocument, Span
from aif_contracts.structures import Question, Quiz

GAP = "____"
_MOST_OPTIONS = 4
_FEWEST_OPTIONS = 3
_KIND_WORTH = {"term": 3.0, "meaning": 2.9, "figure": 2.4, "word": 1.0}
_DIFFICULTY = {"term": "easy", "meaning": "medium", "figure": "hard", "word": "medium"}
_CHECK_EVERY = 200
_PLENTY = 3
"""So many times the questions wanted, and key words taken out of sentences are not needed."""
_NEAREST_FIGURES = 60
_SHORTEST_KEY_WORD = 5
_LONGEST_KEY_WORD = 40
_RANKED_TOGETHER = 4_000
"""Sentences; longer documents are ranked in stretches of this length."""


class _Candidate(Struct, frozen=True, kw_only=True):
    kind: str
    sentence: Sentence
    stem: str
    key: str
    key_names: frozenset[str]
    """What the question asks for, so that nothing is asked twice."""
    wrong: tuple[str, ...]
    worth: float


def make_quiz(
    document: SourceDocument,
    *,
    question_count: int,
    audience: str,
    made_by: str,
    checkpoint: Callable[[], None],
    called: str = "source",
    tell: Tell = tell_nobody,
) -> Quiz:
    """At most `question_count` questions, spread over the document; the description says so when they are fewer.

    `called` is the reader's word for the document. Raises SourceTooThin when no question can be proved by the text.
    """
    tell(0.0, "outlining the source")
    root = outline_of(document, checkpoint)
    sentences = list(root.sentences())
    english = is_english(document.text)
    candidates = _with_one_right_option(_candidates(sentences, english, question_count, checkpoint, tell), sentences)
    tell(0.9, f"choosing {question_count} of {len(candidates)} questions")
    chosen = _spread(candidates, question_count)
    if not chosen:
        raise SourceTooThin(
            f"the {called} has too few facts for a quiz: no sentence that defines a term or states a figure, "
            "with others of its kind to choose from"
        )
    return Quiz(
        title=root.title,
        description=_description(len(chosen), question_count, called),
        target_audience=audience,
        questions=tuple(_question(candidate, english, called) for candidate in chosen),
        made_by=made_by,
    )


def _description(made: int, wanted: int, called: str) -> str:
    description = f"Every answer stands word for word in the {called}; the explanation of each question quotes it."
    if made < wanted:
        description += (
            f" {made} of the {wanted} questions asked for: the {called} states no more facts that a question could prove."
        )
    return description


def _candidates(
    sentences: Sequence[Sentence], english: bool, wanted: int, checkpoint: Callable[[], None], tell: Tell
) -> list[_Candidate]:
    tell(0.2, f"weighing {len(sentences)} sentences")
    weights: list[float] = []
    for first in range(0, len(sentences), _RANKED_TOGETHER):
        checkpoint()
        weights.extend(rank(sentences[first : first + _RANKED_TOGETHER]))
    weight_of = {s.start: weight for s, weight in zip(sentences, weights, strict=True)}
    definitions = definitions_in(sentences) if english else []
    tell(0.4, f"asking about {len(definitions)} definitions")
    found = _about_definitions(definitions, weight_of, checkpoint)
    tell(0.5, "asking about figures")
    found += _about_figures([s for s in sentences if _may_have_a_gap(s)], weight_of, checkpoint)
    taken = {candidate.sentence.start for candidate in found}
    if len({c.key_names for c in found}) >= _PLENTY * wanted:
        return found
    tell(0.7, "asking about words")
    rest = [s for s in sentences if _may_have_a_gap(s) and s.start not in taken]
    return [*found, *_about_words(rest, sentences, weight_of, checkpoint)]


def _with_one_right_option(candidates: Sequence[_Candidate], sentences: Sequence[Sentence]) -> list[_Candidate]:
    """The candidates without options that make another statement of the document out of theirs, where enough are left."""
    stated = {plain(s.text) for s in sentences}
    found: list[_Candidate] = []
    for candidate in candidates:
        wrong = tuple(option for option in candidate.wrong if plain(candidate.stem.replace(GAP, option)) not in stated)
        if GAP not in candidate.stem or len(wrong) == len(candidate.wrong):
            found.append(candidate)
        elif len(wrong) >= _FEWEST_OPTIONS - 1:
            found.append(msgspec.structs.replace(candidate, wrong=wrong))
    return found


def _may_have_a_gap(sentence: Sentence) -> bool:
    # An underscore of the source would run into the gap's own.
    return stands_alone(sentence) and "_" not in sentence.text


def _about_definitions(
    definitions: Sequence[Definition], weight_of: dict[int, float], checkpoint: Callable[[], None]
) -> list[_Candidate]:
    found: list[_Candidate] = []
    for i, definition in enumerate(definitions):
        if i % _CHECK_EVERY == 0:
            checkpoint()
        others = [
            other
            for other in _nearest_first(definitions, i)
            if not (other.names & definition.names)
            and not (other.names & set(definition.sentence.meaning))
            and not (definition.names & set(other.sentence.meaning))
            and other.meaning != definition.meaning
        ][: _MOST_OPTIONS * 3]
        if len(others) < _FEWEST_OPTIONS - 1:
            continue
        by_length = sorted(others, key=lambda other: abs(len(other.meaning) - len(definition.meaning)))
        weight = weight_of[definition.sentence.start]
        found.append(
            _Candidate(
                kind="term",
                stem=definition.meaning,
                key=definition.term,
                wrong=_distinct(definition.term, [other.term for other in others]),
                worth=_KIND_WORTH["term"] * weight,
                sentence=definition.sentence,
                key_names=definition.names,
            )
        )
        found.append(
            _Candidate(
                kind="meaning",
                stem=definition.term,
                key=definition.meaning,
                wrong=_distinct(definition.meaning, [other.meaning for other in by_length]),
                worth=_KIND_WORTH["meaning"] * weight,
                sentence=definition.sentence,
                key_names=definition.names,
            )
        )
    return found


def _nearest_first(definitions: Sequence[Definition], i: int) -> list[Definition]:
    """Terms of the neighbourhood tempt most; looking no further than 60 keeps the work linear."""
    near = [(abs(i - j), j) for j in range(max(0, i - 30), min(len(definitions), i + 31)) if j != i]
    return [definitions[j] for _, j in sorted(near)]


def _about_figures(
    sentences: Sequence[Sentence], weight_of: dict[int, float], checkpoint: Callable[[], None]
) -> list[_Candidate]:
    by_sentence = [figures_in(s) for s in sentences]
    pool: dict[str, list[Figure]] = defaultdict(list)
    for figures in by_sentence:
        for figure in figures:
            pool[figure.shape].append(figure)
    tables = {shape: _FigureTable(figures) for shape, figures in pool.items()}
    found: list[_Candidate] = []
    for i, figures in enumerate(by_sentence):
        if i % _CHECK_EVERY == 0:
            checkpoint()
        if not 1 <= len(figures) <= 3:
            continue
        # The figure with a unit that others share makes the most tempting options.
        figure = max(figures, key=lambda f: (bool(f.unit), f.shape != "whole", -f.start))
        wrong = _wrong_figures(figure, figures, tables[figure.shape].near(figure))
        if len(wrong) < _FEWEST_OPTIONS - 1:
            continue
        sentence = figure.sentence
        at = figure.start - sentence.start
        found.append(
            _Candidate(
                kind="figure",
                sentence=sentence,
                stem=sentence.text[:at] + GAP + sentence.text[at + len(figure.text) :],
                key=figure.text,
                key_names=frozenset((f"{figure.start}",)),
                wrong=wrong,
                worth=_KIND_WORTH["figure"] * weight_of[sentence.start],
            )
        )
    return found


class _FigureTable:
    """Figures of one shape by size, one for each value and unit, so that looking for neighbours stays cheap."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        first: dict[tuple[str, str], Figure] = {}
        for figure in figures:
            first.setdefault((figure.value, figure.unit), figure)
        self._figures = sorted(first.values(), key=lambda f: (_size(f), f.start))
        self._sizes = [_size(f) for f in self._figures]

    def near(self, figure: Figure) -> list[Figure]:
        place = bisect_left(self._sizes, _size(figure))
        return self._figures[max(0, place - _NEAREST_FIGURES) : place + _NEAREST_FIGURES]


def _wrong_figures(figure: Figure, beside: Sequence[Figure], pool: Sequence[Figure]) -> tuple[str, ...]:
    barred = {other.value for other in beside}
    size = _size(figure)
    by_value: dict[str, tuple[float, str]] = {}
    for other in pool:
        if other.value in barred:
            continue
        distance = abs(_size(other) - size) + (0.0 if other.unit == figure.unit and figure.unit else 1.0)
        if distance < 3 and (other.value not in by_value or (distance, other.text) < by_value[other.value]):
            by_value[other.value] = (distance, other.text)
    nearest = sorted(by_value.items(), key=lambda entry: (entry[1][0], entry[0]))
    return _distinct(figure.text, [text for _, (_, text) in nearest])


def _size(figure: Figure) -> float:
    return log10(float(figure.value or "0") + 1)


def _about_words(
    sentences: Sequence[Sentence], everything: Sequence[Sentence], weight_of: dict[int, float], checkpoint: Callable[[], None]
) -> list[_Candidate]:
    """Words that the document repeats, written in one way only, so that the options agree in form."""
    surfaces: dict[str, Counter[str]] = defaultdict(Counter)
    for s in everything:
        for token in tokens(s.text)[1:]:
            if _SHORTEST_KEY_WORD <= len(token) <= _LONGEST_KEY_WORD and token[0].isalpha() and token.lower() not in STOPWORDS:
                surfaces[folded(token)][token] += 1
    counts = {word: forms.total() for word, forms in surfaces.items() if forms.total() >= 2}
    common = sorted(counts, key=lambda word: (-counts[word], word))[:400]
    pool = [max(surfaces[word].items(), key=lambda entry: (entry[1], entry[0]))[0] for word in common]
    known = dict(zip(common, pool, strict=True))
    known_fold = dict(zip(pool, common, strict=True))
    found: list[_Candidate] = []
    for i, sentence in enumerate(sentences):
        if i % _CHECK_EVERY == 0:
            checkpoint()
        words = tokens(sentence.text)
        own = {folded(token) for token in words}
        keys = [t for t in words[1:] if t == known.get(folded(t)) and sentence.text.count(t) == 1]
        if not keys:
            continue
        key = max(keys, key=lambda t: (min(counts[folded(t)], 6), len(t), t))
        wrong = [w for w in pool if known_fold[w] not in own and _same_form(w, key)]
        # Turned by a digest, so that the commonest words are not offered everywhere.
        turn = int(sha256(sentence.text.encode()).hexdigest()[:8], 16) % max(1, len(wrong))
        wrong = sorted(wrong[turn:] + wrong[:turn], key=lambda w: abs(len(w) - len(key)))
        distinct = _distinct(key, wrong)
        if len(distinct) < _FEWEST_OPTIONS - 1:
            continue
        at = sentence.text.index(key)
        found.append(
            _Candidate(
                kind="word",
                sentence=sentence,
                stem=sentence.text[:at] + GAP + sentence.text[at + len(key) :],
                key=key,
                key_names=frozenset((folded(key),)),
                wrong=distinct,
                worth=_KIND_WORTH["word"] * weight_of[sentence.start],
            )
        )
    return found


def _same_form(one: str, other: str) -> bool:
    """Roughly one part of speech: the same capital and the same last letters where those mark a form."""
    endings = ("s", "ed", "ing", "ly")
    return one[0].isupper() == other[0].isupper() and all(one.endswith(e) == other.endswith(e) for e in endings)


def _distinct(key: str, options: Sequence[str]) -> tuple[str, ...]:
    """Up to three options that differ from the key and from one another in more than case and number."""
    seen = {_fingerprint(key)}
    kept: list[str] = []
    for option in options:
        if _fingerprint(option) not in seen:
            seen.add(_fingerprint(option))
            kept.append(option)
        if len(kept) == _MOST_OPTIONS - 1:
            break
    return tuple(kept)


def _fingerprint(text: str) -> tuple[str, ...]:
    return tuple(sorted(meaningful(text))) or (text.lower(),)


def _spread(candidates: Sequence[_Candidate], wanted: int) -> list[_Candidate]:
    """The best of each stretch of the document first, then the best of what is left; in reading order.

    No sentence, no statement and no key is asked for twice, and the kinds take turns as far as the source allows.
    """
    if not candidates:
        return []
    order = sorted(candidates, key=lambda c: (c.sentence.start, c.kind))
    first, last = order[0].sentence.start, order[-1].sentence.start + 1
    stretches: list[list[_Candidate]] = [[] for _ in range(wanted)]
    for candidate in order:
        stretches[(candidate.sentence.start - first) * wanted // (last - first)].append(candidate)
    chosen: list[_Candidate] = []
    used_sentences: set[int] = set()
    stems = {c.stem: plain(c.stem) for c in order}
    used_stems: set[str] = set()
    used_names: set[frozenset[str]] = set()
    kinds: Counter[str] = Counter()

    def take_best(among: Sequence[_Candidate]) -> bool:
        free = [
            c
            for c in among
            if c.sentence.start not in used_sentences and stems[c.stem] not in used_stems and c.key_names not in used_names
        ]
        if not free:
            return False
        best = max(free, key=lambda c: (c.worth / (1 + kinds[c.kind] / 2), -c.sentence.start, c.kind))
        chosen.append(best)
        used_sentences.add(best.sentence.start)
        used_stems.add(stems[best.stem])
        used_names.add(best.key_names)
        kinds[best.kind] += 1
        return True

    strong = [c for c in order if c.kind != "word"]
    for stretch in stretches:
        take_best([c for c in stretch if c.kind != "word"])
    while len(chosen) < wanted and (take_best(strong) or take_best(order)):
        pass
    return sorted(chosen, key=lambda c: c.sentence.start)


def _question(candidate: _Candidate, english: bool, called: str) -> Question:
    options = sorted(
        (candidate.key, *candidate.wrong), key=lambda option: sha256(f"{candidate.stem}\n{option}".encode()).hexdigest()
    )
    sentence = candidate.sentence
    return Question(
        question=_wording(candidate, english, called),
        options=tuple(options),
        answer_index=options.index(candidate.key),
        explanation=f"The {called} says: “{sentence.text}”" if english else f"“{sentence.text}”",
        difficulty=_DIFFICULTY[candidate.kind],
        source=Span(start=sentence.start, end=sentence.end),
    )


def _wording(candidate: _Candidate, english: bool, called: str) -> str:
    if not english:
        return candidate.stem
    match candidate.kind:
        case "term":
            return f"Which term does the {called} explain as “{candidate.stem}”?"
        case "meaning":
            return f"How does the {called} explain “{candidate.stem}”?"
        case "figure":
            return f"Which figure completes the statement? {candidate.stem}"
        case _:
            return f"Which word completes the statement? {candidate.stem}"
