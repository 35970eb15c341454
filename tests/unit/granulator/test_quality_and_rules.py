"""The score is computed from the structure, and the rules say what to mend."""

import pytest

from aif_ai.grounding import locate
from aif_contracts.documents import Span
from aif_contracts.structures import Course, KeyPoint, Lesson, Module, Question, Quiz
from aif_granulator.granulation_order import GranulationOrder
from aif_granulator.quality import measure
from aif_granulator.rules import complaints
from support.source_documents import from_markdown

SOURCE = from_markdown("Bees make honey from nectar. It’s dried — slowly — until yeast cannot grow in it.")
LONG_SUMMARY = "Bees make honey from nectar that plants offer to them."


def _lesson(title: str = "Honey", points: tuple[KeyPoint, ...] | None = None, summary: str = LONG_SUMMARY) -> Lesson:
    default = (KeyPoint(text="Bees make honey.", source=Span(start=0, end=28)), KeyPoint(text="It is dried."))
    return Lesson(title=title, summary=summary, key_points=points or default, estimated_minutes=5)


def _course(*modules: Module) -> Course:
    return Course(
        title="Bees", description="d", target_audience="all", granularity_level=3, modules=modules, estimated_minutes=5
    )


def _module(*lessons: Lesson, title: str = "M") -> Module:
    return Module(title=title, summary="s", lessons=lessons)


def _question(
    text: str = "What do bees make?", *, options: tuple[str, ...] = ("wax", "honey", "milk"), key: int = 1
) -> Question:
    return Question(question=text, options=options, answer_index=key, explanation="e", source=Span(start=0, end=28))


def _quiz(*questions: Question) -> Quiz:
    return Quiz(title="Bees", description="d", target_audience="all", questions=questions)


def test_each_part_of_the_score_is_what_its_definition_says() -> None:
    course = _course(_module(_lesson(), title="A"), _module(_lesson(title="Two"), title="B"))

    quality = measure(course, 10, SOURCE)

    assert quality.grounded == 0.5
    assert quality.coverage == 1.0
    assert quality.completeness == 1.0
    assert quality.uniqueness == 0.5
    assert quality.balance == pytest.approx(1.0)
    assert quality.score == 0.8


def test_without_a_source_the_score_rests_on_what_is_known() -> None:
    quality = measure(_course(_module(_lesson())), 10, None)

    assert (quality.coverage, quality.grounded) == (None, None)
    assert quality.score == 1.0


def test_a_quiz_with_fewer_questions_than_asked_for_is_less_complete() -> None:
    quality = measure(_quiz(_question()), 4, SOURCE)

    assert quality.completeness == 0.25


@pytest.mark.parametrize(
    ("structure", "complaint"),
    [
        (_course(_module(_lesson(), _lesson(title="honey"))), "lesson title in module 'M' occurs twice"),
        (_course(_module(_lesson()), _module(_lesson())), "module title occurs twice"),
        (_course(_module(_lesson(summary="Honey."))), "only repeats its title"),
        (_quiz(_question(), _question()), "question occurs twice"),
        (_quiz(_question(key=4)), "points past its 3 options"),
        (_quiz(_question(options=("Wax", "wax", "milk"))), "option of question 1 occurs twice"),
    ],
)
def test_a_broken_rule_is_told_in_words_that_help_to_mend_it(structure: Course | Quiz, complaint: str) -> None:
    found = complaints(structure, GranulationOrder(topic="x", validation_level=2), SOURCE)

    assert any(complaint in told for told in found)


def test_level_one_asks_for_the_schema_alone() -> None:
    assert complaints(_quiz(_question(), _question()), GranulationOrder(topic="x", validation_level=1), SOURCE) == ()


def test_level_three_wants_proof_from_the_source() -> None:
    course = _course(_module(_lesson()))

    (told,) = complaints(course, GranulationOrder(topic="x", validation_level=3), SOURCE)

    assert told.startswith("1 of 2 key points have a quote that is not in the source")
    assert complaints(course, GranulationOrder(topic="x", validation_level=2), SOURCE) == ()


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("Bees make honey from nectar.", "Bees make honey from nectar."),
        ("  Bees make\nhoney from nectar. ", "Bees make honey from nectar."),
        ("It's dried - slowly - until", "It’s dried — slowly — until"),
        ("Bees make honey from pollen.", None),
        ("honey", None),
        ("", None),
    ],
)
def test_a_quote_is_found_where_the_source_says_it(quote: str, found: str | None) -> None:
    span = locate(quote, SOURCE)

    assert (SOURCE.text[span.start : span.end] if span else None) == found
