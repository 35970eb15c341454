"""When two JSON values are equal, and what lies in what."""

from decimal import Decimal
from typing import Any

from aif_pipelines.arithmetic import exact
from aif_pipelines.bounds import CHARACTERS_PER_STEP, Purse
from aif_pipelines.failures import ExpressionFailed
from aif_pipelines.json_values import kind_of

_ITEMS_PER_STEP = 64


def equal(one: Any, other: Any, purse: Purse) -> bool:
    """JSON equality: true is not 1, and 1 is 1.0."""
    waiting = [(one, other)]
    while waiting:
        purse.pay(1)
        left, right = waiting.pop()
        if isinstance(left, str):
            purse.pay(len(left) // CHARACTERS_PER_STEP)
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
        elif not isinstance(right, int | float | Decimal) or exact(left) != exact(right):
            return False
    return True


def contains(whole: Any, part: Any, text: str, purse: Purse) -> bool:
    if whole is None:
        return False
    if isinstance(whole, list):
        if isinstance(part, str):
            purse.pay(len(whole) // _ITEMS_PER_STEP)
            return part in whole
        return any(equal(item, part, purse) for item in whole)
    if isinstance(whole, dict | str):
        if not isinstance(part, str):
            raise ExpressionFailed(f"only text can be looked for in {text}, not {kind_of(part)}", mend="Write it in quotes.")
        purse.pay(len(whole) // CHARACTERS_PER_STEP if isinstance(whole, str) else 1)
        return part in whole
    raise ExpressionFailed(
        f"{text} is {kind_of(whole)}, and nothing can be looked for in it",
        mend="Look in a list, an object or a text.",
    )
