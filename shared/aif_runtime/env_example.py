"""Renders deploy/env.example from the services' settings structs, so that it cannot fall behind them."""

import enum
import textwrap
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, get_origin

from msgspec import Struct

from aif_runtime.settings import Secret, Variable, variables_of

_WIDTH = 110
_DURATION_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}
_TYPE_WORDS = {bool: "true or false", timedelta: "duration", Secret: "secret"}


def env_example(settings_types: Mapping[str, type[Struct]]) -> str:
    """The file's text, in parts that are headed by the services that read them: what all share comes first.

    A variable with a default is commented out and shows it; a required one stands open, to be filled in.
    """
    variables: dict[str, Variable] = {}
    readers: dict[str, list[str]] = {}
    for service, kind in settings_types.items():
        for variable in variables_of(kind):
            variables.setdefault(variable.name, variable)
            readers.setdefault(variable.name, []).append(service)
    parts: dict[str, list[str]] = {}
    for name, services in readers.items():
        title = "every service" if len(services) == len(settings_types) > 1 else ", ".join(services)
        parts.setdefault(title, []).append(_entry(variables[name]))
    return "\n\n".join([_HEAD, *(f"# ==== {title} ====\n\n" + "\n\n".join(entries) for title, entries in parts.items())]) + "\n"


_HEAD = (
    "# Settings of the services. Generated from their settings structs.\n"
    "# Each variable may be given as a file instead: NAME_FILE=/run/secrets/name"
)


def _entry(variable: Variable) -> str:
    text = f"{variable.description}." if variable.description else ""
    kind = _kind_words(variable.plain_type)
    about = textwrap.wrap(f"{text} ({kind}{', required' if variable.required else ''})".strip(), _WIDTH)
    assignment = f"{variable.name}=" if variable.required else f"#{variable.name}={_default_text(variable.default)}"
    return "\n".join([*(f"# {line}" for line in about), assignment])


def _kind_words(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return " | ".join(str(member.value) for member in kind)
    if get_origin(kind) is tuple:
        return "comma separated"
    return _TYPE_WORDS.get(kind, getattr(kind, "__name__", str(kind)).lower())


def _default_text(default: Any) -> str:
    if default is None or isinstance(default, Secret):
        return ""
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, enum.Enum):
        return str(default.value)
    if isinstance(default, tuple):
        return ",".join(default)
    if isinstance(default, timedelta):
        return _duration_text(default)
    if isinstance(default, float):
        return f"{default:g}"
    return str(default)


def _duration_text(duration: timedelta) -> str:
    """In the largest unit of which it is a whole number."""
    for letter, unit in _DURATION_UNITS.items():
        if not duration % unit:
            return f"{duration // unit}{letter}"
    return f"{duration / timedelta(milliseconds=1):g}ms"
