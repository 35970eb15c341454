"""Quizzes made from a source: the key restores what the source says, and no other option does."""

import pytest
from hypothesis import example, given, settings

from aif_ai.extractive.quiz import GAP, make_quiz
from aif_ai.extractive.words import tokens
from aif_ai.failures import SourceTooThin
from aif_contracts.documents import SourceDocument
from aif_contracts.structures import Question, Quiz
from support.random_documents import DOCUMENTS
from support.source_documents import beekeeping, from_markdown


def _quiz(document: SourceDocument, count: int = 10) -> Quiz:
    return make_quiz(document, question_count=count, audience="beginners", made_by="local_extractive", checkpoint=lambda: None)


def _proof(question: Question, document: SourceDocument) -> str:
    assert question.source is not None
    return document.text[question.source.start : question.source.end]


def _assert_true_by_construction(question: Question, document: SourceDocument) -> None:
    proof = _proof(question, document)
    key = question.options[question.answer_index]
    assert key.lower() in proof.lower()
    assert proof in question.explanation
    assert len({option.casefold() for option in question.options}) == len(question.options)
    if GAP in question.question:
        restored = [i for i, option in enumerate(question.options) if question.question.replace(GAP, option).endswith(proof)]
        assert restored == [question.answer_index]


@settings(max_examples=150, deadline=None)
@given(document=DOCUMENTS)
@example(document=from_markdown("Bee queen queen honey honey. 0AAAAA\n\nBee bee bee. a_aAAAA Bee."))
def test_every_key_is_true_and_every_other_option_is_not(document: SourceDocument) -> None:
    try:
        quiz = _quiz(document)
    except SourceTooThin:
        return

    for question in quiz.questions:
        _assert_true_by_construction(question, document)
    assert _quiz(document) == quiz


def test_a_guide_gives_as_many_questions_as_were_asked_for_spread_over_all_of_it() -> None:
    document = beekeeping()

    quiz = _quiz(document, 12)

    assert len(quiz.questions) == 12
    for question in quiz.questions:
        _assert_true_by_construction(question, document)
        assert 3 <= len(question.options) <= 4
    starts = [question.source.start for question in quiz.questions if question.source]
    assert starts == sorted(set(starts))
    assert all(any(n / 4 <= start / len(document.text) < (n + 1) / 4 for start in starts) for n in range(4))


def test_the_right_option_is_not_always_in_the_same_place() -> None:
    quiz = _quiz(beekeeping(), 20)

    assert len({question.answer_index for question in quiz.questions}) == 4


def test_a_definition_is_asked_for_by_its_meaning() -> None:
    text = (
        "The place where hives stand is called an apiary.\n\nInvertase is the enzyme that splits sucrose.\n\n"
        "A smoker is a can with bellows that calms a colony."
    )

    (question,) = _quiz(from_markdown(text), 1).questions

    assert question.question == "Which term does the source explain as “The place where hives stand”?"
    assert question.options[question.answer_index] == "apiary"
    assert set(question.options) == {"apiary", "Invertase", "smoker"}


def test_a_source_with_few_facts_makes_fewer_questions_and_says_so() -> None:
    text = (
        "A drone is a male bee of the colony. A nucleus is a small working colony. "
        "Invertase is the enzyme that splits sucrose. "
        "A super is a shallow box for honey."
    )

    quiz = _quiz(from_markdown(text), 10)

    assert 1 <= len(quiz.questions) <= 4
    assert f"{len(quiz.questions)} of the 10 questions asked for" in quiz.description


def test_a_source_without_facts_is_refused() -> None:
    with pytest.raises(SourceTooThin, match="too few facts"):
        _quiz(from_markdown("Hello there. How are you?"))


def test_equal_numbers_written_differently_are_never_both_offered() -> None:
    counts = ("1,500", "1500", "900", "2000", "750", "1,200")
    text = " ".join(
        f"The hive called {name} holds {count} bees in summer." for name, count in zip("abcdef", counts, strict=True)
    )

    quiz = _quiz(from_markdown(text), 6)

    for question in quiz.questions:
        values = [option.replace(",", "") for option in question.options]
        assert len(set(values)) == len(values)


