"""The words of an expression."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Final

from msgspec import Struct

from aif_pipelines.failures import ExpressionInvalid, PathInvalid
from aif_pipelines.paths import NAME, Path, scan_alternatives, scan_path

MAX_CHARACTERS = 1000
MAX_DIGITS = 30

WORD_OPERATORS: Final = frozenset({"and", "or", "not", "in"})
CONSTANTS: Final[dict[str, bool | None]] = {"null": None, "true": True, "false": False}


class Kind(StrEnum):
    LITERAL = "literal"
    PATH = "path"
    FUNCTION = "function"
    OPERATOR = "operator"
    END = "end"


class Token(Struct, frozen=True):
    kind: Kind
    at: int
    """Offset in the text, from 0."""
    text: str = ""
    """The operator or the function's name."""
    value: bool | int | Decimal | str | None = None
    path: Path | None = None


_BLANK: Final = re.compile(r"[ \t\r\n]+")
_NAME: Final = re.compile(NAME)
_FUNCTION: Final = re.compile(rf"({NAME})[ \t\r\n]*(?=\()")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?(?![\w.])")
_STRING: Final = re.compile(r""""(?:[^"\\\x00-\x1f]|\\.)*"|'(?:[^'\\\x00-\x1f]|\\.)*'""")
_OPERATOR: Final = re.compile(r"==|!=|<=|>=|\?\?|[<>+\-*/(),]")
_INSTEAD: Final = {
    "=": "Write == to compare.",
    "!": "Write not, or != to compare.",
    "&": "Write and.",
    "|": "Write or.",
    "%": "There is no remainder; the operators are + - * /.",
    "}": "Braces come in pairs: {{path}}.",
    "{": "Braces come in pairs around a path: {{stage_1.quality_score}}.",
    "[": "Only a path can be indexed; there are no list literals.",
    ".": "Only a path has fields.",
    "?": "A missing path is null here; write a ?? b for what counts in its place.",
}


def position(text: str, at: int) -> tuple[int, int]:
    """Line and column of an offset, both from 1."""
    before = text[:at]
    return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1


def invalid(text: str, at: int, message: str, mend: str) -> ExpressionInvalid:
    line, column = position(text, at)
    return ExpressionInvalid(message, mend=mend, line=line, column=column)


def tokens(text: str) -> Iterator[Token]:
    """The tokens of `text`, the last one END. Raises ExpressionInvalid."""
    if len(text) > MAX_CHARACTERS:
        raise ExpressionInvalid(
            f"an expression has at most {MAX_CHARACTERS} characters, this one {len(text)}",
            mend="Split it over several stages or rules.",
        )
    at = 0
    while at < len(text):
        if blank := _BLANK.match(text, at):
            at = blank.end()
            continue
        if text.startswith("{{", at):
            found, at = _scan_braces(text, at)
            yield from found
            continue
        token, at = _scan(text, at)
        yield token
    yield Token(Kind.END, len(text))


def _scan(text: str, at: int) -> tuple[Token, int]:
    if _NAME.match(text, at):
        return _scan_name(text, at)
    if text[at].isdigit():
        return _scan_number(text, at)
    if text[at] in "\"'":
        return _scan_string(text, at)
    if match := _OPERATOR.match(text, at):
        return Token(Kind.OPERATOR, at, match.group()), match.end()
    raise invalid(
        text,
        at,
        f"{text[at]!a} has no meaning here",
        _INSTEAD.get(text[at], "Use paths, numbers, quoted text, and or not in, + - * / ??, comparisons and functions."),
    )


def _scan_braces(text: str, at: int) -> tuple[list[Token], int]:
    """One path, or several with `??` between them, which are then as in parentheses."""
    try:
        paths, end = scan_alternatives(text, at + 2)
    except PathInvalid as failure:
        raise invalid(text, failure.column - 1, failure.message, failure.mend) from None
    if not text.startswith("}}", end):
        raise invalid(
            text,
            end,
            "between {{ and }} there may be paths only",
            "Write {{stage_1.quality_score}} < 0.7, with the rest outside the braces; a missing path is null.",
        )
    found = [Token(Kind.PATH, place, path=path) for path, place in paths]
    if len(found) == 1:
        return found, end + 2
    joined = [part for token in found for part in (Token(Kind.OPERATOR, token.at, "??"), token)]
    return [Token(Kind.OPERATOR, at, "("), *joined[1:], Token(Kind.OPERATOR, end, ")")], end + 2


def _scan_name(text: str, at: int) -> tuple[Token, int]:
    match = _NAME.match(text, at)
    word = match.group() if match else ""
    end = at + len(word)
    if word in WORD_OPERATORS:
        return Token(Kind.OPERATOR, at, word), end
    if word in CONSTANTS:
        return Token(Kind.LITERAL, at, word, CONSTANTS[word]), end
    if function := _FUNCTION.match(text, at):
        return Token(Kind.FUNCTION, at, word), function.end()
    path, end = _scan_path(text, at)
    return Token(Kind.PATH, at, path=path), end


def _scan_path(text: str, at: int) -> tuple[Path, int]:
    try:
        return scan_path(text, at)
    except PathInvalid as failure:
        raise invalid(text, failure.column - 1, failure.message, failure.mend) from None


def _scan_number(text: str, at: int) -> tuple[Token, int]:
    match = _NUMBER.match(text, at)
    if match is None or not match.group().isascii():
        raise invalid(text, at, "this is not a number", "Write numbers as 12 or 0.75.")
    number = match.group()
    if len(number) > MAX_DIGITS:
        raise invalid(text, at, f"a number has at most {MAX_DIGITS} digits", "Round it.")
    return Token(Kind.LITERAL, at, number, Decimal(number) if "." in number else int(number)), match.end()


def _scan_string(text: str, at: int) -> tuple[Token, int]:
    match = _STRING.match(text, at)
    if match is None:
        raise invalid(text, at, "the quoted text does not end", f"Close it with {text[at]}; write line breaks as \\n.")
    quoted = match.group()
    if quoted.startswith("'"):
        inner = re.sub(r'\\.|"', _as_double_quoted, quoted[1:-1])
        quoted = f'"{inner}"'
    try:
        value = json.loads(quoted)
        value.encode()
    except ValueError:
        raise invalid(text, at, "the quoted text has an unknown escape", 'Escape as in JSON: \\" \\\\ \\n.') from None
    if "\0" in value:
        raise invalid(text, at, "the quoted text holds a NUL character", "Remove it.")
    return Token(Kind.LITERAL, at, value=value), match.end()


def _as_double_quoted(match: re.Match[str]) -> str:
    found = match.group()
    if found == "\\'":
        return "'"
    return '\\"' if found == '"' else found
