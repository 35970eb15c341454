"""JSON bodies to structs, strictly, with every wrong field named as the caller wrote it."""

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

import msgspec
import msgspec.inspect
from msgspec import Struct

from aif_contracts.orders import FieldMistake
from aif_kam.failures import InvalidInput, MalformedBody
from aif_pipelines.mistakes import MOST_MISTAKES

Body = TypeVar("Body", bound=Struct)
_ANY = msgspec.json.Decoder(Any)
_MAX_SHOWN = 60
MAX_DEPTH = 64
_ITEM = re.compile(r"\[[0-9]+\]")
_SEE_SCHEMA = "see /schema for what it may be"
_NO_LAST_NEWLINE = r"(?!\n)"
"""Every pattern ends with it; it tells a person nothing."""


def read_body(content: bytes, body_type: type[Body]) -> Body:
    """The struct in a body. Raises MalformedBody for what is no JSON object, InvalidInput with all wrong fields."""
    values = json_object(content)
    fields = msgspec.structs.fields(body_type)
    names = [info.encode_name for info in fields]
    missing = [info.encode_name for info in fields if info.required and info.encode_name not in values]
    unknown = unknown_names(values, names, of="field of this body", awaited=missing)
    mistakes = [*unknown, *_nul(values, "", depth=1)[:MOST_MISTAKES]]
    known: dict[str, Any] = {}
    for info in fields:
        if info.encode_name not in values:
            if info.required:
                mistakes.append(FieldMistake(field=info.encode_name, message="is missing", mend=f"add {info.encode_name}"))
            continue
        try:
            known[info.name] = msgspec.convert(values[info.encode_name], info.type)
        except msgspec.ValidationError as wrong:
            mistakes.append(_mistake(info, str(wrong), values[info.encode_name]))
    if mistakes:
        count = "one field is" if len(mistakes) == 1 else f"{len(mistakes)} fields are"
        raise InvalidInput(f"{count} wrong: " + ", ".join(mistake.field for mistake in mistakes), mistakes=mistakes)
    return body_type(**known)


def json_object(content: bytes) -> dict[str, Any]:
    """Raises MalformedBody for what is none."""
    if not content.strip():
        raise MalformedBody("the body is empty: send a JSON object")
    try:
        values = _ANY.decode(content)
    except msgspec.DecodeError as wrong:
        raise MalformedBody(f"the body is no valid JSON: {wrong}") from wrong
    except UnicodeDecodeError as wrong:
        raise MalformedBody(f"the body is not valid UTF-8 at byte {wrong.start}") from wrong
    except RecursionError as wrong:
        raise MalformedBody("the body is nested too deeply") from wrong
    if not isinstance(values, dict):
        raise MalformedBody("the body is JSON, but no object: send {…}")
    return values


def unknown_names(given: Iterable[str], known: Sequence[str], *, of: str, awaited: Sequence[str] = ()) -> list[FieldMistake]:
    """What is called by a name that nobody here knows, with the near one that may be meant or those that there are.

    Near ones of the `awaited`, which have to be there and are not, come first. The first hundred: a body may hold as many
    as fit into it, and each is compared with all known ones and told.
    """
    mistakes = []
    for name in islice((name for name in given if name not in known), MOST_MISTAKES):
        near = difflib.get_close_matches(name, awaited, 1) or difflib.get_close_matches(name, known, 1)
        those = f"; known are {', '.join(known)}" if known else ""
        mend = f"did you mean {near[0]}?" if near else f"leave it out{those}"
        mistakes.append(FieldMistake(field=name[:_MAX_SHOWN], message=f"is not a {of}", mend=mend))
    return mistakes


def wanted(kind: msgspec.inspect.Type) -> str:
    """What to send in place of a value that is none of this type."""
    match kind:
        case msgspec.inspect.UnionType(types=types):
            return wanted(next(each for each in types if not isinstance(each, msgspec.inspect.NoneType)))
        case msgspec.inspect.Metadata(type=inner, extra_json_schema=extra):
            examples = (extra or {}).get("examples")
            return f"send a text such as {json.dumps(examples[0])}" if examples else wanted(inner)
        case msgspec.inspect.EnumType(cls=cls):
            return "send one of: " + ", ".join(str(member.value) for member in cls)
        case msgspec.inspect.LiteralType(values=values):
            return "send " + " or ".join(str(value) for value in values)
        case msgspec.inspect.StrType(max_length=max_length, pattern=pattern):
            limits = [f"of {max_length} characters at most"] if max_length is not None else []
            limits += [f"that matches {pattern.removesuffix(_NO_LAST_NEWLINE)}"] if pattern is not None else []
            return " ".join(["send a text", *limits])
        case msgspec.inspect.IntType(ge=low, le=high) if low is not None and high is not None:
            return f"send a whole number from {low} to {high}"
        case msgspec.inspect.FloatType(ge=low, le=high):
            return "send a number" + (f" from {low} to {high}" if low is not None and high is not None else "")
        case msgspec.inspect.ListType(min_length=low, max_length=high) if high is not None:
            return f"send a list of {low or 0} to {high}"
        case msgspec.inspect.DictType():
            return "send an object"
        case _:
            return _SEE_SCHEMA


def _nul(value: Any, path: str, *, depth: int) -> list[FieldMistake]:
    """Postgres stores no NUL character, so none is let in. Raises MalformedBody for what nobody could walk through."""
    if depth > MAX_DEPTH:
        raise MalformedBody(f"the body is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        found = "\x00" in value
        return [FieldMistake(field=path, message="holds a NUL character", mend="remove it")] if found else []
    if isinstance(value, dict):
        mistakes = []
        for name, item in value.items():
            inner = f"{path}.{name}" if path else str(name)
            if "\x00" in name:
                mistakes.append(
                    FieldMistake(field=inner.replace("\x00", "\\u0000"), message="has a NUL in its name", mend="remove it")
                )
            mistakes += _nul(item, inner, depth=depth + 1)
        return mistakes
    if isinstance(value, list):
        return [mistake for at, item in enumerate(value) for mistake in _nul(item, f"{path}[{at}]", depth=depth + 1)]
    return []


def _mistake(info: msgspec.structs.FieldInfo, message: str, value: Any) -> FieldMistake:
    """msgspec says `Expected …, got … - at `$.x``; the place becomes part of the field's name."""
    text, _, place = message.partition(" - at ")
    inner = place.strip("`").removeprefix("$")
    said = f"{text[:1].lower()}{text[1:]}"
    kind = msgspec.inspect.type_info(info.type)
    if inner:
        mend = wanted(kind.item_type) if isinstance(kind, msgspec.inspect.ListType) and _ITEM.fullmatch(inner) else _SEE_SCHEMA
        return FieldMistake(field=f"{info.encode_name}{inner}", message=f"is wrong: {said}", mend=mend)
    is_plain = isinstance(value, (str, int, float, bool)) or value is None
    sent = repr(value) if is_plain else {"list": "a list", "dict": "an object"}.get(type(value).__name__, "something else")
    return FieldMistake(field=info.encode_name, message=f"is {sent[:_MAX_SHOWN]}: {said}", mend=wanted(kind))
