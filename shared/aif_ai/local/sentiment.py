"""The mood of English text, sentence by sentence, by the rules and the word list of the library `vaderSentiment`."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from msgspec import Struct

from aif_ai.extractive.provider import WHAT_TO_CONFIGURE
from aif_ai.extractive.words import is_english
from aif_ai.failures import ProviderNotConfigured, SourceTooThin
from aif_ai.local.passages import passages_of, sentences_in
from aif_ai.requests import TextInput
from aif_contracts.analysis import Mood, Sentiment, SentimentAnalysis, SentimentPart, Turn
from aif_contracts.documents import Span
from aif_contracts.word_count import count_words

_LEANS_FROM = 0.05
"""The library's own border between a mood and none."""
_WORDS_TO_TELL_A_LANGUAGE = 40
NOTE = "Judged sentence by sentence by a word list with rules for negation and emphasis; irony and context escape it."


class SentimentOptions(Struct, frozen=True, kw_only=True):
    turns: tuple[Turn, ...] = ()


def sentiment_of(task: TextInput, options: SentimentOptions, checkpoint: Callable[[], None], made_by: str) -> SentimentAnalysis:
    """Raises SourceTooThin for a text without a sentence, ProviderNotConfigured for one that is not English."""
    _refuse_other_languages(task)
    passages = passages_of(task.text, options.turns)
    sentences = sentences_in(task.text, passages)
    if not sentences:
        raise SourceTooThin("there is no sentence in the text: give one with words in it")
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # type: ignore[import-untyped]

    analyzer = SentimentIntensityAnalyzer()
    parts: list[SentimentPart] = []
    weights: list[int] = []
    for sentence in sentences:
        checkpoint()
        passage = passages[sentence.block]
        # The library knows negations by the straight apostrophe alone, as in `don't`.
        score = round(float(analyzer.polarity_scores(sentence.text.replace("\u2019", "'"))["compound"]), 4)
        parts.append(
            SentimentPart(
                text=sentence.text,
                span=Span(start=sentence.start, end=sentence.end),
                sentiment=sentiment(score),
                speaker=passage.speaker,
                turn=passage.turn,
            )
        )
        weights.append(sentence.words)
    return analysis_of(parts, weights, turns=len(options.turns), note=NOTE, made_by=made_by)


def analysis_of(parts: list[SentimentPart], weights: list[int], *, turns: int, note: str, made_by: str) -> SentimentAnalysis:
    """Puts judged sentences together. Each weighs as many as it has words; there is at least one."""
    overall = _mean(zip(parts, weights, strict=True))
    by_turn: dict[int, list[tuple[SentimentPart, int]]] = defaultdict(list)
    by_speaker: dict[str, list[tuple[SentimentPart, int]]] = defaultdict(list)
    for part, weight in zip(parts, weights, strict=True):
        if part.turn is not None:
            by_turn[part.turn].append((part, weight))
        if part.speaker is not None:
            by_speaker[part.speaker].append((part, weight))
    return SentimentAnalysis(
        text=f"The mood is {overall.label} ({overall.score:+.2f}) over {len(parts)} sentence{'s' if len(parts) > 1 else ''}.",
        overall=overall,
        parts=tuple(parts),
        turns=tuple(_mean(by_turn[number]) for number in range(turns)),
        by_speaker={speaker: _mean(said) for speaker, said in sorted(by_speaker.items())},
        note=note,
        made_by=made_by,
    )


def sentiment(score: float) -> Sentiment:
    if score >= _LEANS_FROM:
        return Sentiment(label=Mood.POSITIVE, score=score)
    return Sentiment(label=Mood.NEGATIVE if score <= -_LEANS_FROM else Mood.NEUTRAL, score=score)


def _mean(said: Iterable[tuple[SentimentPart, int]]) -> Sentiment:
    """Neutral where nothing was said."""
    total = weight = 0.0
    for part, words in said:
        total += part.sentiment.score * words
        weight += words
    return sentiment(round(total / weight, 4) if weight else 0.0)


def _refuse_other_languages(task: TextInput) -> None:
    told = (task.language or "").lower().split("-")[0]
    long_enough = count_words(task.text[:4_000]) >= _WORDS_TO_TELL_A_LANGUAGE
    if (told and told != "en") or (not told and long_enough and not is_english(task.text)):
        raise ProviderNotConfigured(f"the local word list judges English only; for other languages {WHAT_TO_CONFIGURE}")
