"""What an expression means: a tree becomes one closure, made once and called often.

Semantics. A missing path is null. null is false for and, or, not and for a condition; comparing it by < or
computing with it fails, naming coalesce as the mend; len(null) is 0, contains(null, x) is false and lower(null) is
null. Values of different kinds are never equal. Numbers are exact: a float counts as the decimal that it is written
as, so 0.7 is 0.7.

The tree bounds the work but for what grows with the values; that is paid for from a purse of steps.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, assert_never

from aif_pipelines.arithmetic import computed, exact, is_number, negated, number
from aif_pipelines.bounds import CHARACTERS_PER_STEP, MAX_RESULT_CHARACTERS, Purse, too_long
from aif_pipelines.comparison import contains, equal
from aif_pipelines.failures import ExpressionFailed
from aif_pipelines.functions import FUNCTIONS
from aif_pipelines.json_values import brief, kind_of
from aif_pipelines.paths import MISSING, Path, compile_getter
from aif_pipelines.syntax_tree import Binary, Call, Literal, Node, Printed, Reference, Unary, printed

Scope = Mapping[str, Any]
Evaluate = Callable[[Scope, Purse], Any]


def compile_node(node: Node) -> Evaluate:
    match node:
        case Literal():
            value = node.value
            return lambda _scope, _purse: value
        case Reference():
            return _reference(node.path)
        case Unary(operator="not"):
            return _negation(node)
        case Unary():
            return _minus(node)
        case Binary(operator="and" | "or"):
            return _logic(node)
        case Binary(operator="==" | "!="):
            return _equality(node)
        case Binary(operator="in" | "not in"):
            return _membership(node)
        case Binary(operator="??"):
            return _coalesce((compile_node(node.left), compile_node(node.right)))
        case Binary(operator="+" | "-" | "*" | "/"):
            return _arithmetic(node)
        case Binary():
            return _ordering(node)
        case Call():
            return _call(node)
        case _:
            assert_never(node)


def truth(value: Any, text: str | Printed) -> bool:
    if value is True or value is False:
        return value
    if value is None:
        return False
    raise ExpressionFailed(
        f"{text} is {kind_of(value)}, not true or false", mend=f"Compare it, as in {text} == {brief(value)}."
    )


def _reference(path: Path) -> Evaluate:
    get = compile_getter(path)

    def evaluate(scope: Scope, _purse: Purse) -> Any:
        value = get(scope)
        return None if value is MISSING else value

    return evaluate


def _negation(node: Unary) -> Evaluate:
    operand, text = compile_node(node.operand), Printed(node.operand)
    return lambda scope, purse: not truth(operand(scope, purse), text)


def _minus(node: Unary) -> Evaluate:
    operand, text = compile_node(node.operand), Printed(node.operand)
    return lambda scope, purse: negated(number(operand(scope, purse), text, "computed with"))


def _logic(node: Binary) -> Evaluate:
    left, left_text = compile_node(node.left), Printed(node.left)
    right, right_text = compile_node(node.right), Printed(node.right)
    if node.operator == "and":
        return lambda scope, purse: truth(left(scope, purse), left_text) and truth(right(scope, purse), right_text)
    return lambda scope, purse: truth(left(scope, purse), left_text) or truth(right(scope, purse), right_text)


def _equality(node: Binary) -> Evaluate:
    left, right = compile_node(node.left), compile_node(node.right)
    if node.operator == "==":
        return lambda scope, purse: equal(left(scope, purse), right(scope, purse), purse)
    return lambda scope, purse: not equal(left(scope, purse), right(scope, purse), purse)


def _membership(node: Binary) -> Evaluate:
    left, right, text = compile_node(node.left), compile_node(node.right), printed(node.right)
    if node.operator == "in":
        return lambda scope, purse: contains(right(scope, purse), left(scope, purse), text, purse)
    return lambda scope, purse: not contains(right(scope, purse), left(scope, purse), text, purse)


_ORDERINGS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _ordering(node: Binary) -> Evaluate:
    left, right = compile_node(node.left), compile_node(node.right)
    holds = _ORDERINGS[node.operator]

    def evaluate(scope: Scope, purse: Purse) -> bool:
        one, other = left(scope, purse), right(scope, purse)
        if type(one) is int and type(other) is int:
            return holds(one, other)
        if isinstance(one, str) and isinstance(other, str):
            return holds(one, other)
        if is_number(one) and is_number(other):
            return holds(exact(one), exact(other))
        raise _incomparable(node, one, other)

    return evaluate


def _incomparable(node: Binary, one: Any, other: Any) -> ExpressionFailed:
    for side, value, opposite in ((node.left, one, other), (node.right, other, one)):
        if value is None:
            text, default = printed(side), '""' if isinstance(opposite, str) else "0"
            return ExpressionFailed(
                f"{text} is missing (null), so it cannot be compared by {node.operator}",
                mend=f"Write coalesce({text}, {default}) to say what a missing value counts as.",
            )
    return ExpressionFailed(
        f"{printed(node)} compares {kind_of(one)} with {kind_of(other)}",
        mend="Compare numbers with numbers or text with text.",
    )


def _arithmetic(node: Binary) -> Evaluate:
    left, left_text = compile_node(node.left), Printed(node.left)
    right, right_text = compile_node(node.right), Printed(node.right)
    symbol = node.operator

    def evaluate(scope: Scope, purse: Purse) -> Any:
        one, other = left(scope, purse), right(scope, purse)
        if symbol == "+" and isinstance(one, str) and isinstance(other, str):
            purse.pay((len(one) + len(other)) // CHARACTERS_PER_STEP)
            if len(one) + len(other) > MAX_RESULT_CHARACTERS:
                raise too_long()
            return one + other
        return computed(symbol, number(one, left_text, "computed with"), number(other, right_text, "computed with"))

    return evaluate


def _call(node: Call) -> Evaluate:
    arguments = tuple(compile_node(argument) for argument in node.arguments)
    texts = tuple(printed(argument) for argument in node.arguments)
    if node.function == "coalesce":
        return _coalesce(arguments)
    function = FUNCTIONS[node.function]

    def evaluate(scope: Scope, purse: Purse) -> Any:
        return function([argument(scope, purse) for argument in arguments], texts, purse)

    return evaluate


def _coalesce(arguments: tuple[Evaluate, ...]) -> Evaluate:
    def evaluate(scope: Scope, purse: Purse) -> Any:
        for argument in arguments:
            value = argument(scope, purse)
            if value is not None:
                return value
        return None

    return evaluate
