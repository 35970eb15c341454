"""How good an analysis is, as one number from 0 to 1 that is computed and never guessed, rounded to 3 digits.

transcript   0.7 the recogniser's confidence, 0.3 the share of turns at a pace at which people speak; 0 without speech
redaction    of the findings, the share that the rules do not find any more in the redacted text; 1 without findings
sentiment    the share of the text's characters that lie in a judged sentence
summary      0.5 the share of sentences with a span in the text, 0.2 coverage of the text, 0.3 uniqueness
"""

from aif_ai.structure_measures import coverage, uniqueness
from aif_contracts.analysis import Redaction, SentimentAnalysis, Summary, Transcript, Turn
from aif_contracts.documents import SourceDocument

_SLOWEST, _FASTEST = 40, 320
"""Words a minute between which a turn sounds like speech and not like a recogniser that dreams."""


def of_transcript(transcript: Transcript) -> float:
    if not transcript.turns:
        return 0.0
    paced = sum(_is_paced(turn) for turn in transcript.turns) / len(transcript.turns)
    if transcript.confidence is None:
        return round(paced, 3)
    return round(0.7 * transcript.confidence + 0.3 * paced, 3)


def of_redaction(redaction: Redaction, left_over: int) -> float:
    """`left_over`: what a second search still finds."""
    found = len(redaction.entities)
    return round(found / (found + left_over), 3) if found or left_over else 1.0


def of_sentiment(analysis: SentimentAnalysis, text: str) -> float:
    visible = len("".join(text.split()))
    judged = sum(len("".join(part.text.split())) for part in analysis.parts)
    return round(min(1.0, judged / visible), 3) if visible else 0.0


def of_summary(summary: Summary, text: str) -> float:
    proved = [sentence.source.start for sentence in summary.sentences if sentence.source is not None]
    source = SourceDocument(title="", text=text, blocks=(), media_type="text/plain")
    return round(
        0.5 * len(proved) / len(summary.sentences)
        + 0.2 * coverage(proved, source)
        + 0.3 * uniqueness(sentence.text for sentence in summary.sentences),
        3,
    )


def _is_paced(turn: Turn) -> bool:
    minutes = (turn.end_ms - turn.start_ms) / 60_000
    return minutes > 0 and _SLOWEST <= len(turn.text.split()) / minutes <= _FASTEST
