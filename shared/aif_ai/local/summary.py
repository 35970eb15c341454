"""A summary in the text's own words: the sentences that say most, in the order in which they stand."""

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Struct

from aif_ai.extractive.ranking import rank
from aif_ai.extractive.sentences import Sentence
from aif_ai.failures import SourceTooThin
from aif_ai.local.passages import passages_of, sentences_in
from aif_ai.requests import TextInput
from aif_contracts.analysis import Summary, SummarySentence, Turn
from aif_contracts.documents import Span
from aif_contracts.word_count import count_words

_TOO_ALIKE = 0.5
_SHORT_WORDS = 4
_OF_A_SHORT_ONE = 0.4
"""What a sentence of fewer words than that weighs: a greeting shares its words with everything."""


class SummaryOptions(Struct, frozen=True, kw_only=True):
    max_sentences: Annotated[int, Meta(ge=1, le=30)] = 5
    turns: tuple[Turn, ...] = ()


def summary_of(task: TextInput, options: SummaryOptions, checkpoint: Callable[[], None], made_by: str) -> Summary:
    """Raises SourceTooThin for a text without a sentence. Equal input gives equal output."""
    sentences = sentences_in(task.text, passages_of(task.text, options.turns))
    if not sentences:
        raise SourceTooThin("there is no sentence in the text: give one with words in it")
    checkpoint()
    chosen = _chosen(sentences, options.max_sentences)
    checkpoint()
    text = " ".join(" ".join(sentence.text.split()) for sentence in chosen)
    return Summary(
        text=text,
        sentences=tuple(
            SummarySentence(text=sentence.text, source=Span(start=sentence.start, end=sentence.end)) for sentence in chosen
        ),
        words=count_words(text),
        source_words=count_words(task.text),
        made_by=made_by,
    )


def _chosen(sentences: list[Sentence], wanted: int) -> list[Sentence]:
    weights = [
        weight * (_OF_A_SHORT_ONE if sentence.words < _SHORT_WORDS else 1.0)
        for weight, sentence in zip(rank(sentences), sentences, strict=True)
    ]
    chosen: list[int] = []
    for i in sorted(range(len(sentences)), key=lambda i: (-weights[i], i)):
        if len(chosen) == wanted:
            break
        if not any(_alike(sentences[i], sentences[other]) for other in chosen):
            chosen.append(i)
    return [sentences[i] for i in sorted(chosen)]


def _alike(one: Sentence, other: Sentence) -> bool:
    a, b = set(one.meaning), set(other.meaning)
    return one.text == other.text or bool(a and b and len(a & b) / len(a | b) > _TOO_ALIKE)
