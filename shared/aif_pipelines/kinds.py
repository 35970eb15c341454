"""Which kinds of value an expression can have, known before it runs.

It refuses only what can never work: a misspelt parameter, text compared with a number, a condition that is not true or
false. What a stage gives is mostly unknown, and unknown passes.
"""

from collections.abc import Mapping
from typing import Any, Final, assert_never

from aif_pipelines.failures import ExpressionInvalid, LanguageInvalid, PathInvalid
from aif_pipelines.mistakes import did_you_mean
from aif_pipelines.parameters import is_open_ended
from aif_pipelines.paths import FIGURES, Path
from aif_pipelines.syntax_tree import Binary, Call, Literal, Node, Reference, Unary, printed
from aif_pipelines.tokens import position

Kinds = frozenset[str]

ANY: Final[Kinds] = frozenset({"null", "boolean", "number", "string", "array", "object"})
_BOOLEAN: Final[Kinds] = frozenset({"boolean"})
_NUMBER: Final[Kinds] = frozenset({"number"})
_STRING: Final[Kinds] = frozenset({"string"})
_TRUTH: Final[Kinds] = frozenset({"boolean", "null"})
_SIZED: Final[Kinds] = frozenset({"string", "array", "object", "null"})

Roots = Mapping[str, Mapping[str, Any]]
"""The names that a path may start with, each with the JSON Schema of its value; an empty schema knows nothing."""

BUDGET_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {name: {"type": "number"} for name in ("limit_usd", "spent_usd", "reserved_usd", "remaining_usd")},
    "required": ["remaining_usd"],
}
EXECUTION_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string"},
        "client_id": {"type": "string"},
        "cost_usd": {"type": "number"},
        "tokens": {"type": "number"},
    },
    "required": ["id", "client_id", "cost_usd", "tokens"],
}
CAPABILITIES_SCHEMA: Final[dict[str, Any]] = {"type": "array", "items": {"type": "string"}}
STAGE_FIGURES: Final[dict[str, Any]] = {name: {"type": "number"} for name in sorted(FIGURES)}


