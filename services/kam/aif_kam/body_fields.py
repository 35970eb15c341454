"""JSON bodies to structs, strictly, with every wrong field named as the caller wrote it."""

import codecs
import difflib
import json
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

import msgspec
import msgspec.inspect
from msgspec import Struct
from msgspec.structs import replace

from aif_contracts.orders import FieldMistake
from aif_kam.failures import InvalidInput, MalformedBody
from aif_pipelines.mistakes import MOST_MISTAKES

Body = TypeVar("Body", bound=Struct)
_ANY = msgspec.json.Decoder(Any)
_MAX_SHOWN = 60
MAX_DEPTH = 64
_ITEM = re.compile(r"\[[0-9]+\]")
_SEE_SCHEMA = "see /schema for what it may be"
_OF_A_PATTERN = re.compile(r"expected `str` matching regex .*", re.IGNORECASE | re.DOTALL)


def read_body(content: bytes, body_type: type[Body]) -> Body:
    """The struct in a body. Raises MalformedBody for what is no JSON object, InvalidInput with all wrong fields."""
    values = json_object(content)
    known, unknown, wrong = _read(values, body_type)
    mistakes = [*unknown, *_nul(values, "", depth=1)[:MOST_MISTAKES], *wrong]
    if mistakes:
        count = "one field is" if len(mistakes) == 1 else f"{len(mistakes)} fields are"
        raise InvalidInput(f"{count} wrong: " + ", ".join(mistake.field for mistake in mistakes), mistakes=mistakes)
    return body_type(**known)


def _read(
    values: dict[str, Any], kind: type[Struct], path: str = ""
) -> tuple[dict[str, Any], list[FieldMistake], list[FieldMistake]]:
    """The fields of a struct that can be read; what it does not have; and what is missing or wrong."""
    fields = msgspec.structs.fields(kind)
    names = [info.encode_name for info in fields]
    missing = [info.encode_name for info in fields if info.required and info.encode_name not in values]
    unknown = [
        replace(mistake, field=f"{path}{mistake.field}")
        for mistake in unknown_names(values, names, of="field of this body", awaited=missing)
    ]
    known: dict[str, Any] = {}
    wrong = []
    for info in fields:
        place = f"{path}{info.encode_name}"
        if info.encode_name not in values:
            if info.required:
                wrong.append(FieldMistake(field=place, message="is missing", mend=f"add {info.encode_name}"))
            continue
        value = values[info.encode_name]
        if isinstance(value, dict) and (inner := _struct_of(msgspec.inspect.type_info(info.type))) is not None:
            known_inside, unknown_inside, wrong_inside = _read(value, inner, f"{place}.")
            unknown += unknown_inside
            wrong += wrong_inside
            if not unknown_inside and not wrong_inside:
                known[info.name] = inner(**known_inside)
            continue
        try:
            known[info.name] = msgspec.convert(value, info.type)
        except msgspec.ValidationError as failure:
            wrong.append(_mistake(place, info, str(failure), value))
    return known, unknown, wrong


def _struct_of(kind: msgspec.inspect.Type) -> type[Struct] | None:
    """The struct that an object in this place is."""
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    return next((each.cls for each in kinds if isinstance(each, msgspec.inspect.StructType)), None)


def json_object(content: bytes) -> dict[str, Any]:
    """Raises MalformedBody for what is none. A byte order mark, with which some editors save UTF-8, is passed over."""
    content = content.removeprefix(codecs.BOM_UTF8)
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
            return _by_its_pattern(extra or {}) if _has_pattern(inner) else wanted(inner)
        case msgspec.inspect.EnumType(cls=cls):
            return "send one of: " + ", ".join(str(member.value) for member in cls)
        case msgspec.inspect.LiteralType(values=values):
            return "send " + " or ".join(str(value) for value in values)
        case msgspec.inspect.StrType(max_length=max_length, pattern=None):
            return "send a text" + (f" of {max_length} characters at most" if max_length is not None else "")
        case msgspec.inspect.BoolType():
            return "send true or false"
        case msgspec.inspect.IntType(ge=low, le=high) if low is not None:
            return f"send a whole number from {low} " + ("on" if high is None else f"to {high}")
        case msgspec.inspect.FloatType(ge=low, le=high):
            return "send a number" + (f" from {low} to {high}" if low is not None and high is not None else "")
        case (
            msgspec.inspect.ListType(min_length=low, max_length=high)
            | msgspec.inspect.VarTupleType(min_length=low, max_length=high)
        ) if high is not None:
            return f"send a list of {low or 0} to {high}"
        case msgspec.inspect.DictType() | msgspec.inspect.StructType():
            return "send an object"
        case _:
            return _SEE_SCHEMA


def without_pattern(complaint: str) -> str:
    """What msgspec says of a value, without a pattern: what it means stands in the mend."""
    return _OF_A_PATTERN.sub("does not have the form that is asked for", complaint)


def _has_pattern(kind: msgspec.inspect.Type) -> bool:
    return isinstance(kind, msgspec.inspect.StrType) and kind.pattern is not None


def _by_its_pattern(schema: dict[str, Any]) -> str:
    """The field's own example or description, because people do not read patterns."""
    if examples := schema.get("examples"):
        return f"send a text such as {json.dumps(examples[0])}"
    words = str(schema.get("description", ""))
    return f"send a text of this kind: {words[:1].lower()}{words[1:]}" if words else _SEE_SCHEMA


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


def _mistake(place: str, info: msgspec.structs.FieldInfo, message: str, value: Any) -> FieldMistake:
    """msgspec says `Expected …, got … - at `$[1]``; where inside becomes part of the field's name."""
    text, _, found = message.partition(" - at ")
    inside = found.strip("`").removeprefix("$")
    said = without_pattern(f"{text[:1].lower()}{text[1:]}")
    kind = msgspec.inspect.type_info(info.type)
    if inside:
        mend = _SEE_SCHEMA
        if isinstance(kind, msgspec.inspect.ListType | msgspec.inspect.VarTupleType) and _ITEM.fullmatch(inside):
            mend = wanted(kind.item_type)
        return FieldMistake(field=f"{place}{inside}", message=f"is wrong: {said}", mend=mend)
    is_plain = isinstance(value, (str, int, float, bool)) or value is None
    sent = repr(value) if is_plain else {"list": "a list", "dict": "an object"}.get(type(value).__name__, "something else")
    return FieldMistake(field=place, message=f"is {sent[:_MAX_SHOWN]}: {said}", mend=wanted(kind))
