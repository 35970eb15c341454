"""Transcripts, redactions, moods and summaries for a reader at a terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from aif_console.reading.hanging import Hanging
from aif_console.reading.plain_text import counted, plain
from aif_contracts.analysis import Mood, Redaction, SentimentAnalysis, Summary, Transcript, Turn

_COLOURS = {Mood.POSITIVE: "green", Mood.NEUTRAL: "dim", Mood.NEGATIVE: "red"}


def rendered_transcript(transcript: Transcript) -> RenderableType:
    seconds = transcript.duration_ms / 1_000
    head = f"{counted(len(transcript.turns), 'turn')} in {seconds:.1f} s"
    return Group(_head(head, transcript.made_by), *_turns(transcript.turns), *_note(transcript.note))


def rendered_redaction(redaction: Redaction) -> RenderableType:
    found = ", ".join(f"{count} {kind}" for kind, count in redaction.counts.items()) or "nothing found"
    paragraphs = [Text(plain(paragraph)) for paragraph in redaction.text.split("\n\n")]
    body = _turns(redaction.turns) if redaction.turns else paragraphs
    return Group(_head(found, redaction.made_by), *body, *_note(redaction.note))


def rendered_sentiment(analysis: SentimentAnalysis) -> RenderableType:
    speakers = [
        Hanging(_mood(mood.label, mood.score), marker=f"{plain(speaker)}  ") for speaker, mood in analysis.by_speaker.items()
    ]
    parts = [
        Hanging(Text.assemble(_mood(part.sentiment.label, part.sentiment.score), "  ", plain(part.text)), marker="- ")
        for part in analysis.parts
    ]
    overall = _mood(analysis.overall.label, analysis.overall.score).plain
    head = f"{overall} over {counted(len(analysis.parts), 'sentence')}"
    return Group(_head(head, analysis.made_by), *speakers, *parts, *_note(analysis.note))


def rendered_summary(summary: Summary) -> RenderableType:
    head = f"{summary.words} of {counted(summary.source_words, 'word')}"
    return Group(_head(head, summary.made_by), Text(plain(summary.text)))


def _turns(turns: Sequence[Turn]) -> list[RenderableType]:
    return [
        Hanging(Text(plain(turn.text)), marker=f"{_time(turn.start_ms)}  {f'{plain(turn.speaker)}  ' if turn.speaker else ''}")
        for turn in turns
    ]


def _time(milliseconds: int) -> str:
    minutes, seconds = divmod(milliseconds // 1_000, 60)
    return f"{minutes:02}:{seconds:02}"


def _mood(label: Mood, score: float) -> Text:
    return Text(f"{label} {score:+.2f}", style=_COLOURS[label])


def _head(text: str, made_by: str) -> Text:
    return Text(f"{plain(text)}, by {plain(made_by)}" if made_by else plain(text), style="bold")


def _note(note: str) -> list[RenderableType]:
    return [Text(plain(note), style="dim")] if note else []
