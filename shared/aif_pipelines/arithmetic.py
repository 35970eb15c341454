"""Exact numbers: whole ones and decimals of bearable size, never binary fractions."""

import decimal
from decimal import Decimal
from typing import Any

from aif_pipelines.failures import ExpressionFailed
from aif_pipelines.json_values import kind_of
from aif_pipelines.syntax_tree import Printed

_LARGEST = 10**30


def is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def exact(value: Any) -> int | Decimal:
    """A number as an exact one of bearable size. A float is the decimal that it is written as; zero has no sign."""
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal) and not value.is_finite():
        raise ExpressionFailed("a value is not a finite number", mend="Give a number that JSON can express.")
    if not -_LARGEST <= value <= _LARGEST:
        raise ExpressionFailed("a number is beyond 10^30", mend="Use smaller numbers.")
    return value or 0


def number(value: Any, text: str | Printed, used: str) -> int | Decimal:
    if is_number(value):
        return exact(value)
    if value is None:
        raise ExpressionFailed(
            f"{text} is missing (null), so it cannot be {used}",
            mend=f"Write coalesce({text}, 0) to say what a missing value counts as.",
        )
    raise ExpressionFailed(f"{text} is {kind_of(value)}, so it cannot be {used}", mend="Use a number.")


def negated(value: int | Decimal) -> int | Decimal:
    """Every digit of it: Python's minus would round a decimal as its context says."""
    return -value if isinstance(value, int) else value.copy_negate()


def computed(symbol: str, one: int | Decimal, other: int | Decimal) -> int | Decimal:
    if symbol == "/" and other == 0:
        raise ExpressionFailed("a division by zero", mend="Guard it, as in a != 0 and b / a > 2.")
    context = _context()
    left, right = Decimal(one), Decimal(other)
    try:
        match symbol:
            case "+":
                return exact(context.add(left, right))
            case "-":
                return exact(context.subtract(left, right))
            case "*":
                return exact(context.multiply(left, right))
            case _:
                return exact(context.divide(left, right))
    except decimal.DecimalException:
        raise ExpressionFailed("a number is beyond 10^30", mend="Use smaller numbers.") from None


def _context() -> decimal.Context:
    return decimal.Context(
        prec=34,
        rounding=decimal.ROUND_HALF_EVEN,
        traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
    )
