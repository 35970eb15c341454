"""From pieces that a recogniser heard to the turns of a transcript."""

from aif_ai.local.speech.turns import Piece, transcript_of

PIECES = (
    Piece(text="  good   day ", start_ms=1_200, end_ms=1_900, voice="right", confidence=0.5),
    Piece(text="hello", start_ms=100, end_ms=600, voice="left", confidence=0.9),
    Piece(text="   ", start_ms=700, end_ms=800, voice="left", confidence=0.1),
    Piece(text="bye", start_ms=2_000, end_ms=2_300, voice="left"),
)


def test_turns_stand_in_the_order_of_time_and_are_slices_of_the_text() -> None:
    transcript = transcript_of(PIECES, duration_ms=2_500, language="en", is_diarized=True)

    assert transcript.text == "hello\ngood day\nbye"
    assert [transcript.text[turn.span.start : turn.span.end] for turn in transcript.turns] == ["hello", "good day", "bye"]
    assert [(turn.start_ms, turn.end_ms) for turn in transcript.turns] == [(100, 600), (1_200, 1_900), (2_000, 2_300)]


def test_speakers_are_numbered_as_they_are_first_heard() -> None:
    transcript = transcript_of(PIECES, duration_ms=2_500, language="en", is_diarized=True)

    assert [turn.speaker for turn in transcript.turns] == ["speaker_1", "speaker_2", "speaker_1"]
    assert transcript.speakers == ("speaker_1", "speaker_2")


def test_without_diarization_nobody_is_named() -> None:
    transcript = transcript_of(PIECES, duration_ms=2_500, language=None, is_diarized=False)

    assert {turn.speaker for turn in transcript.turns} == {None}
    assert (transcript.speakers, transcript.is_diarized) == ((), False)


def test_confidence_is_weighted_by_words_and_unknown_ones_do_not_count() -> None:
    transcript = transcript_of(PIECES, duration_ms=2_500, language=None, is_diarized=False)

    assert transcript.confidence == 0.633
    assert transcript_of(PIECES[3:], duration_ms=1, language=None, is_diarized=False).confidence is None


def test_silence_has_no_turns() -> None:
    transcript = transcript_of((), duration_ms=1_000, language="en", is_diarized=True)

    assert (transcript.text, transcript.turns, transcript.duration_ms) == ("", (), 1_000)
