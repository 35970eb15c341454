"""How much one evaluation may do: what grows with the values is paid for from a purse of steps."""

from typing import Any

from aif_pipelines.failures import ExpressionFailed

MAX_STEPS = 5000
MAX_RESULT_CHARACTERS = 65_536
CHARACTERS_PER_STEP = 1024


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


def bounded(value: Any, purse: Purse) -> Any:
    """`value` when it is small enough to be a result. Raises ExpressionFailed."""
    if isinstance(value, list | dict):
        pay_for_parts(value, purse)
    elif isinstance(value, str) and len(value) > MAX_RESULT_CHARACTERS:
        raise too_long()
    return value


def too_long() -> ExpressionFailed:
    return ExpressionFailed(
        f"the result is longer than {MAX_RESULT_CHARACTERS} characters", mend="Use a smaller part of the value."
    )


def pay_for_parts(value: Any, purse: Purse) -> None:
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
            raise too_long()