def stage_schema(output_schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is known of a stage: its output where a schema says it, and its figures, which come before fields of the output."""
    known = {key: value for key, value in (output_schema or {}).items() if key in ("type", "items", "prefixItems")}
    declared = (output_schema or {}).get("properties")
    return {**known, "properties": {**(declared if isinstance(declared, dict) else {}), **STAGE_FIGURES}}


def parameters_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Unknown parameters are refused at admission, so a path to one can never work."""
    return {**schema, "additionalProperties": is_open_ended(schema)}


def path_kinds(path: Path, roots: Roots) -> Kinds:
    """The kinds of the value at `path`. Raises PathInvalid when there can be none."""
    if path.root not in roots:
        raise PathInvalid(f"{path.root} is not known here", mend=did_you_mean(path.root, roots, "Use the id of a stage."))
    schema: Any = roots[path.root]
    may_miss = False
    for segment in path.segments:
        if not isinstance(schema, dict) or not _is_plain(schema):
            return ANY
        if isinstance(segment, int):
            schema, may_miss = {} if "prefixItems" in schema else schema.get("items", {}), True
            continue
        properties = schema.get("properties", {})
        if segment not in properties:
            if schema.get("additionalProperties") is False and "patternProperties" not in schema:
                raise PathInvalid(
                    f"{path} does not exist: there is no {segment}",
                    mend=did_you_mean(segment, properties, "Declare it in the schema."),
                )
            return ANY
        always = segment in schema.get("required", ()) or "default" in _as_dict(properties[segment])
        may_miss = may_miss or not always
        schema = properties[segment]
    return _schema_kinds(schema) | (frozenset({"null"}) if may_miss else frozenset())


def _as_dict(schema: Any) -> dict[str, Any]:
    return schema if isinstance(schema, dict) else {}


def _is_plain(schema: dict[str, Any]) -> bool:
    return not schema.keys() & {"$ref", "anyOf", "oneOf", "allOf", "if", "$dynamicRef"}


def _schema_kinds(schema: Any) -> Kinds:
    if not isinstance(schema, dict) or not _is_plain(schema) or "type" not in schema:
        return ANY
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return frozenset("number" if name == "integer" else str(name) for name in types)


def kind_mistakes(text: str, node: Node, roots: Roots, *, as_condition: bool) -> list[LanguageInvalid]:
    """Everything in the expression that can never work, with its place in `text`."""
    inference = _Inference(text, roots)
    kinds = inference.infer(node)
    if as_condition and not kinds & _BOOLEAN:
        inference.wrong(node.at, f"the condition gives {_said(kinds)}, never true or false", "Compare it, as in x > 0.")
    return inference.mistakes


class _Inference:
    def __init__(self, text: str, roots: Roots) -> None:
        self._text = text
        self._roots = roots
        self.mistakes: list[LanguageInvalid] = []

    def infer(self, node: Node) -> Kinds:
        match node:
            case Literal():
                return _literal_kinds(node.value)
            case Reference():
                return self._reference(node)
            case Unary(operator="not"):
                self._need(node.operand, _TRUTH, "not takes true or false")
                return _BOOLEAN
            case Unary():
                self._need(node.operand, _NUMBER, "minus takes a number")
                return _NUMBER
            case Binary():
                return self._binary(node)
            case Call():
                return self._call(node)
            case _:
                assert_never(node)

    def wrong(self, at: int, message: str, mend: str) -> None:
        line, column = position(self._text, at)
        self.mistakes.append(ExpressionInvalid(message, mend=mend, line=line, column=column))

    def _reference(self, node: Reference) -> Kinds:
        try:
            return path_kinds(node.path, self._roots)
        except PathInvalid as failure:
            self.wrong(node.at, failure.message, failure.mend)
            return ANY

    def _need(self, node: Node, wanted: Kinds, message: str) -> Kinds:
        kinds = self.infer(node)
        if not (kinds - {"null"} or kinds) & wanted:
            self.wrong(node.at, f"{message}, and {printed(node)} is {_said(kinds)}", "Change it.")
        return kinds

    def _binary(self, node: Binary) -> Kinds:
        match node.operator:
            case "and" | "or":
                self._need(node.left, _TRUTH, f"{node.operator} takes true or false")
                self._need(node.right, _TRUTH, f"{node.operator} takes true or false")
            case "==" | "!=":
                self._equality(node)
            case "??":
                return self._first_of((node.left, node.right))
            case "in" | "not in":
                self.infer(node.left)
                self._need(node.right, _SIZED, "one can look in a list, an object or a text")
            case "+":
                left, right = self.infer(node.left), self.infer(node.right)
                common = left & right & (_NUMBER | _STRING)
                if not common:
                    self._mixed(node, left, right)
                return common or ANY
            case "-" | "*" | "/":
                self._need(node.left, _NUMBER, f"{node.operator} takes numbers")
                self._need(node.right, _NUMBER, f"{node.operator} takes numbers")
                return _NUMBER
            case _:
                left, right = self.infer(node.left), self.infer(node.right)
                if not left & right & (_NUMBER | _STRING):
                    self._mixed(node, left, right)
        return _BOOLEAN

    def _equality(self, node: Binary) -> None:
        left, right = self.infer(node.left), self.infer(node.right)
        asks_for_null = frozenset({"null"}) in (left, right)
        if not left & right and not asks_for_null:
            self.wrong(
                node.at,
                f"{_said(left)} is never equal to {_said(right)}",
                "Compare values of one kind; numbers go without quotes.",
            )

    def _mixed(self, node: Binary, left: Kinds, right: Kinds) -> None:
        self.wrong(
            node.at,
            f"{node.operator} takes two numbers or two texts, not {_said(left)} and {_said(right)}",
            "Compare values of one kind; numbers go without quotes.",
        )

    def _call(self, node: Call) -> Kinds:
        match node.function:
            case "len":
                self._need(node.arguments[0], _SIZED, "len takes a text, a list or an object")
                return _NUMBER
            case "lower":
                self._need(node.arguments[0], _STRING | {"null"}, "lower takes a text")
                return _STRING | {"null"}
            case "contains":
                self._need(node.arguments[0], _SIZED, "contains looks in a list, an object or a text")
                self.infer(node.arguments[1])
                return _BOOLEAN
            case "min" | "max":
                wanted = _NUMBER | {"array"} if len(node.arguments) == 1 else _NUMBER
                for argument in node.arguments:
                    self._need(argument, wanted, f"{node.function} takes numbers")
                return _NUMBER
            case "round":
                for argument in node.arguments:
                    self._need(argument, _NUMBER, "round takes numbers")
                return _NUMBER
            case "coalesce":
                return self._first_of(node.arguments)
            case _:
                self.infer(node.arguments[0])
                return _STRING

    def _first_of(self, alternatives: tuple[Node, ...]) -> Kinds:
        return frozenset().union(*(self.infer(alternative) for alternative in alternatives))


def _literal_kinds(value: Any) -> Kinds:
    if value is None:
        return frozenset({"null"})
    if isinstance(value, bool):
        return _BOOLEAN
    return _STRING if isinstance(value, str) else _NUMBER


_WORDS: Final = {
    "null": "null",
    "boolean": "true or false",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "an object",
}


def _said(kinds: Kinds) -> str:
    known = kinds - {"null"} or kinds
    return " or ".join(words for kind, words in _WORDS.items() if kind in known)
