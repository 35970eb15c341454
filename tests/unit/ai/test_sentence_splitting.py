"""Sentences are cut where a reader would cut them, and always slices of the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aif_ai.extractive.sentences import LONGEST_CHARACTERS, split


def _sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split(text, 0, len(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Bees fly. They sting.", ["Bees fly.", "They sting."]),
        ("Dr. Smith met Mr. Jones. They spoke.", ["Dr. Smith met Mr. Jones.", "They spoke."]),
        ("It weighs 3.5 kg. That is much.", ["It weighs 3.5 kg.", "That is much."]),
        ("Use salts, e.g. sodium chloride. Stir.", ["Use salts, e.g. sodium chloride.", "Stir."]),
        ("See Fig. 3 for the plan. Go on.", ["See Fig. 3 for the plan.", "Go on."]),
        ("J. R. Smith wrote it. It sold.", ["J. R. Smith wrote it.", "It sold."]),
        ("He asked “Why?” and left. She stayed.", ["He asked “Why?” and left.", "She stayed."]),
        ("She said “Go.” He went.", ["She said “Go.”", "He went."]),
        ("Bring rope, wax, etc. Then begin.", ["Bring rope, wax, etc.", "Then begin."]),
        ("Open https://www.example.org/a.b now. Wait.", ["Open https://www.example.org/a.b now.", "Wait."]),
        ("1. Move the hive. Then wait.", ["1. Move the hive.", "Then wait."]),
        ("蜂は飛ぶ。花に集まる。", ["蜂は飛ぶ。", "花に集まる。"]),
        ("「蜂は賢い。」と彼は言った。「はい。」「いいえ。」", ["「蜂は賢い。」と彼は言った。", "「はい。」", "「いいえ。」"]),
        ("هل تعيش الملكة طويلا؟ نعم، خمس سنوات. نعم.", ["هل تعيش الملكة طويلا؟", "نعم، خمس سنوات.", "نعم."]),
        ("मधुमक्खी एक कीट है। रानी अंडे देती है।", ["मधुमक्खी एक कीट है।", "रानी अंडे देती है।"]),
        ("Am 1. Mai 1925 flog sie. Seit dem 19. Jahrhundert.", ["Am 1. Mai 1925 flog sie.", "Seit dem 19. Jahrhundert."]),
        ("Der 3. Band kostet 2 Mio. Euro. Er fehlt.", ["Der 3. Band kostet 2 Mio. Euro.", "Er fehlt."]),
        ("I am 12. The hive has 10. May helped.", ["I am 12.", "The hive has 10.", "May helped."]),
        ("« Qui est là ? » demanda-t-il. « Moi. » Il rit.", ["« Qui est là ? » demanda-t-il.", "« Moi. »", "Il rit."]),
        ("Er ging. »Wer da?« rief sie.", ["Er ging.", "»Wer da?« rief sie."]),
        ("No end mark", ["No end mark"]),
        ("Really?! Yes… perhaps. Good.", ["Really?!", "Yes… perhaps.", "Good."]),
        ("A line\nthat wraps. Another.", ["A line\nthat wraps.", "Another."]),
        ("   ", []),
    ],
)
def test_a_text_is_cut_into_its_sentences(text: str, expected: list[str]) -> None:
    assert _sentences(text) == expected


@given(st.text(max_size=4_000))
def test_no_character_but_space_is_lost_or_moved(text: str) -> None:
    spans = split(text, 0, len(text))

    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())
    assert all(0 < b - a <= LONGEST_CHARACTERS for a, b in spans)
    assert spans == sorted(spans)


def test_a_row_of_dots_costs_no_more_than_any_other_text() -> None:
    # A hundred thousand marks, none of which ends anything: minutes of work if each were looked at from the beginning.
    text = ". " * 100_000

    assert "".join(text[start:end] for start, end in split(text, 0, len(text))).replace(" ", "") == "." * 100_000
