"""Properties of every expression, by generated ones."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aif_pipelines.expressions import compile_expression
from aif_pipelines.failures import ExpressionFailed, ExpressionInvalid
from aif_pipelines.parser import parse
from aif_pipelines.paths import Path
from aif_pipelines.syntax_tree import Binary, Call, Literal, Node, Reference, Unary, printed

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.decimals()
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc") | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
scopes = st.dictionaries(st.sampled_from(["a", "b", "stage_1"]), json_values, max_size=3)

names = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True).filter(
    lambda name: name not in {"and", "or", "not", "in", "null", "true", "false"}
)
sound_text = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
paths = st.builds(
    Path,
    st.sampled_from(["a", "b", "stage_1"]),
    st.lists(names | st.integers(0, 99) | sound_text, max_size=3).map(tuple),
)
literals: st.SearchStrategy[Node] = st.builds(
    Literal,
    st.none()
    | st.booleans()
    | st.integers(0, 10**20)
    | st.integers(0, 10**9).map(lambda number: Decimal(number).scaleb(-3))
    | sound_text,
)
leaves: st.SearchStrategy[Node] = literals | st.builds(Reference, paths)
operators = st.sampled_from(["or", "and", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "+", "-", "*", "/", "??"])


def _larger(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    one = st.sampled_from(["len", "lower", "min", "round", "json", "coalesce"])
    two = st.sampled_from(["contains", "min", "max", "coalesce", "round"])
    return (
        st.builds(Unary, st.sampled_from(["not", "-"]), inner)
        | st.builds(Binary, operators, inner, inner)
        | st.builds(Call, one, st.tuples(inner))
        | st.builds(Call, two, st.tuples(inner, inner))
    )


trees = st.recursive(leaves, _larger, max_leaves=12)


def bare(node: Node) -> Any:
    """The tree without the offsets, which printing changes."""
    match node:
        case Literal():
            return ("literal", type(node.value).__name__, node.value)
        case Reference():
            return ("path", node.path)
        case Unary():
            return (node.operator, bare(node.operand))
        case Binary():
            return (node.operator, bare(node.left), bare(node.right))
        case Call():
            return (node.function, *(bare(argument) for argument in node.arguments))


@given(trees)
@settings(max_examples=400, deadline=None)
def test_printing_and_reading_gives_the_same_tree(tree: Node) -> None:
    text = printed(tree)

    assert bare(parse(text)) == bare(tree)
    assert printed(parse(text)) == text


@given(trees, scopes)
@settings(max_examples=600, deadline=None)
def test_an_expression_ends_in_a_json_value_or_a_typed_failure(tree: Node, scope: dict[str, Any]) -> None:
    expression = compile_expression(printed(tree))

    try:
        value = expression.evaluate(scope)
    except ExpressionFailed as failure:
        told = (failure.message, failure.mend)
    else:
        told = ("value", "none needed")
        assert value is None or type(value) in (bool, int, float, Decimal, str, list, dict)
    assert all(told)


@given(st.text(max_size=200) | st.text(alphabet="ab1.[]\"'(){}<>=!+-*/, notinandor", max_size=80))
@settings(max_examples=800, deadline=None)
def test_any_text_is_an_expression_or_a_mistake_with_a_place(text: str) -> None:
    place = (1, 1)
    try:
        compile_expression(text)
    except ExpressionInvalid as failure:
        place = (failure.line, failure.column)

    assert 1 <= place[0] <= text.count("\n") + 1
    assert 1 <= place[1] <= len(text) + 1


@given(trees, scopes)
@settings(max_examples=200, deadline=None)
def test_evaluating_changes_nothing(tree: Node, scope: dict[str, Any]) -> None:
    before = repr(scope)
    expression = compile_expression(printed(tree))

    try:
        expression.evaluate(scope)
    except ExpressionFailed:
        pass

    assert repr(scope) == before