def test_a_number_of_the_statement_is_never_a_wrong_option_of_it() -> None:
    sentence = "A hive of type {} weighs {} kilograms empty and {} kilograms full."
    text = " ".join(sentence.format(name, n, n + 1) for n, name in enumerate("abcdef", 20))

    for question in _quiz(from_markdown(text), 6).questions:
        assert not any(f" {option} " in question.question for option in question.options)


def test_a_term_that_stands_in_the_meaning_asked_about_is_never_a_wrong_option() -> None:
    fillers = (
        "Invertase is an enzyme that splits sugar.",
        "A smoker is a can with bellows and fuel.",
        "A super is a shallow box for honey.",
        "A nectary is a gland of flowers.",
    )
    swarm = "A swarm is a part of a colony that leaves with its mother."
    document = from_markdown("\n\n".join((*fillers, "A colony is a family of bees that lives as one.", swarm)))

    questions = [question for count in range(1, 7) for question in _quiz(document, count).questions]

    asked = [question for question in questions if "a part of a colony" in question.question]
    assert asked
    assert not any("colony" in question.options for question in asked)


def test_a_statement_that_stands_twice_is_asked_about_once() -> None:
    said = "The brood nest holds 20,000 bees in spring. The bee tree holds 30,000 bees in spring."
    text = f"The tall hive holds 40,000 bees in spring.\n\n{said}\n\nTHE TALL HIVE HOLDS 40,000 BEES IN SPRING.\n\n{said}"

    quiz = _quiz(from_markdown(text))

    asked = [question.question.casefold() for question in quiz.questions]
    assert len(asked) == len(set(asked)) == 3


def test_an_option_that_makes_another_statement_of_the_source_is_never_offered_as_wrong() -> None:
    text = (
        "The old hive holds 40,000 bees in spring.\n\nThe old hive holds 50,000 bees in spring.\n\n"
        "The bee tree holds 20,000 bees in spring.\n\nThe straw skep holds 10,000 bees in spring."
    )

    quiz = _quiz(from_markdown(text))

    asked = [question for question in quiz.questions if "The old hive" in question.question]
    assert asked
    assert not any({"40,000", "50,000"} <= set(question.options) for question in asked)


@pytest.mark.parametrize(
    ("text", "question", "options"),
    [
        (
            "一个蜂群在夏季约有40000只工蜂。蜂王每天在巢里产卵约2000粒。蜂群在冬季约有10000只工蜂。本书共有第2章和第3章。",
            "一个蜂群在夏季约有____只工蜂。",
            {"40000", "2000", "10000"},
        ),
        (
            "La ville compte près de 17 000 habitants en hiver. Le pays compte près de 28 500 soldats en hiver. "
            "Le port compte près de 21 250 marins en hiver.",
            "La ville compte près de ____ habitants en hiver.",
            {"17 000", "28 500", "21 250"},
        ),
    ],
)
def test_a_number_is_taken_out_whole_as_its_language_writes_it(text: str, question: str, options: set[str]) -> None:
    asked = {each.question: set(each.options) for each in _quiz(from_markdown(text)).questions}

    assert asked[question] == options


def test_one_number_in_two_kinds_of_digits_is_never_two_options() -> None:
    counts = ("5", "٥", "9", "7", "6")
    text = " ".join(f"تعيش الملكة {name} في الخلية {count} سنوات كاملة." for name, count in zip("ابجدو", counts, strict=True))

    for question in _quiz(from_markdown(text)).questions:
        assert not {"5", "٥"} <= set(question.options)


def test_accents_and_vowel_signs_are_parts_of_their_word() -> None:
    assert tokens("Ko\u0308nigin मधुमक्खी می‌خواهم") == ["Ko\u0308nigin", "मधुमक्खी", "می‌خواهم"]
