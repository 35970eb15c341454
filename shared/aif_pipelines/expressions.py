"""Conditions and computations as text: `{{stage_1.quality_score}} < 0.7`, with and without the braces.

Own grammar, no Python behind it: literals, paths, + - * /, comparisons, and, or, not, in, and eight pure functions.
Work, depth and size are bounded (see parser and evaluation), so any text and any values end in a value or a typed failure.
"""

from collections.abc import Mapping
from typing import Any

from aif_pipelines.bounds import Purse, bounded
from aif_pipelines.evaluation import compile_node, truth
from aif_pipelines.json_values import JSON
from aif_pipelines.parser import parse
from aif_pipelines.paths import Path
from aif_pipelines.syntax_tree import Reference, printed, renamed, walk

__all__ = ["Expression", "compile_expression"]


class Expression:
    """A compiled expression. Immutable, cheap to evaluate, free of any scope."""

    __slots__ = ("_evaluate", "node", "references", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.node = parse(text)
        self.references: frozenset[Path] = frozenset(node.path for node in walk(self.node) if isinstance(node, Reference))
        self._evaluate = compile_node(self.node)

    def evaluate(self, scope: Mapping[str, Any]) -> JSON:
        """The value over `scope` (JSON objects must be dicts). Raises ExpressionFailed."""
        purse = Purse()
        value: JSON = bounded(self._evaluate(scope, purse), purse)
        return value

    def holds(self, scope: Mapping[str, Any]) -> bool:
        """Whether the condition is true; null counts as false. Raises ExpressionFailed, also for other values."""
        return truth(self._evaluate(scope, Purse()), self.text)

    def with_roots(self, roots: dict[str, str]) -> "Expression":
        """The same expression with the first names of its paths replaced."""
        return Expression(printed(renamed(self.node, roots)))

    def __str__(self) -> str:
        return printed(self.node)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


def compile_expression(text: str) -> Expression:
    """Raises ExpressionInvalid with line and column."""
    return Expression(text)
