"""What expressions mean."""

from decimal import Decimal

import pytest

from aif_pipelines.expressions import compile_expression
from aif_pipelines.failures import ExpressionFailed

SCOPE = {
    "stage_1": {
        "quality_score": 0.65,
        "items": [{"title": "Bees"}, {"title": "Hives"}],
        "tags": ["a", "b"],
        "text": "Honey",
        "none": None,
        "odd key": 1,
        "yes": True,
        "no_items": [],
        "half": "\ud800",
    },
    "stage_2": {"element_count": 120, "cost_usd": Decimal("0.0016875")},
    "numbers": {"some": [1, 2.0, [3]], "same": [1.0, 2, [3]], "others": [1, 2, [4]]},
    "params": {"level": 4},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{stage_1.quality_score}} < 0.7", True),
        ("{{stage_2.element_count}} > 100", True),
        ("stage_1.quality_score >= 0.65", True),
        ("len(redacted.text) > 500", False),
        ("len(stage_1.text)", 5),
        ("len(stage_1.missing)", 0),
        ("stage_1.items[1].title", "Hives"),
        ("stage_1['odd key'] == 1", True),
        ("stage_1.items[2].title == null", True),
        ("stage_1.text.length == null", True),
        ("stage_1.none == null", True),
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 2 - 3", 5),
        ("7 / 2", Decimal("3.5")),
        ("8 / 2", 4),
        ("1 / 3", Decimal("0.3333333333333333333333333333333333")),
        ("5.5 - 2", Decimal("3.5")),
        ("-params.level + 1", -3),
        ("-(1 / 3) + 1 / 3 == 0", True),
        ("-1.0000000000000000000000000001 < -1", True),
        ("0.1 + 0.2 == 0.3", True),
        ("stage_2.cost_usd * 2 == 0.003375", True),
        ("'ho' + \"ney\"", "honey"),
        ("not true or true", True),
        ("not (true or true)", False),
        ("true or false and false", True),
        ("stage_1.missing or true", True),
        ("not stage_1.missing", True),
        ("'a' in stage_1.tags", True),
        ("'c' not in stage_1.tags", True),
        ("'one' in stage_1.text", True),
        ("'text' in stage_1", True),
        ("'x' in stage_1.missing", False),
        ("contains(stage_1.tags, 'b')", True),
        ("lower(stage_1.text) == 'honey'", True),
        ("lower(stage_1.missing)", None),
        ("min(3, 1, 2)", 1),
        ("max(params.level, 2.5)", 4),
        ("round(2.345, 2)", Decimal("2.35")),
        ("round(2.5)", 3),
        ("round(7, 2)", 7),
        ("round(1.25, 2 / 2)", Decimal("1.3")),
        ("round(12345678901.5, 20)", Decimal("12345678901.5")),
        ("coalesce(stage_1.missing, stage_1.none, 9)", 9),
        ("coalesce(stage_1.missing, 0) < 1", True),
        ("stage_1.missing ?? stage_1.none ?? 9", 9),
        ("stage_1.missing ?? 0 < 0.7", True),
        ("2 * stage_1.missing ?? 3 + 1", 7),
        ("-stage_1.missing ?? 3", -3),
        ("stage_1.missing ?? -1", -1),
        ("stage_1.quality_score ?? (1 / 0)", 0.65),
        ("{{ polish.quality_score??stage_1.quality_score }} < 0.7", True),
        ("not stage_1.missing ?? stage_1.yes", False),
        ("json(stage_1.tags)", '["a","b"]'),
        ("json(0 * -3)", "0"),
        ("stage_1.yes == 1", False),
        ("1 == 1.0", True),
        ("'1' == 1", False),
        ("stage_1.tags == stage_1.tags", True),
        ("stage_1 == stage_2", False),
        ("numbers.some == numbers.same", True),
        ("numbers.some == numbers.others", False),
        ("numbers.some == stage_1.tags", False),
        ("stage_1.items[0] == stage_1.items[1]", False),
        ("2 in numbers.some", True),
        ("3 in numbers.some", False),
        ("true in numbers.some", False),
        ("'a' < 'b' and 'b' >= 'a'", True),
        ('"it\'s"', "it's"),
        ("'say \"hi\"'", 'say "hi"'),
        ("'caf\\u00e9\\n'", "café\n"),
    ],
)
def test_an_expression_has_the_value_that_a_reader_expects(text: str, value: object) -> None:
    found = compile_expression(text).evaluate(SCOPE)

    assert found == value
    assert isinstance(found, bool) == isinstance(value, bool)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "stage_1.missing < 0.7",
            "stage_1.missing is missing (null), so it cannot be compared by <. "
            "Write coalesce(stage_1.missing, 0) to say what a missing value counts as.",
        ),
        ("stage_1.text > 3", "stage_1.text > 3 compares text with a number"),
        ("stage_1.tags < 'x'", 'stage_1.tags < "x" compares a list with text'),
        ("stage_1 < 2", "stage_1 < 2 compares an object with a number"),
        ("stage_1.yes < 2", "compares true or false with a number"),
        ("stage_1.missing * 2", "stage_1.missing is missing (null), so it cannot be computed with"),
        ("stage_1.text * 2", "stage_1.text is text, so it cannot be computed with. Use a number."),
        ("1 / (params.level - 4)", "a division by zero"),
        ("stage_1.text and true", "stage_1.text is text, not true or false"),
        ("len(params.level)", "params.level is a number, which has no length"),
        ("3 in stage_1.text", "only text can be looked for in stage_1.text"),
        ("stage_1.missing in stage_1.text", "only text can be looked for in stage_1.text, not null"),
        ("'x' in params.level", "nothing can be looked for in it"),
        ("min(stage_1.none)", "so it cannot be compared"),
        ("max(stage_1.no_items)", "an empty list has no least or greatest"),
        ("json(stage_1.half)", "the value cannot be written as JSON"),
        ("lower(1)", "1 is a number, not text"),
        ("round(1.5, 1.5)", "must be a whole number from 0 to 20"),
    ],
)
def test_an_expression_without_a_value_says_what_is_wrong(text: str, message: str) -> None:
    expression = compile_expression(text)

    with pytest.raises(ExpressionFailed) as failure:
        expression.evaluate(SCOPE)

    assert message in str(failure.value)


