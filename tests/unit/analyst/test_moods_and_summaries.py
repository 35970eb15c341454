"""Moods by a word list, summaries in the text's own words: both by sentence, with spans, the same for the same text."""

import pytest

from aif_ai.failures import ProviderNotConfigured, SourceTooThin
from aif_ai.local.sentiment import SentimentOptions, sentiment_of
from aif_ai.local.summary import SummaryOptions, summary_of
from aif_ai.requests import TextInput
from aif_contracts.analysis import Mood, SentimentAnalysis, Summary, Turn
from aif_contracts.documents import Span

TALK = "I love this shop.\nThe delivery was terrible and I hate waiting.\nIt is Tuesday."
TURNS = (
    Turn(text="I love this shop.", span=Span(start=0, end=17), speaker="speaker_1"),
    Turn(text="The delivery was terrible and I hate waiting.", span=Span(start=18, end=63), speaker="speaker_2"),
    Turn(text="It is Tuesday.", span=Span(start=64, end=78), speaker="speaker_1"),
)
BEES = (
    "Bees live in colonies. A colony of bees has one queen and many workers. Good morning. "
    "The workers collect nectar for the colony. The queen lays all the eggs of the colony. "
    "Workers turn nectar into honey. The weather was fine."
)
GERMAN = "Die Lieferung kam viel zu spät, und niemand hat sich bei mir gemeldet, obwohl ich dreimal angerufen habe. " * 4


def judged(text: str, *turns: Turn, language: str | None = None) -> SentimentAnalysis:
    return sentiment_of(TextInput(text=text, language=language), SentimentOptions(turns=turns), lambda: None, "local_sentiment")


def summarized(text: str, *turns: Turn, sentences: int = 5) -> Summary:
    options = SummaryOptions(max_sentences=sentences, turns=turns)
    return summary_of(TextInput(text=text), options, lambda: None, "local_summary")


def test_every_sentence_turn_and_speaker_has_a_mood() -> None:
    analysis = judged(TALK, *TURNS)

    assert [part.sentiment.label for part in analysis.parts] == [Mood.POSITIVE, Mood.NEGATIVE, Mood.NEUTRAL]
    assert [turn.label for turn in analysis.turns] == [Mood.POSITIVE, Mood.NEGATIVE, Mood.NEUTRAL]
    assert {speaker: mood.label for speaker, mood in analysis.by_speaker.items()} == {
        "speaker_1": Mood.POSITIVE,
        "speaker_2": Mood.NEGATIVE,
    }
    assert analysis.overall.label is Mood.NEGATIVE
    assert analysis.parts[1].turn == 1


def test_the_parts_of_an_analysis_are_slices_of_the_text() -> None:
    analysis = judged(TALK, *TURNS)

    assert [TALK[part.span.start : part.span.end] for part in analysis.parts] == [part.text for part in analysis.parts]


def test_negation_turns_a_mood_round() -> None:
    assert judged("This is good.").overall.label is Mood.POSITIVE
    assert judged("This is not good.").overall.label is Mood.NEGATIVE


def test_a_negation_with_a_typographic_apostrophe_is_one_too() -> None:
    assert judged("The food wasn’t good.").overall == judged("The food wasn't good.").overall
    assert judged("I don’t like it.").overall.label is Mood.NEGATIVE


def test_a_long_sentence_weighs_more_than_a_short_one() -> None:
    analysis = judged("Great! The parcel was broken and dirty and the driver was rude, unfriendly and awful to all of us.")

    assert analysis.overall.label is Mood.NEGATIVE


@pytest.mark.parametrize(("text", "language"), [(GERMAN, None), ("Danke, sehr gut.", "de"), ("Merci bien.", "fr-CA")])
def test_other_languages_than_english_are_refused_with_what_to_configure(text: str, language: str | None) -> None:
    with pytest.raises(ProviderNotConfigured, match="English only; for other languages set OPENAI_API_KEY"):
        judged(text, language=language)


def test_a_few_words_are_judged_without_a_proof_of_their_language() -> None:
    assert judged("Wonderful!", language="en-GB").overall.label is Mood.POSITIVE
    assert judged("Wonderful!").overall.label is Mood.POSITIVE


@pytest.mark.parametrize("text", ["", "  \n\n ", "?!"])
def test_a_text_without_a_word_has_neither_mood_nor_summary(text: str) -> None:
    with pytest.raises(SourceTooThin, match="no sentence"):
        judged(text)
    with pytest.raises(SourceTooThin, match="no sentence"):
        summarized(text)


def test_a_summary_takes_the_sentences_that_share_most_and_keeps_their_order() -> None:
    summary = summarized(BEES, sentences=3)

    assert summary.text == (
        "A colony of bees has one queen and many workers. The workers collect nectar for the colony. "
        "Workers turn nectar into honey."
    )
    assert (summary.words, summary.source_words) == (22, 41)


def test_the_sentences_of_a_summary_are_slices_of_the_text() -> None:
    summary = summarized(BEES, sentences=4)

    sources = [sentence.source for sentence in summary.sentences]
    assert [BEES[source.start : source.end] for source in sources if source] == [each.text for each in summary.sentences]
    assert len(sources) == 4


def test_what_is_said_twice_is_summarized_once() -> None:
    summary = summarized("Bees make honey. Bees make honey. Wasps do not make honey at all.")

    assert [sentence.text for sentence in summary.sentences] == ["Bees make honey.", "Wasps do not make honey at all."]


def test_the_turns_of_a_talk_without_full_stops_are_its_sentences() -> None:
    text = "we need more hives\nyes more hives before spring"
    turns = (
        Turn(text="we need more hives", span=Span(start=0, end=18)),
        Turn(text="yes more hives before spring", span=Span(start=19, end=47)),
    )

    assert [sentence.text for sentence in summarized(text, *turns).sentences] == [turn.text for turn in turns]
    assert len(judged(text, *turns).parts) == 2
