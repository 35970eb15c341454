"""What an expression means: a tree becomes one closure, made once and called often.

Semantics. A missing path is null. null is false for and, or, not and for a condition; comparing it by < or
computing with it fails, naming coalesce as the mend; len(null) is 0, contains(null, x) is false and lower(null) is
null. Values of different kinds are never equal. Numbers are exact: a float counts as the decimal that it is written
as, so 0.7 is 0.7.

The tree bounds the work but for what grows with the values; that is paid for from a purse of steps.
"""

import decimal
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, assert_never

import msgspec

from aif_pipelines.failures import ExpressionFailed
from aif_pipelines.json_values import brief
from aif_pipelines.paths import MISSING, Path, compile_getter
from aif_pipelines.syntax_tree import Binary, Call, Literal, Node, Reference, Unary, printed

MAX_STEPS = 5000
MAX_RESULT_CHARACTERS = 65_536
_CHARACTERS_PER_STEP = 1024
_ITEMS_PER_STEP = 64
_LARGEST = 10**30

Scope = Mapping[str, Any]

_WRITER: Final = msgspec.json.Encoder(decimal_format="number", order="sorted")


class Purse:
    """The steps that one evaluation may still take."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def pay(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise ExpressionFailed(
                f"the values are too large: more than {MAX_STEPS} steps",
                mend="Compare a smaller part of them.",
            )


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
        case Binary(operator="+" | "-" | "*" | "/"):
            return _arithmetic(node)
        case Binary():
            return _ordering(node)
        case Call():
            return _call(node)
        case _:
            assert_never(node)


def truth(value: Any, text: str) -> bool:
    if value is True or value is False:
        return value
    if value is None:
        return False
    raise ExpressionFailed(
        f"{text} is {kind_of(value)}, not true or false", mend=f"Compare it, as in {text} == {brief(value)}."
    )


def kind_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float | Decimal):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"


def bounded(value: Any, purse: Purse) -> Any:
    """`value` when it is small enough to be a result. Raises ExpressionFailed."""
    if isinstance(value, list | dict):
        _written_length(value, purse)
    elif isinstance(value, str) and len(value) > MAX_RESULT_CHARACTERS:
        raise _too_long()
    return value


def _too_long() -> ExpressionFailed:
    return ExpressionFailed(
        f"the result is longer than {MAX_RESULT_CHARACTERS} characters", mend="Use a smaller part of the value."
    )


def _written_length(value: Any, purse: Purse) -> None:
    """Pay for every part of a value and refuse one that would be written too long."""
    characters = 0
    waiting = [value]
    while waiting:
        purse.pay(1)
        current = waiting.pop()
        if isinstance(current, str):
            characters += len(current)
        elif isinstance(current, dict):
            purse.pay(len(current))
            waiting += current.values()
            characters += sum(len(key) for key in current)
        elif isinstance(current, list):
            purse.pay(len(current))
            waiting += current
        if characters > MAX_RESULT_CHARACTERS:
            raise _too_long()


def _reference(path: Path) -> Evaluate:
    get = compile_getter(path)

    def evaluate(scope: Scope, _purse: Purse) -> Any:
        value = get(scope)
        return None if value is MISSING else value

    return evaluate


def _negation(node: Unary) -> Evaluate:
    operand, text = compile_node(node.operand), printed(node.operand)
    return lambda scope, purse: not truth(operand(scope, purse), text)


def _minus(node: Unary) -> Evaluate:
    operand, text = compile_node(node.operand), printed(node.operand)
    return lambda scope, purse: -_number(operand(scope, purse), text, "computed with")


def _logic(node: Binary) -> Evaluate:
    left, left_text = compile_node(node.left), printed(node.left)
    right, right_text = compile_node(node.right), printed(node.right)
    if node.operator == "and":
        return lambda scope, purse: truth(left(scope, purse), left_text) and truth(right(scope, purse), right_text)
    return lambda scope, purse: truth(left(scope, purse), left_text) or truth(right(scope, purse), right_text)


def _equality(node: Binary) -> Evaluate:
    left, right = compile_node(node.left), compile_node(node.right)
    if node.operator == "==":
        return lambda scope, purse: _equal(left(scope, purse), right(scope, purse), purse)
    return lambda scope, purse: not _equal(left(scope, purse), right(scope, purse), purse)


def _equal(one: Any, other: Any, purse: Purse) -> bool:
    """JSON equality: true is not 1, and 1 is 1.0."""
    waiting = [(one, other)]
    while waiting:
        purse.pay(1)
        left, right = waiting.pop()
        if isinstance(left, str):
            purse.pay(len(left) // _CHARACTERS_PER_STEP)
            if left != right:
                return False
        elif left is None or isinstance(left, bool) or right is None or isinstance(right, bool):
            if left is not right:
                return False
        elif isinstance(left, list):
            if not isinstance(right, list) or len(left) != len(right):
                return False
            purse.pay(len(left))
            waiting += zip(left, right, strict=True)
        elif isinstance(left, dict):
            if not isinstance(right, dict) or left.keys() != right.keys():
                return False
            purse.pay(len(left))
            waiting += ((item, right[key]) for key, item in left.items())
        elif not isinstance(right, int | float | Decimal) or _exact(left) != _exact(right):
            return False
    return True


def _membership(node: Binary) -> Evaluate:
    left, right, text = compile_node(node.left), compile_node(node.right), printed(node.right)
    if node.operator == "in":
        return lambda scope, purse: _contains(right(scope, purse), left(scope, purse), text, purse)
    return lambda scope, purse: not _contains(right(scope, purse), left(scope, purse), text, purse)


def _contains(whole: Any, part: Any, text: str, purse: Purse) -> bool:
    if whole is None:
        return False
    if isinstance(whole, list):
        if isinstance(part, str):
            purse.pay(len(whole) // _ITEMS_PER_STEP)
            return part in whole
        return any(_equal(item, part, purse) for item in whole)
    if isinstance(whole, dict | str):
        if not isinstance(part, str):
            raise ExpressionFailed(f"only text can be looked for in {text}, not {kind_of(part)}", mend="Write it in quotes.")
        purse.pay(len(whole) // _CHARACTERS_PER_STEP if isinstance(whole, str) else 1)
        return part in whole
    raise ExpressionFailed(
        f"{text} is {kind_of(whole)}, and nothing can be looked for in it",
        mend="Look in a list, an object or a text.",
    )


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
        if _is_number(one) and _is_number(other):
            return holds(_exact(one), _exact(other))
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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _exact(value: Any) -> int | Decimal:
    """A number as an exact one of bearable size. A float is the decimal that it is written as."""
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal) and not value.is_finite():
        raise ExpressionFailed("a value is not a finite number", mend="Give a number that JSON can express.")
    if not -_LARGEST <= value <= _LARGEST:
        raise ExpressionFailed("a number is beyond 10^30", mend="Use smaller numbers.")
    return value  # type: ignore[no-any-return]


def _number(value: Any, text: str, used: str) -> int | Decimal:
    if _is_number(value):
        return _exact(value)
    if value is None:
        raise ExpressionFailed(
            f"{text} is missing (null), so it cannot be {used}",
            mend=f"Write coalesce({text}, 0) to say what a missing value counts as.",
        )
    raise ExpressionFailed(f"{text} is {kind_of(value)}, so it cannot be {used}", mend="Use a number.")


def _arithmetic(node: Binary) -> Evaluate:
    left, left_text = compile_node(node.left), printed(node.left)
    right, right_text = compile_node(node.right), printed(node.right)
    symbol = node.operator

    def evaluate(scope: Scope, purse: Purse) -> Any:
        one, other = left(scope, purse), right(scope, purse)
        if symbol == "+" and isinstance(one, str) and isinstance(other, str):
            purse.pay((len(one) + len(other)) // _CHARACTERS_PER_STEP)
            if len(one) + len(other) > MAX_RESULT_CHARACTERS:
                raise _too_long()
            return one + other
        return _computed(symbol, _number(one, left_text, "computed with"), _number(other, right_text, "computed with"))

    return evaluate


def _computed(symbol: str, one: int | Decimal, other: int | Decimal) -> int | Decimal:
    if symbol == "/" and other == 0:
        raise ExpressionFailed("a division by zero", mend="Guard it, as in a != 0 and b / a > 2.")
    if isinstance(one, int) and isinstance(other, int):
        whole = _computed_whole(symbol, one, other)
        if whole is not None:
            return _exact(whole)
    exact = _context()
    left, right = Decimal(one), Decimal(other)
    try:
        match symbol:
            case "+":
                return _exact(exact.add(left, right))
            case "-":
                return _exact(exact.subtract(left, right))
            case "*":
                return _exact(exact.multiply(left, right))
            case _:
                return _exact(exact.divide(left, right))
    except decimal.DecimalException:
        raise ExpressionFailed("a number is beyond 10^30", mend="Use smaller numbers.") from None


def _computed_whole(symbol: str, one: int, other: int) -> int | None:
    match symbol:
        case "+":
            return one + other
        case "-":
            return one - other
        case "*":
            return one * other
        case _:
            return one // other if one % other == 0 else None


def _context() -> decimal.Context:
    return decimal.Context(
        prec=34,
        rounding=decimal.ROUND_HALF_EVEN,
        traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
    )


def _call(node: Call) -> Evaluate:
    arguments = tuple(compile_node(argument) for argument in node.arguments)
    texts = tuple(printed(argument) for argument in node.arguments)
    if node.function == "coalesce":
        return _coalesce(arguments)
    function = _FUNCTIONS[node.function]

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


def _len(values: list[Any], texts: tuple[str, ...], _purse: Purse) -> int:
    if values[0] is None:
        return 0
    if isinstance(values[0], str | list | dict):
        return len(values[0])
    raise ExpressionFailed(f"{texts[0]} is {kind_of(values[0])}, which has no length", mend="Take a text, a list or an object.")


def _lower(values: list[Any], texts: tuple[str, ...], purse: Purse) -> str | None:
    if values[0] is None:
        return None
    if not isinstance(values[0], str):
        raise ExpressionFailed(f"{texts[0]} is {kind_of(values[0])}, not text", mend="Give lower a text.")
    purse.pay(len(values[0]) // _CHARACTERS_PER_STEP)
    bounded(values[0], purse)
    return values[0].lower()


def _contains_call(values: list[Any], texts: tuple[str, ...], purse: Purse) -> bool:
    return _contains(values[0], values[1], texts[0], purse)


def _smallest(values: list[Any], texts: tuple[str, ...], purse: Purse) -> Any:
    return _extreme(values, texts, purse, min)


def _largest(values: list[Any], texts: tuple[str, ...], purse: Purse) -> Any:
    return _extreme(values, texts, purse, max)


def _extreme(values: list[Any], texts: tuple[str, ...], purse: Purse, choose: Callable[..., Any]) -> Any:
    if len(values) == 1 and isinstance(values[0], list):
        values = values[0]
        texts = (texts[0],) * len(values)
        if not values:
            raise ExpressionFailed("an empty list has no least or greatest", mend="Guard it with len(x) > 0.")
    purse.pay(len(values))
    return choose(_number(value, text, "compared") for value, text in zip(values, texts, strict=True))


def _round(values: list[Any], texts: tuple[str, ...], _purse: Purse) -> int | Decimal:
    number = _number(values[0], texts[0], "rounded")
    digits = _number(values[1], texts[1], "a number of digits") if len(values) == 2 else 0
    if not isinstance(digits, int) or not 0 <= digits <= 20:
        raise ExpressionFailed(f"{texts[1]} must be a whole number from 0 to 20", mend="Write round(x, 2).")
    if isinstance(number, int):
        return number
    quantum = Decimal(1).scaleb(-digits)
    try:
        rounded = number.quantize(quantum, context=decimal.Context(prec=60, rounding=decimal.ROUND_HALF_UP))
    except decimal.DecimalException:
        raise ExpressionFailed("the number has too many digits to be rounded", mend="Use fewer.") from None
    return int(rounded) if digits == 0 else rounded


def _json(values: list[Any], _texts: tuple[str, ...], purse: Purse) -> str:
    _written_length(values[0], purse)
    try:
        text = _WRITER.encode(values[0]).decode()
    except (UnicodeEncodeError, TypeError):
        raise ExpressionFailed("the value cannot be written as JSON", mend="Use sound text.") from None
    return str(bounded(text, purse))


_FUNCTIONS: Final[dict[str, Callable[[list[Any], tuple[str, ...], Purse], Any]]] = {
    "len": _len,
    "lower": _lower,
    "contains": _contains_call,
    "min": _smallest,
    "max": _largest,
    "round": _round,
    "json": _json,
}
