"""The tree of an expression, and how it is printed again."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import assert_never

from msgspec import Struct

from aif_pipelines.paths import Path


class Literal(Struct, frozen=True):
    value: bool | int | Decimal | str | None
    at: int = 0
    """Offset in the text, from 0."""


class Reference(Struct, frozen=True):
    path: Path
    at: int = 0


class Unary(Struct, frozen=True):
    operator: str
    """`not` or `-`."""
    operand: "Node"
    at: int = 0


class Binary(Struct, frozen=True):
    operator: str
    left: "Node"
    right: "Node"
    at: int = 0
    """Offset of the operator."""


class Call(Struct, frozen=True):
    function: str
    arguments: tuple["Node", ...]
    at: int = 0


Node = Literal | Reference | Unary | Binary | Call

BINDING = {
    "or": 1,
    "and": 2,
    "==": 4,
    "!=": 4,
    "<": 4,
    "<=": 4,
    ">": 4,
    ">=": 4,
    "in": 4,
    "not in": 4,
    "+": 5,
    "-": 5,
    "*": 6,
    "/": 6,
    "??": 8,
}
"""How strongly an operator binds; comparisons do not chain, the others associate to the left."""
NOT_BINDING = 3
MINUS_BINDING = 7
COMPARING = 4


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, without recursion."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        match current:
            case Unary():
                waiting.append(current.operand)
            case Binary():
                waiting += (current.left, current.right)
            case Call():
                waiting += current.arguments
            case Literal() | Reference():
                pass
            case _:
                assert_never(current)


def printed(node: Node) -> str:
    """The expression in its one canonical spelling; reading it again gives the same tree."""
    match node:
        case Literal():
            return _printed_literal(node.value)
        case Reference():
            return str(node.path)
        case Unary(operator="not"):
            return f"not {_wrapped(node.operand, NOT_BINDING)}"
        case Unary():
            return f"-{_wrapped(node.operand, MINUS_BINDING)}"
        case Binary():
            binding = BINDING[node.operator]
            left = _wrapped(node.left, binding + 1 if binding == COMPARING else binding)
            return f"{left} {node.operator} {_wrapped(node.right, binding + 1)}"
        case Call():
            return f"{node.function}({', '.join(printed(argument) for argument in node.arguments)})"
        case _:
            assert_never(node)


class Printed:
    """A part of an expression, printed when a failure is told: to print each part of a long one while it is compiled takes the
    square of its length."""

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        self._node = node

    def __str__(self) -> str:
        return printed(self._node)


def _wrapped(node: Node, least: int) -> str:
    match node:
        case Binary():
            binding = BINDING[node.operator]
        case Unary():
            binding = NOT_BINDING if node.operator == "not" else MINUS_BINDING
        case _:
            return printed(node)
    return f"({printed(node)})" if binding < least else printed(node)


def _printed_literal(value: bool | int | Decimal | str | None) -> str:
    return format(value, "f") if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


def renamed(node: Node, roots: dict[str, str]) -> Node:
    """The same expression with the roots of its paths renamed."""
    match node:
        case Reference():
            return Reference(node.path.with_root(roots.get(node.path.root, node.path.root)), node.at)
        case Unary():
            return Unary(node.operator, renamed(node.operand, roots), node.at)
        case Binary():
            return Binary(node.operator, renamed(node.left, roots), renamed(node.right, roots), node.at)
        case Call():
            return Call(node.function, tuple(renamed(item, roots) for item in node.arguments), node.at)
        case Literal():
            return node
        case _:
            assert_never(node)
