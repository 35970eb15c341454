"""JSON values as the language sees them, and the limits on what may stand in a document."""

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, TypeAlias

import msgspec

from aif_pipelines.mistakes import Mistake

JSON: TypeAlias = "bool | int | float | Decimal | str | list[JSON] | dict[str, JSON] | None"

MAX_DEPTH = 32
MAX_STRING_CHARACTERS = 262_144
_MAX_WHOLE = 2**63 - 1
_WRITER: Final = msgspec.json.Encoder(decimal_format="number", order="sorted")


def json_mistakes(value: Any, path: str) -> Iterator[Mistake]:
    """Everything in `value` that could not be written as JSON and stored in Postgres again."""
    yield from _mistakes(value, path, 0)


def _mistakes(value: Any, path: str, depth: int) -> Iterator[Mistake]:
    if value is None or isinstance(value, bool):
        return
    if depth > MAX_DEPTH:
        yield Mistake(
            path=path,
            message=f"is nested deeper than {MAX_DEPTH} levels",
            mend="Make the value flatter.",
        )
    elif isinstance(value, str):
        yield from text_mistakes(value, path)
    elif isinstance(value, int):
        if not -_MAX_WHOLE - 1 <= value <= _MAX_WHOLE:
            yield Mistake(
                path=path,
                message="is a whole number beyond 64 bits",
                mend="Write it as text, in quotes.",
            )
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield Mistake(path=path, message="is not a finite number", mend="Use a number that JSON can express.")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                yield Mistake(
                    path=path,
                    message=f"has the key {key!r}, which is not text",
                    mend="Write the key in quotes.",
                )
                continue
            yield from text_mistakes(key, f"{path}.{key}")
            yield from _mistakes(item, f"{path}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _mistakes(item, f"{path}[{index}]", depth + 1)
    else:
        yield Mistake(
            path=path,
            message=f"is of the type {type(value).__name__}, which JSON does not have",
            mend="Use null, true, false, a number, text, a list or an object.",
        )


def is_deeper_than(levels: int, value: Any) -> bool:
    """Whether something lies inside more than so many lists and objects."""
    level = [value]
    for _ in range(levels + 1):
        level = [
            below
            for item in level
            if isinstance(item, dict | list)
            for below in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


def text_mistakes(text: str, path: str) -> Iterator[Mistake]:
    if "\0" in text:
        yield Mistake(
            path=path,
            message="holds a NUL character, which cannot be stored",
            mend="Remove the character U+0000.",
        )
    if len(text) > MAX_STRING_CHARACTERS:
        yield Mistake(
            path=path,
            message=f"is longer than {MAX_STRING_CHARACTERS} characters",
            mend="Give long texts as a stored document and name it by reference.",
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        yield Mistake(
            path=path,
            message="holds half of a surrogate pair, which is not a character",
            mend="Write the character whole.",
        )


def brief(value: Any, limit: int = 60) -> str:
    """`value` as JSON for a message to a person, cut at `limit` characters."""
    if isinstance(value, str):
        value = value[: limit + 1]
    elif isinstance(value, dict):
        return "an object" if value else "an empty object"
    elif isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    elif isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        text = msgspec.json.encode(value).decode()
    except (UnicodeEncodeError, TypeError):
        text = ascii(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def json_text(value: Any) -> str | None:
    """`value` written out, keys sorted, decimals as numbers; None for what JSON cannot write."""
    try:
        return _WRITER.encode(value).decode()
    except (UnicodeEncodeError, TypeError, RecursionError):
        return None


def kind_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float | Decimal):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"
