"""Analyses as a terminal shows them."""

from io import StringIO

import msgspec
import pytest
from msgspec import Struct
from rich.console import Console

from aif_console.reading.outline import rendered_structure
from aif_contracts.analysis import (
    Mood,
    Redaction,
    Sentiment,
    SentimentAnalysis,
    SentimentPart,
    Summary,
    SummarySentence,
    Transcript,
    Turn,
)
from aif_contracts.documents import Span

SPAN = Span(start=0, end=5)
TURN = Turn(text="Hello.", span=SPAN, start_ms=65_400, end_ms=66_000, speaker="speaker_1")
LOW = Sentiment(label=Mood.NEGATIVE, score=-0.4)


def shown(structure: Struct) -> str:
    out = StringIO()
    Console(file=out, width=100).print(rendered_structure(msgspec.json.encode(structure)))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


@pytest.mark.parametrize(
    ("structure", "text"),
    [
        (
            Transcript(text="Hello.", turns=(TURN,), duration_ms=70_000, note="Small model.", made_by="local_speech/p"),
            "1 turn in 70.0 s, by local_speech/p\n01:05  speaker_1  Hello.\nSmall model.",
        ),
        (Redaction(text="To [EMAIL].", entities=(), counts={"email": 1}, characters=9), "1 email\nTo [EMAIL]."),
        (Redaction(text="Bees.\n\nWasps.", entities=(), counts={}, characters=13), "nothing found\nBees.\nWasps."),
        (
            SentimentAnalysis(
                text="The mood is negative.",
                overall=LOW,
                parts=(SentimentPart(text="It was late.", span=SPAN, sentiment=LOW),),
                by_speaker={"speaker_1": LOW},
            ),
            "negative -0.40 over 1 sentence\nspeaker_1  negative -0.40\n- negative -0.40  It was late.",
        ),
        (
            Summary(text="It was late.", sentences=(SummarySentence(text="It was late."),), words=3, source_words=40),
            "3 of 40 words\nIt was late.",
        ),
    ],
)
def test_an_analysis_is_shown_in_words(structure: Struct, text: str) -> None:
    assert shown(structure) == text


def test_what_was_said_cannot_steer_the_terminal() -> None:
    turn = msgspec.structs.replace(TURN, text="\x1b[2J\x07bang", speaker="\x1b]0;x")

    assert "\x1b" not in shown(Transcript(text="", turns=(turn,), duration_ms=1, made_by="\x1b[31m"))
