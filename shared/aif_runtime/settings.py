"""A service's settings: one frozen struct, filled from environment variables, with every mistake told at once.

A field `nats_url` is read from `AIF_NATS_URL`; `Annotated[..., Meta(extra={"env": "OPENAI_API_KEY"})]` names another variable
and `Meta(description=...)` explains it. Each value may come from a file instead, named by the variable with `_FILE` appended,
as container secrets do. An empty variable counts as unset, because compose files and shells cannot leave one out.
"""

import difflib
import enum
import hmac
import re
import types
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from aif_runtime.failures import SettingsInvalid

PREFIX = "AIF_"
FILE_SUFFIX = "_FILE"
_TYPO_SIMILARITY = 0.85
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$")
_DURATION_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})

S = TypeVar("S", bound=Struct)


class Secret:
    """A text that never shows itself: repr, str and format give `***`, msgspec refuses to encode it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


class Variable(Struct, frozen=True, kw_only=True):
    """One setting as the environment sees it."""

    name: str
    """Of the environment variable."""
    field: str
    hint: Any
    """The field's type, constraints included, without None."""
    plain_type: Any
    """The type without constraints and without None."""
    description: str
    required: bool
    default: Any
    """None when required."""
    form: str = ""
    """What the text has to look like, in words, where its type has a pattern."""


class UnknownVariable(Struct, frozen=True, kw_only=True):
    name: str
    did_you_mean: str | None
    """A known variable with nearly this name; None for one that probably belongs to another service."""


def load_settings(settings_type: type[S], environ: Mapping[str, str]) -> S:
    """Read a settings struct from the environment. Raises SettingsInvalid with all mistakes."""
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    for variable in variables_of(settings_type):
        try:
            text = _text_of(variable, environ)
            if text is not None:
                values[variable.field] = _parse(variable, text)
            elif variable.required:
                mistakes.append(f"{variable.name} is not set: {_expectation(variable)}")
        except ValueError as mistake:
            mistakes.append(f"{variable.name} {mistake}")
    if mistakes:
        raise SettingsInvalid(tuple(mistakes))
    try:
        return settings_type(**values)
    except ValueError as mistake:  # raised by a struct's own __post_init__, about several fields together
        raise SettingsInvalid((str(mistake),)) from mistake


def variables_of(settings_type: type[Struct]) -> tuple[Variable, ...]:
    """The struct's settings in the order of their fields."""
    return tuple(_variable(info) for info in msgspec.structs.fields(settings_type))


def unknown_variables(settings_type: type[Struct], environ: Mapping[str, str]) -> tuple[UnknownVariable, ...]:
    """Variables with our prefix that this struct does not read, nearest known name beside each."""
    known = [variable.name for variable in variables_of(settings_type)]
    readable = {*known, *(name + FILE_SUFFIX for name in known)}
    return tuple(
        UnknownVariable(name=name, did_you_mean=next(iter(difflib.get_close_matches(name, known, 1, _TYPO_SIMILARITY)), None))
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in readable
    )


def secrets_of(settings: Struct) -> tuple[str, ...]:
    """Every secret text in a settings struct, for the log's redaction."""
    found = (getattr(settings, name) for name in settings.__struct_fields__)
    return tuple(value.reveal() for value in found if isinstance(value, Secret) and value)


def _variable(info: msgspec.structs.FieldInfo) -> Variable:
    metas = [part for part in get_args(info.type)[1:] if isinstance(part, Meta)] if _is_annotated(info.type) else []
    extra = {key: value for meta in metas for key, value in (meta.extra or {}).items()}
    has_factory = info.default_factory is not msgspec.NODEFAULT
    return Variable(
        name=extra.get("env", PREFIX + info.name.upper()),
        field=info.name,
        hint=_without_none(info.type),
        plain_type=_plain(info.type),
        # The type's own words come first, those of the setting last.
        description=next((meta.description for meta in reversed(metas) if meta.description), ""),
        required=info.required,
        default=None if info.required else info.default_factory() if has_factory else info.default,
        form=next((meta.description for meta in metas if meta.pattern and meta.description), ""),
    )


def _is_annotated(hint: Any) -> bool:
    return get_origin(hint) is Annotated


def _without_none(hint: Any) -> Any:
    """A limit written on `str | None` is meant for the text; msgspec takes it on the text alone."""
    if _is_annotated(hint):
        inner, *metas = get_args(hint)
        return Annotated[(_without_none(inner), *metas)]
    if get_origin(hint) in (Union, types.UnionType):
        others = [part for part in get_args(hint) if part is not types.NoneType]
        return others[0] if len(others) == 1 else hint
    return hint


def _plain(hint: Any) -> Any:
    if _is_annotated(hint):
        return _plain(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        others = [part for part in get_args(hint) if part is not types.NoneType]
        if len(others) == 1:
            return _plain(others[0])
    return hint


def _text_of(variable: Variable, environ: Mapping[str, str]) -> str | None:
    direct = environ.get(variable.name, "")
    path = environ.get(variable.name + FILE_SUFFIX, "")
    if direct and path:
        raise ValueError(f"is set twice, directly and by {variable.name}{FILE_SUFFIX}: keep one of them")
    if not path:
        return direct or None
    try:
        content = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else "it is not UTF-8 text"
        raise ValueError(f"cannot be read from the file in {variable.name}{FILE_SUFFIX} ({path}): {reason}") from failure
    return content or None


def _parse(variable: Variable, text: str) -> Any:
    """The typed value. Raises ValueError in words that follow the variable's name; a secret's text is never among them."""
    kind = variable.plain_type
    if kind is Secret:
        return Secret(text)
    try:
        value = _convert(kind, text)
        return msgspec.convert(value, variable.hint) if not isinstance(value, timedelta) else value
    except msgspec.ValidationError as broken:
        if variable.form:
            raise ValueError(f"is {text!r}: {_expectation(variable)}") from broken
        raise ValueError(f"is {text!r}: {_lower_first(str(broken))}") from broken
    except (ValueError, OverflowError, InvalidOperation) as broken:
        raise ValueError(f"is {text!r}: {_expectation(variable)}") from broken


def _convert(kind: Any, text: str) -> Any:
    if kind is str:
        return text
    if kind is bool:
        return _boolean(text)
    if kind is timedelta:
        return _duration(text)
    if kind is Decimal:
        return _decimal(text)
    if kind in (int, float):
        return kind(text)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(text)
    if get_origin(kind) is tuple and get_args(kind) == (str, ...):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    raise TypeError(f"a setting of type {kind} cannot be read from the environment")


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)


def _duration(text: str) -> timedelta:
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(text)
    return timedelta(**{_DURATION_UNITS[match[2] or "s"]: float(match[1])})


def _decimal(text: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError(text)
    return value


def _expectation(variable: Variable) -> str:
    kind = variable.plain_type
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        wanted = "one of " + ", ".join(str(member.value) for member in kind)
    elif get_origin(kind) is tuple:
        wanted = "values separated by commas"
    else:
        wanted = variable.form or _WANTED.get(kind, "a value")
    purpose = f" ({variable.description})" if variable.description else ""
    return f"set it to {wanted}{purpose}"


_WANTED = {
    str: "a text",
    Secret: "the secret's text",
    int: "a whole number",
    float: "a number",
    Decimal: "a decimal number",
    bool: "true or false",
    timedelta: "a duration such as 500ms, 30s, 5m or 2h",
}


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
