"""Conditions written with Python operators; they become expression text, so that they can be stored and sent.

ref("stage_1.quality_score") < 0.7
(ref("params.level") >= 3) & ref("capabilities").has("llm_generation")
"""

import json
from decimal import Decimal
from typing import NoReturn, TypeAlias

from aif_pipelines.paths import parse_path

Operand: TypeAlias = "Condition | bool | int | float | Decimal | str | None"


class Condition:
    """An expression under construction. Use & | ~ for and, or, not, with parentheses around comparisons."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Condition({self.text!r})"

    def __lt__(self, other: Operand) -> "Condition":
        return self._with("<", other)

    def __le__(self, other: Operand) -> "Condition":
        return self._with("<=", other)

    def __gt__(self, other: Operand) -> "Condition":
        return self._with(">", other)

    def __ge__(self, other: Operand) -> "Condition":
        return self._with(">=", other)

    def __eq__(self, other: Operand) -> "Condition":  # type: ignore[override]
        return self._with("==", other)

    def __ne__(self, other: Operand) -> "Condition":  # type: ignore[override]
        return self._with("!=", other)

    __hash__ = None  # type: ignore[assignment]

    def __and__(self, other: "Condition") -> "Condition":
        return self._with("and", other)

    def __or__(self, other: "Condition") -> "Condition":
        return self._with("or", other)

    def __invert__(self) -> "Condition":
        return Condition(f"(not {self.text})")

    def __add__(self, other: Operand) -> "Condition":
        return self._with("+", other)

    def __sub__(self, other: Operand) -> "Condition":
        return self._with("-", other)

    def __mul__(self, other: Operand) -> "Condition":
        return self._with("*", other)

    def __truediv__(self, other: Operand) -> "Condition":
        return self._with("/", other)

    def length(self) -> "Condition":
        return Condition(f"len({self.text})")

    def lower(self) -> "Condition":
        return Condition(f"lower({self.text})")

    def has(self, part: Operand) -> "Condition":
        return Condition(f"contains({self.text}, {_written(part)})")

    def otherwise(self, default: Operand) -> "Condition":
        """The value, or `default` when it is missing."""
        return Condition(f"coalesce({self.text}, {_written(default)})")

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"the condition {self.text} has no value before the pipeline runs; "
            "write & for and, | for or, ~ for not, and do not chain comparisons"
        )

    def _with(self, operator: str, other: Operand) -> "Condition":
        return Condition(f"({self.text} {operator} {_written(other)})")


def ref(path: str) -> Condition:
    """The value at a path such as `stage_1.quality_score`. Raises PathInvalid."""
    return Condition(str(parse_path(path)))


def _written(operand: Operand) -> str:
    if isinstance(operand, Condition):
        return operand.text
    if operand is None:
        return "null"
    if isinstance(operand, bool):
        return "true" if operand else "false"
    if isinstance(operand, str):
        return json.dumps(operand, ensure_ascii=False)
    exact = Decimal(repr(operand)) if isinstance(operand, float) else Decimal(operand)
    return format(exact, "f")
