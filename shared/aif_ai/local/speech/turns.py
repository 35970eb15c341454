"""From what a recogniser heard, piece by piece, to a transcript. Recognisers elsewhere may use it, too."""

from collections.abc import Iterable

from msgspec import Struct

from aif_contracts.analysis import Transcript, Turn
from aif_contracts.documents import Span


class Piece(Struct, frozen=True, kw_only=True):
    """Some words without a pause between them."""

    text: str
    start_ms: int
    end_ms: int
    voice: str | None = None
    """Any name for who says it; None when nobody knows."""
    confidence: float | None = None


def transcript_of(
    pieces: Iterable[Piece], *, duration_ms: int, language: str | None, is_diarized: bool, note: str = "", made_by: str = ""
) -> Transcript:
    """Pieces in any order become turns by time; pieces without words are left out."""
    spoken = sorted((piece for piece in pieces if piece.text.strip()), key=lambda piece: (piece.start_ms, piece.end_ms))
    speakers: dict[str, str] = {}
    turns: list[Turn] = []
    position = 0
    for piece in spoken:
        text = " ".join(piece.text.split())
        speaker = None
        if is_diarized and piece.voice is not None:
            speaker = speakers.setdefault(piece.voice, f"speaker_{len(speakers) + 1}")
        turns.append(
            Turn(
                text=text,
                span=Span(start=position, end=position + len(text)),
                start_ms=max(0, piece.start_ms),
                end_ms=max(0, piece.start_ms, piece.end_ms),
                speaker=speaker,
                confidence=None if piece.confidence is None else round(min(1.0, max(0.0, piece.confidence)), 3),
            )
        )
        position += len(text) + 1
    return Transcript(
        text="\n".join(turn.text for turn in turns),
        turns=tuple(turns),
        duration_ms=duration_ms,
        language=language,
        speakers=tuple(speakers.values()),
        is_diarized=is_diarized,
        confidence=_confidence(turns),
        note=note,
        made_by=made_by,
    )


def _confidence(turns: list[Turn]) -> float | None:
    known = [(turn.confidence, len(turn.text.split())) for turn in turns if turn.confidence is not None]
    words = sum(weight for _, weight in known)
    return round(sum(value * weight for value, weight in known) / words, 3) if words else None
