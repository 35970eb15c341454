"""Reading plain values into structs, collecting every mistake instead of the first one.

The struct definitions are the only description of the shape; this walks them by msgspec's inspection.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect

from aif_pipelines.json_values import brief, json_mistakes
from aif_pipelines.mistakes import Mistake, did_you_mean


class Shape:
    """Collects the mistakes of one reading."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def check(self, value: Any, struct: type[msgspec.Struct], path: str = "") -> None:
        kind = inspect.type_info(struct)
        self._check(value, kind, path)

    def _check(self, value: Any, kind: inspect.Type, path: str, described: str = "") -> None:
        match kind:
            case inspect.Metadata():
                self._check(value, kind.type, path, str((kind.extra_json_schema or {}).get("description", "")))
            case inspect.StructType():
                self._check_struct(value, kind, path)
            case inspect.VarTupleType():
                self._check_list(value, kind, path)
            case inspect.UnionType():
                self._check_union(value, kind, path)
            case inspect.AnyType():
                self.mistakes += json_mistakes(value, path)
            case inspect.DictType():
                self._check_object(value, path)
            case _:
                self._check_leaf(value, kind, path, described or wanted(kind))

    def _check_struct(self, value: Any, kind: inspect.StructType, path: str) -> None:
        if not isinstance(value, Mapping):
            self._wrong(path, f"must be an object, not {brief(value)}", "Write its fields.")
            return
        known = {field.encode_name: field for field in kind.fields}
        tag = {kind.tag_field} if kind.tag_field else set()
        for name in value:
            if name not in known and name not in tag:
                mend = did_you_mean(str(name), set(known) | tag, f"Known: {', '.join(sorted(known))}.")
                self._wrong(_below(path, name), "is not a known field", mend)
        for name, field in known.items():
            if name in value:
                self._check(value[name], field.type, _below(path, name))
            elif field.required:
                self._wrong(_below(path, name), "is missing", f"Add it: {wanted(field.type)}.")

    def _check_list(self, value: Any, kind: inspect.VarTupleType, path: str) -> None:
        if not isinstance(value, list | tuple):
            self._wrong(path, f"must be a list, not {brief(value)}", "Put it in [ ].")
            return
        if kind.min_length is not None and len(value) < kind.min_length:
            self._wrong(path, f"needs at least {kind.min_length} entry", "Add one.")
        if kind.max_length is not None and len(value) > kind.max_length:
            self._wrong(path, f"has {len(value)} entries, at most {kind.max_length} are allowed", "Split the document.")
        for index, item in enumerate(value):
            self._check(item, kind.item_type, f"{path}[{index}]")

    def _check_union(self, value: Any, kind: inspect.UnionType, path: str) -> None:
        structs = [option for option in kind.types if isinstance(option, inspect.StructType)]
        others = [option for option in kind.types if not isinstance(option, inspect.StructType | inspect.NoneType)]
        if value is None and any(isinstance(option, inspect.NoneType) for option in kind.types):
            return
        if len(structs) > 1:
            self._check_tagged(value, structs, path)
            return
        self._check(value, (*structs, *others)[0], path)

    def _check_tagged(self, value: Any, structs: list[inspect.StructType], path: str) -> None:
        field = structs[0].tag_field or "type"
        tags = {str(option.tag): option for option in structs}
        if not isinstance(value, Mapping):
            self._wrong(path, f"must be an object, not {brief(value)}", f"Write {field} and its fields.")
        elif str(value.get(field)) not in tags:
            wrong = value.get(field)
            message = "is missing" if wrong is None else f"{brief(wrong)} is not known"
            self._wrong(_below(path, field), message, did_you_mean(str(wrong), tags, "See the manual."))
        else:
            self._check_struct(value, tags[str(value[field])], path)

    def _check_object(self, value: Any, path: str) -> None:
        if isinstance(value, dict):
            self.mistakes += json_mistakes(value, path)
        else:
            self._wrong(path, f"must be an object, not {brief(value)}", "Write { } or indented fields.")

    def _check_leaf(self, value: Any, kind: inspect.Type, path: str, described: str) -> None:
        if isinstance(value, str) and (found := list(json_mistakes(value, path))):
            self.mistakes += found
        elif not _fits(value, kind):
            self._wrong(path, f"must be {wanted(kind)}, not {brief(value)}", _mend(value, kind, described))

    def _wrong(self, path: str, message: str, mend: str) -> None:
        self.mistakes.append(Mistake(path=path, message=message, mend=mend))


def _below(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _fits(value: Any, kind: inspect.Type) -> bool:
    match kind:
        case inspect.StrType():
            return (
                isinstance(value, str)
                and len(value) >= (kind.min_length or 0)
                and (kind.max_length is None or len(value) <= kind.max_length)
                and (kind.pattern is None or re.search(kind.pattern, value) is not None)
            )
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType():
            return isinstance(value, int) and not isinstance(value, bool) and _within(value, kind)
        case inspect.FloatType():
            return isinstance(value, int | float) and not isinstance(value, bool) and _within(value, kind)
        case _:
            raise TypeError(f"a definition uses {kind!r}, which has no reading")


def _within(value: float, kind: inspect.IntType | inspect.FloatType) -> bool:
    return (
        (kind.ge is None or value >= kind.ge)
        and (kind.gt is None or value > kind.gt)
        and (kind.le is None or value <= kind.le)
        and (kind.lt is None or value < kind.lt)
    )


def wanted(kind: inspect.Type) -> str:
    """What a field takes, in words."""
    match kind:
        case inspect.Metadata():
            return wanted(kind.type)
        case inspect.StrType():
            return _wanted_text(kind)
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"a whole number{_range(kind)}"
        case inspect.FloatType():
            return f"a number{_range(kind)}"
        case inspect.VarTupleType():
            return "a list"
        case inspect.UnionType():
            return " or ".join(wanted(option) for option in kind.types if not isinstance(option, inspect.NoneType))
        case _:
            return "an object"


def _wanted_text(kind: inspect.StrType) -> str:
    if kind.pattern is not None and kind.pattern.startswith("^[0-9]"):
        return 'an amount as text, such as "0.25"'
    if kind.pattern is not None and "/" in kind.pattern:
        return "a media type such as application/json"
    if kind.pattern is not None:
        longest = kind.pattern.partition("{0,")[2].partition("}")[0]
        return f"a name of lower-case letters, digits and _, starting with a letter, at most {int(longest) + 1} long"
    if kind.max_length is not None:
        least = f"{kind.min_length} to " if kind.min_length else "at most "
        return f"text of {least}{kind.max_length} characters"
    return "text"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.gt is not None and kind.le is not None:
        return f" above {kind.gt:g} and up to {kind.le:g}"
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge:g} to {kind.le:g}"
    return ""


def _mend(value: Any, kind: inspect.Type, described: str) -> str:
    if isinstance(kind, inspect.StrType):
        return "Write it in quotes." if not isinstance(value, str) else "Change it."
    if isinstance(value, str):
        return "Write it without quotes." if _fits(_unquoted(value), kind) else f"Write {described}."
    return "Change it."


def _unquoted(text: str) -> Any:
    """What the text would be if it were no text."""
    try:
        return msgspec.json.decode(text, type=int | float | bool)
    except msgspec.DecodeError:
        return None
