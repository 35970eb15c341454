"""From text to tree: a Pratt parser with limits on size and depth.

or < and < not < (== != < <= > >= in, not in) < (+ -) < (* /) < unary minus < ??
"""

from aif_pipelines.failures import ExpressionInvalid
from aif_pipelines.mistakes import did_you_mean
from aif_pipelines.syntax_tree import (
    BINDING,
    COMPARING,
    MINUS_BINDING,
    NOT_BINDING,
    Binary,
    Call,
    Literal,
    Node,
    Reference,
    Unary,
)
from aif_pipelines.tokens import Kind, Token, invalid, tokens

MAX_NODES = 200
MAX_DEPTH = 20

FUNCTIONS: dict[str, tuple[int, int]] = {
    "len": (1, 1),
    "lower": (1, 1),
    "contains": (2, 2),
    "min": (1, 10),
    "max": (1, 10),
    "round": (1, 2),
    "coalesce": (1, 10),
    "json": (1, 1),
}
"""Least and most arguments of each function."""


def parse(text: str) -> Node:
    """The tree of `text`. Raises ExpressionInvalid with the place of the first mistake."""
    parser = _Parser(text)
    node = parser.expression(0)
    parser.end()
    return node


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(tokens(text))
        self._next = 0
        self._nodes = 0
        self._depth = 0

    def expression(self, least: int) -> Node:
        left = self._operand(least)
        while (operator := self._infix()) is not None and BINDING[operator] >= least:
            at = self._take().at
            if operator == "not in":
                self._take()
            binding = BINDING[operator]
            right = self.expression(binding + 1)
            left = self._counted(Binary(operator, left, right, at))
            if binding == COMPARING and (chained := self._infix()) and BINDING[chained] == COMPARING:
                raise self._invalid("comparisons cannot be chained", "Write a < b and b < c.")
        return left

    def end(self) -> None:
        token = self._peek()
        if token.kind is Kind.END:
            return
        if token.text == ")":
            raise self._invalid("there is a ) too many", "Remove it, or open it with (.")
        raise self._invalid("an operator is missing before this", "Join with and, or, a comparison or + - * /.")

    def _operand(self, least: int) -> Node:
        token = self._peek()
        match token.kind:
            case Kind.LITERAL:
                self._take()
                return self._counted(Literal(token.value, token.at))
            case Kind.PATH if token.path is not None:
                self._take()
                return self._counted(Reference(token.path, token.at))
            case Kind.FUNCTION:
                return self._call()
            case Kind.OPERATOR if token.text == "(":
                return self._group()
            case Kind.OPERATOR if token.text == "-":
                return self._prefix("-", MINUS_BINDING)
            case Kind.OPERATOR if token.text == "not":
                if least > NOT_BINDING:
                    raise self._invalid("not must be in parentheses here", "Write a == (not b).")
                return self._prefix("not", NOT_BINDING)
        if token.kind is Kind.END:
            raise self._invalid("the expression ends too early", "Write a value here.")
        raise self._invalid(f"{token.text!r} cannot stand here", "Write a value before it.")

    def _prefix(self, operator: str, binding: int) -> Node:
        at = self._take().at
        self._deeper()
        node = self._counted(Unary(operator, self.expression(binding), at))
        self._depth -= 1
        return node

    def _group(self) -> Node:
        self._take()
        self._deeper()
        node = self.expression(0)
        self._expect(")")
        self._depth -= 1
        return node

    def _call(self) -> Node:
        name = self._peek()
        if name.text not in FUNCTIONS:
            raise self._invalid(f"there is no function {name.text[:40]}", did_you_mean(name.text, FUNCTIONS, "See the manual."))
        self._take()
        self._take()
        self._deeper()
        arguments: list[Node] = []
        while self._peek().text != ")" or self._peek().kind is not Kind.OPERATOR:
            if arguments:
                self._expect(",")
            arguments.append(self.expression(0))
        self._take()
        self._depth -= 1
        least, most = FUNCTIONS[name.text]
        if not least <= len(arguments) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            raise invalid(
                self._text,
                name.at,
                f"{name.text} takes {wanted} argument{'s' if most > 1 else ''}, not {len(arguments)}",
                "Give it what it takes.",
            )
        return self._counted(Call(name.text, tuple(arguments), name.at))

    def _infix(self) -> str | None:
        token = self._peek()
        if token.kind is not Kind.OPERATOR:
            return None
        if token.text == "not":
            following = self._tokens[self._next + 1]
            return "not in" if following.kind is Kind.OPERATOR and following.text == "in" else None
        return token.text if token.text in BINDING else None

    def _expect(self, text: str) -> None:
        token = self._peek()
        if token.kind is not Kind.OPERATOR or token.text != text:
            raise self._invalid(f"{text} is missing here", f"Write {text}.")
        self._take()

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._invalid(f"the expression is nested deeper than {MAX_DEPTH}", "Make it flatter.")

    def _counted(self, node: Node) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._invalid(f"an expression has at most {MAX_NODES} parts", "Split it.")
        return node

    def _invalid(self, message: str, mend: str) -> ExpressionInvalid:
        return invalid(self._text, self._peek().at, message, mend)
