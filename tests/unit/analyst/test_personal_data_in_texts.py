"""What rules find in a text, what they leave alone, and what the text looks like afterwards."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aif_ai.local.pii.checksums import is_account_number, is_card_number
from aif_ai.local.pii.detection import PiiOptions, find, redaction_of
from aif_ai.local.pii.finding import Finding, merged
from aif_ai.local.pii.redacting import places_of, redact
from aif_ai.requests import TextInput
from aif_contracts.analysis import PiiKind, Redaction, Turn
from aif_contracts.documents import Span


def redacted(text: str, *, language: str | None = None, **options: Any) -> Redaction:
    return redaction_of(TextInput(text=text, language=language), PiiOptions(**options), lambda: None, "local_pii/rules-1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to bob.smith+shop@mail.example.com, please.", "Write to [EMAIL], please."),
        ("Schreib an jürgen@bücher-müller.de!", "Schreib an [EMAIL]!"),
        ("Call +49 (0)30 1234567 or 030 / 123 45 67.", "Call [PHONE] or [PHONE]."),
        ("Call (415) 555-0132 now", "Call [PHONE] now"),
        ("IBAN DE89 3704 0044 0532 0130 00.", "IBAN [IBAN]."),
        ("iban gb29nwbk60161331926819", "iban [IBAN]"),
        ("Card 4111-1111-1111-1111, 5500 0000 0000 0004", "Card [CREDIT_CARD], [CREDIT_CARD]"),
        ("SSN 123-45-6789", "SSN [NATIONAL_ID]"),
        ("from 192.168.1.1", "from [IP_ADDRESS]"),
        ("key AKIAIOSFODNN7EXAMPLE and sk-proj-abcdefgh12345678", "key [API_KEY] and [API_KEY]"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ123456", "[API_KEY]"),
        ("password: hunter22! then", "password: [API_KEY] then"),
        ("my password is swordfish9", "my password is [API_KEY]"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----\nrest", "[API_KEY]\nrest"),
        ("I spoke to Mrs. Anna Miller. Anna was kind.", "I spoke to Mrs. [PERSON]. [PERSON] was kind."),
        ("Hello, my name is John and Jane is out.", "Hello, my name is [PERSON] and Jane is out."),
        ("Ich heiße Jörg Weiß.", "Ich heiße [PERSON]."),
        ("Mr. Smith and Mrs. Jones met.", "Mr. [PERSON] and Mrs. [PERSON] met."),
        ("Herr Müller und Frau Maier kamen.", "Herr [PERSON] und Frau [PERSON] kamen."),
        ("Frau Prof. Dr. Anna Weiß und Herr Ing. Huber", "Frau Prof. Dr. [PERSON] und Herr Ing. [PERSON]"),
        ("Frau von der Leyen, Mr. J. R. Smith, Dr. Jane A. Doe", "Frau [PERSON], Mr. [PERSON], Dr. [PERSON]"),
        (
            "Mr. Smith’s car is new. Smith is glad of Smith's car.",
            "Mr. [PERSON]’s car is new. [PERSON] is glad of [PERSON]'s car.",
        ),
        ("I saw Mr.\nSmith, and my name is\nJohn.", "I saw Mr.\n[PERSON], and my name is\n[PERSON]."),
        ("Card 4111 1111 1111 1111 12/26, check digits 123", "Card [CREDIT_CARD] 12/26, check digits 123"),
        ("Card 4111 1111 1111 1111 123", "Card [CREDIT_CARD] 123"),
        ("Card 4111 1111\n1111 1111, IBAN DE89 3704 0044\n0532 0130 00", "Card [CREDIT_CARD], IBAN [IBAN]"),
        ("4111\u00a01111\u00a01111\u00a01111 or 4111–1111–1111–1111", "[CREDIT_CARD] or [CREDIT_CARD]"),
        ("+43\u202f664\u00a01234567", "[PHONE]"),
    ],
)
def test_personal_data_gives_way_to_its_kind(text: str, expected: str) -> None:
    assert redacted(text).text == expected


@pytest.mark.parametrize(
    "text",
    [
        "Card 4111-1111-1111-1112 has a wrong last digit.",
        "0000 0000 0000 0000",
        "The password is wrong.",
        "It cost 1,234,567.89 on 2026-11-21, order 20261121.",
        "Version 1.2.3.4.5 and DE in a sentence, room DE12.",
        "my name is irrelevant",
        "See section 0815 of the manual, page 42.",
        "Mr. and Mrs. are forms of address.",
        "Der Herr der Ringe, der Herr von nebenan.",
        "On 02/03/2024, 02-03-2024 10:30 and 05 11 1999.",
        "4111\n1111\n1111\n1111",
    ],
)
def test_what_only_looks_alike_stays(text: str) -> None:
    assert redacted(text).text == text


def test_a_password_in_a_url_is_taken_out_whole() -> None:
    found = redacted("postgres://admin:s3cr3t!pw@db.example.com/x")

    assert "s3cr3t" not in found.text


def test_numbers_of_german_offices_are_looked_for_in_german_texts_only() -> None:
    text = "Meine USt-ID ist DE136695976."

    assert redacted(text).text == text
    assert redacted(text, language="de-AT").text == "Meine USt-ID ist [NATIONAL_ID]."


def test_dates_and_postal_codes_are_looked_for_when_they_are_asked_for() -> None:
    text = "born 12/05/1980, zip 90210"

    assert redacted(text).text == text
    assert redacted(text, kinds=(PiiKind.DATE, PiiKind.POSTAL_CODE)).text == "born [DATE], zip [POSTAL_CODE]"


def test_only_the_wanted_kinds_are_replaced() -> None:
    found = redacted("a@b.com and 192.168.1.1", kinds=(PiiKind.IP_ADDRESS,))

    assert (found.text, found.counts, found.looked_for) == (
        "a@b.com and [IP_ADDRESS]",
        {"ip_address": 1},
        (PiiKind.IP_ADDRESS,),
    )


def test_equal_findings_get_equal_numbers_when_numbers_are_wanted() -> None:
    found = redacted("a@b.com, c@d.org, A@B.com", numbered=True)

    assert found.text == "[EMAIL_1], [EMAIL_2], [EMAIL_1]"


def test_a_finding_says_where_it_was_and_where_its_mark_is_and_not_what_it_was() -> None:
    text = "Mail bob@example.com or call +49 30 1234567."

    found = redacted(text)

    (mail, phone) = found.entities
    assert (mail.source, mail.span, mail.replacement) == (Span(start=5, end=20), Span(start=5, end=12), "[EMAIL]")
    assert text[phone.source.start : phone.source.end] == "+49 30 1234567"
    assert found.text[phone.span.start : phone.span.end] == "[PHONE]"
    assert "bob" not in repr(found)


def test_turns_are_redacted_with_their_text() -> None:
    text = "I am Mr. Bean\nwrite to a@b.com\nbye"
    spans = ((0, 13), (14, 30), (31, 34))
    turns = tuple(
        Turn(text=text[start:end], span=Span(start=start, end=end), speaker=f"speaker_{start % 2}") for start, end in spans
    )

    found = redacted(text, turns=turns)

    assert [turn.text for turn in found.turns] == ["I am Mr. [PERSON]", "write to [EMAIL]", "bye"]
    assert all(found.text[turn.span.start : turn.span.end] == turn.text for turn in found.turns)
    assert [turn.speaker for turn in found.turns] == ["speaker_0", "speaker_0", "speaker_1"]


def test_a_finding_that_goes_on_in_the_next_turns_is_replaced_in_the_first_one() -> None:
    lines = ("here it is -----BEGIN PRIVATE KEY-----", "MIIEvQ", "-----END PRIVATE KEY-----", "bye")
    text = "\n".join(lines)
    starts = [text.index(line) for line in lines]
    turns = tuple(
        Turn(text=line, span=Span(start=start, end=start + len(line))) for line, start in zip(lines, starts, strict=True)
    )

    found = redacted(text, turns=turns)

    assert [turn.text for turn in found.turns] == ["here it is [API_KEY]", "", "", "bye"]
    assert [(turn.span.start, turn.span.end) for turn in found.turns] == [(0, 20), (20, 20), (20, 20), (21, 24)]


def test_findings_that_overlap_go_together_under_the_name_of_the_longer_one() -> None:
    short = Finding(kind=PiiKind.PHONE, start=5, end=9, found_by="a")
    long = Finding(kind=PiiKind.IBAN, start=0, end=8, found_by="b")
    apart = Finding(kind=PiiKind.EMAIL, start=9, end=12, found_by="c")

    assert merged([short, apart, long]) == [Finding(kind=PiiKind.IBAN, start=0, end=9, found_by="b"), apart]


@given(
    text=st.text(max_size=60),
    places=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 10), st.sampled_from(PiiKind)), max_size=8),
    numbered=st.booleans(),
)
def test_outside_of_its_marks_a_redacted_text_is_the_text_as_it_came(
    text: str, places: list[tuple[int, int, PiiKind]], numbered: bool
) -> None:
    findings = [
        Finding(kind=kind, start=start, end=min(len(text), start + length), found_by="rule:test")
        for start, length, kind in places
        if start < len(text)
    ]

    found = redact(text, findings, numbered=numbered)

    rebuilt, position = "", 0
    for entity in found.entities:
        rebuilt += found.text[position : entity.span.start] + text[entity.source.start : entity.source.end]
        position = entity.span.end
    assert rebuilt + found.text[position:] == text
    covered = {i for finding in findings for i in range(finding.start, finding.end)}
    assert covered == {i for entity in found.entities for i in range(entity.source.start, entity.source.end)}
    moves = places_of(found.entities)
    for i in range(len(text) + 1):
        if not any(entity.source.start < i < entity.source.end for entity in found.entities):
            assert moves.origin(moves.moved(i)) == i


@given(st.text(alphabet="DE89370400 -+()@.aS:/\n", max_size=200))
def test_no_text_breaks_the_rules_and_every_finding_lies_inside_it(text: str) -> None:
    for finding in find(text, tuple(PiiKind), None, lambda: None):
        assert 0 <= finding.start < finding.end <= len(text)


@pytest.mark.parametrize(
    "unit", ["DE89 ", "+1 ", "0/", "a.b@", "sk-", "eyJaaaaaaaaa.", "password ", "Mr. ", "4111 ", "::::::::::"]
)
def test_a_long_row_of_beginnings_is_searched_in_linear_time(unit: str) -> None:
    text = unit * 20_000

    # A search that grew with the square of the text would not end within the patience of anybody who runs this.
    assert redacted(text).characters == len(text)


@pytest.mark.parametrize("begin", [0, 3_495, 3_990, 4_000, 4_480, 7_995])
def test_what_stands_deep_in_a_long_text_is_found_whole_and_once(begin: int) -> None:
    text = f"{'word ' * (begin // 5)}SSN 123-45-6789 and (415) 555-0132{' word' * 2_000}"

    redaction = redacted(text)

    assert redaction.text == text.replace("123-45-6789", "[NATIONAL_ID]").replace("(415) 555-0132", "[PHONE]")
    assert redaction.counts == {"national_id": 1, "phone": 1}


def test_an_account_number_is_judged_by_its_countrys_length_and_its_remainder() -> None:
    assert is_account_number("DE89370400440532013000")
    assert not is_account_number("DE88370400440532013000")
    assert not is_account_number("DE893704004405320130")
    assert not is_account_number("XX89370400440532013000")


@pytest.mark.parametrize(
    ("digits", "is_card"), [("4111111111111111", True), ("4111111111111112", False), ("0" * 16, False), ("42", False)]
)
def test_a_card_number_is_judged_by_its_last_digit(digits: str, is_card: bool) -> None:
    assert is_card_number(digits) is is_card