def test_a_float_counts_as_the_decimal_that_it_is_written_as() -> None:
    expression = compile_expression("a.score < 0.7 or a.score > 0.7")

    assert expression.evaluate({"a": {"score": 0.7}}) is False


def test_and_and_or_look_no_further_than_they_must() -> None:
    guarded = compile_expression("stage_1.missing != null and stage_1.missing > 3")

    assert guarded.evaluate(SCOPE) is False


def test_a_condition_that_is_null_does_not_hold_and_one_that_is_a_number_fails() -> None:
    assert compile_expression("stage_1.missing").holds(SCOPE) is False
    assert compile_expression("stage_1.yes").holds(SCOPE) is True
    with pytest.raises(ExpressionFailed, match=r"params\.level is a number, not true or false"):
        compile_expression("params.level").holds(SCOPE)


def test_an_expression_knows_what_it_reads() -> None:
    text = "{{stage_1.items[0].title}} == 'x' and not b.ready and params.level > -budget.remaining_usd + len(c.text)"
    expression = compile_expression(text)

    assert {str(path) for path in expression.references} == {
        "stage_1.items[0].title",
        "b.ready",
        "params.level",
        "budget.remaining_usd",
        "c.text",
    }


def test_roots_can_be_renamed_and_nothing_else_changes() -> None:
    expression = compile_expression("len(redacted.text) > 500 and not redacted.empty and 'redacted' in other.redacted")

    assert str(expression.with_roots({"redacted": "redact"})) == (
        'len(redact.text) > 500 and not redact.empty and "redacted" in other.redacted'
    )
