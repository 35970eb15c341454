"""The pure functions of the language. coalesce is not here, because it must not evaluate all its arguments."""

import decimal
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from aif_pipelines.arithmetic import number
from aif_pipelines.bounds import Purse, bounded, pay_for_parts
from aif_pipelines.comparison import contains
from aif_pipelines.failures import ExpressionFailed
from aif_pipelines.json_values import json_text, kind_of


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
    bounded(values[0], purse)
    return values[0].lower()


def _contains_call(values: list[Any], texts: tuple[str, ...], purse: Purse) -> bool:
    return contains(values[0], values[1], texts[0], purse)


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
    return choose(number(value, text, "compared") for value, text in zip(values, texts, strict=True))


def _round(values: list[Any], texts: tuple[str, ...], _purse: Purse) -> int | Decimal:
    given = number(values[0], texts[0], "rounded")
    digits = number(values[1], texts[1], "a number of digits") if len(values) == 2 else 0
    if digits not in range(21):
        raise ExpressionFailed(f"{texts[1]} must be a whole number from 0 to 20", mend="Write round(x, 2).")
    if isinstance(given, int):
        return given
    quantum = Decimal(1).scaleb(-int(digits))
    return given.quantize(quantum, context=decimal.Context(prec=60, rounding=decimal.ROUND_HALF_UP))


def _json(values: list[Any], _texts: tuple[str, ...], purse: Purse) -> str:
    pay_for_parts(values[0], purse)
    text = json_text(values[0])
    if text is None:
        raise ExpressionFailed("the value cannot be written as JSON", mend="Use sound text.")
    return str(bounded(text, purse))


FUNCTIONS: Final[dict[str, Callable[[list[Any], tuple[str, ...], Purse], Any]]] = {
    "len": _len,
    "lower": _lower,
    "contains": _contains_call,
    "min": _smallest,
    "max": _largest,
    "round": _round,
    "json": _json,
}
