"""What is no expression, and what is said about it."""

import pytest

from aif_pipelines.expressions import compile_expression
from aif_pipelines.failures import ExpressionInvalid


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "the expression ends too early"),
        ("a <", 1, 4, "the expression ends too early"),
        ("a = b", 1, 3, "'=' has no meaning here. Write == to compare"),
        ("a && b", 1, 3, "Write and."),
        ("a < b < c", 1, 7, "comparisons cannot be chained. Write a < b and b < c"),
        ("a b", 1, 3, "an operator is missing before this"),
        ("a)", 1, 2, "there is a ) too many"),
        ("(a", 1, 3, ") is missing here"),
        ("a and\n  b ** 2", 2, 6, "'*' cannot stand here"),
        ("'open", 1, 1, "the quoted text does not end"),
        ("1e3", 1, 1, "this is not a number"),
        ("a..b", 1, 3, "a field name must follow the dot"),
        ("a[b]", 1, 3, "between [ and ] there must be a whole number or a quoted key"),
        ('a["\\ud800"] == 1', 1, 3, "the key is not sound text"),
        ("{{7*7}}", 1, 3, "a path must start with a name"),
        ("{{a < 1}}", 1, 5, "between {{ and }} there may be paths only"),
        ("{{a ?? 1}}", 1, 8, "a path must start with a name"),
        ("{{a?}} > 1", 1, 4, "a missing path is null"),
        ("a ? b", 1, 3, "write a ?? b for what counts in its place"),
        ("a ?? not b", 1, 6, "not must be in parentheses here"),
        ("lenn(a)", 1, 1, "there is no function lenn. Did you mean len?"),
        ("len(a, b)", 1, 1, "len takes 1 argument, not 2"),
        ("len(a,)", 1, 7, "')' cannot stand here"),
        ("1 + not a", 1, 5, "not must be in parentheses here"),
        ("'\\x41'", 1, 1, "the quoted text has an unknown escape"),
        ("'\\ud800'", 1, 1, "the quoted text has an unknown escape"),
        ("'\\u0000'", 1, 1, "holds a NUL character"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ExpressionInvalid) as failure:
        compile_expression(text)

    assert message in str(failure.value)
    assert (failure.value.line, failure.value.column) == (line, column)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1" + " " * 1000, "at most 1000 characters"),
        ("(" * 21 + "1" + ")" * 21, "nested deeper than 20"),
        ("-" * 21 + "1", "nested deeper than 20"),
        ("not " * 21 + "true", "nested deeper than 20"),
        ("+".join("1" * 101), "at most 200 parts"),
        ("1" * 31, "at most 30 digits"),
        ("a" + ".b" * 21, "at most 20 parts"),
    ],
)
def test_the_limits_hold_and_say_so(text: str, message: str) -> None:
    with pytest.raises(ExpressionInvalid, match=message):
        compile_expression(text)


@pytest.mark.parametrize(
    "text", ["1" + " " * 999, "(" * 20 + "1" + ")" * 20, "-" + "+".join("1" * 100), "1" * 30, "a" + ".b" * 20]
)
def test_what_just_keeps_the_limits_passes(text: str) -> None:
    compile_expression(text)


@pytest.mark.parametrize("part", ["(a)", "(-1)", "len(a)", "(not a)"])
def test_what_stands_side_by_side_is_not_nested(part: str) -> None:
    compile_expression(" == 1 or ".join([part] * 22))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("{{ a.b }}<1", "a.b < 1"),
        ("(a and b) or c", "a and b or c"),
        ("a and (b or c)", "a and (b or c)"),
        ("a - (b - c)", "a - (b - c)"),
        ("not (a == b)", "not a == b"),
        ("(not a) == b", "(not a) == b"),
        ("-(a + b)", "-(a + b)"),
        ("a['b']['c d'][0]", 'a.b["c d"][0]'),
        ("(a ?? b) < 1 and {{c ?? d.e}}", "a ?? b < 1 and c ?? d.e"),
        ("a ?? (b * 2)", "a ?? (b * 2)"),
        ("(-a) ?? -1", "(-a) ?? (-1)"),
        ("a ?? (b ?? c)", "a ?? (b ?? c)"),
        ("a == true or a == false or a == null", "a == true or a == false or a == null"),
        ("a in 'caf\u00e9' or a > 0.0000001", 'a in "caf\u00e9" or a > 0.0000001'),
    ],
)
def test_an_expression_has_one_canonical_spelling(text: str, canonical: str) -> None:
    assert str(compile_expression(text)) == canonical
