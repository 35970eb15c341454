"""Research in a source document: its outline, its weightiest sentences, a summary; all word for word, with spans.

How weighty a sentence is says the random walk of `ranking.py`. Sentences that share words with the topic weigh more, so that
research on one topic in a broad document finds what belongs to it.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from aif_ai.extractive.chapters import Stretch, chapters_of
from aif_ai.extractive.digest import digest
from aif_ai.extractive.outline import outline_of
from aif_ai.extractive.ranking import rank
from aif_ai.extractive.sentences import Sentence
from aif_ai.extractive.telling import Tell, tell_nobody
from aif_ai.extractive.words import meaningful, plain
from aif_ai.failures import SourceTooThin
from aif_contracts.documents import SourceDocument, Span
from aif_contracts.research import Origin, OriginKind, Research, Subtopic
from aif_contracts.structures import KeyPoint

_OUTLINED, _WEIGHED = 0.2, 0.5
"""Shares of the work that are done by then."""
_POINTS_OF_A_SUBTOPIC = 4
_WORDS_FOR_A_POINT = 150
_FEWEST_POINTS, _MOST_POINTS = 6, 30
_SUMMARY_SENTENCES = 6
_SUMMARY_CHARACTERS = 1_800
_ON_TOPIC = 1.5
_RANKED_TOGETHER = 4_000
"""Sentences; longer documents are ranked in stretches of this length."""
_SHORT_TEXT = 500


class _Finding(Struct, frozen=True, kw_only=True):
    sentence: Sentence
    weight: float
    subtopic: int


def make_research(
    document: SourceDocument,
    *,
    topic: str | None,
    made_by: str,
    checkpoint: Callable[[], None],
    tell: Tell = tell_nobody,
) -> Research:
    """Raises SourceTooThin when the document has no sentence. `checkpoint` is called often and may raise to stop the work."""
    tell(0.0, "outlining the source")
    root = outline_of(document, checkpoint)
    sentences = list(root.sentences())
    if not sentences:
        raise SourceTooThin("the source has no sentences to learn from, only headings or nothing at all")
    tell(_OUTLINED, f"weighing {len(sentences)} sentences")
    weights = _weights(sentences, topic, checkpoint)
    chapters, _ = chapters_of(root)
    subtopics: list[Subtopic] = []
    findings: list[_Finding] = []
    for number, chapter in enumerate(chapters):
        checkpoint()
        tell(_WEIGHED + (1 - _WEIGHED) * number / len(chapters), f"subtopic {number + 1} of {len(chapters)}: {chapter.title}")
        essence = digest(
            document.text, chapter.sentences, key_points=_POINTS_OF_A_SUBTOPIC + chapter.words // 400, title=chapter.title
        )
        subtopics.append(_subtopic(chapter, essence.summary, essence.key_points))
        findings.extend(_Finding(sentence=s, weight=weights[s.start], subtopic=number) for s in essence.key_points)
    words = sum(s.words for s in sentences)
    chosen = _spread(findings, max(_FEWEST_POINTS, min(_MOST_POINTS, words // _WORDS_FOR_A_POINT)))
    summary = _summary(chapters, [subtopic.summary for subtopic in subtopics], weights)
    return Research(
        topic=(topic or root.title)[:_SHORT_TEXT],
        research_summary=" ".join(s.text for s in summary),
        key_points=tuple(_key_point(finding.sentence) for finding in chosen),
        subtopics=tuple(subtopics),
        sources=(
            Origin(
                kind=OriginKind.DOCUMENT,
                title=root.title[:_SHORT_TEXT],
                note="Every point and every sentence of the summaries stands in it word for word.",
                file_name=document.file_name,
                words=words,
            ),
        ),
        summary_source=tuple(_span(s, s) for s in summary),
        made_by=made_by,
    )


def _weights(sentences: Sequence[Sentence], topic: str | None, checkpoint: Callable[[], None]) -> dict[int, float]:
    """By where the sentence begins."""
    asked = frozenset(meaningful(topic or ""))
    weights: dict[int, float] = {}
    for first in range(0, len(sentences), _RANKED_TOGETHER):
        checkpoint()
        together = sentences[first : first + _RANKED_TOGETHER]
        for sentence, weight in zip(together, rank(together), strict=True):
            weights[sentence.start] = weight * (_ON_TOPIC if asked & set(sentence.meaning) else 1.0)
    return weights


def _subtopic(chapter: Stretch, summary: str, points: Sequence[Sentence]) -> Subtopic:
    return Subtopic(
        title=chapter.title[:_SHORT_TEXT],
        summary=summary,
        key_points=tuple(_key_point(s) for s in points),
        source=_span(chapter.sentences[0], chapter.sentences[-1]),
    )


def _spread(findings: Sequence[_Finding], wanted: int) -> list[_Finding]:
    """The best of each subtopic in turn, so that none is forgotten; in reading order."""
    by_subtopic: dict[int, list[_Finding]] = {}
    for finding in sorted(findings, key=lambda f: (-f.weight, f.sentence.start)):
        by_subtopic.setdefault(finding.subtopic, []).append(finding)
    chosen: list[_Finding] = []
    said: set[str] = set()
    while by_subtopic and len(chosen) < wanted:
        # The best of what each subtopic has left; weightier subtopics first when there is no room for all.
        for number in sorted(by_subtopic, key=lambda n: (-by_subtopic[n][0].weight, n)):
            finding = by_subtopic[number].pop(0)
            if plain(finding.sentence.text) not in said and len(chosen) < wanted:
                said.add(plain(finding.sentence.text))
                chosen.append(finding)
            if not by_subtopic[number]:
                del by_subtopic[number]
    return sorted(chosen, key=lambda f: f.sentence.start)


def _summary(chapters: Sequence[Stretch], openings: Sequence[str], weights: Mapping[int, float]) -> list[Sentence]:
    """How the weightiest subtopics are introduced: the first sentence of the summary of each, in reading order."""
    first = [
        next(s for s in chapter.sentences if opening.startswith(s.text))
        for chapter, opening in zip(chapters, openings, strict=True)
    ]
    kept: list[Sentence] = []
    left = _SUMMARY_CHARACTERS
    for sentence in sorted(first, key=lambda s: (-weights[s.start], s.start)):
        if len(kept) < _SUMMARY_SENTENCES and (not kept or len(sentence.text) < left):
            kept.append(sentence)
            left -= len(sentence.text) + 1
    return sorted(kept, key=lambda s: s.start)


def _key_point(sentence: Sentence) -> KeyPoint:
    return KeyPoint(text=sentence.text, source=_span(sentence, sentence))


def _span(first: Sentence, last: Sentence) -> Span:
    return Span(start=first.start, end=last.end)
