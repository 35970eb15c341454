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
    """The file's text: what all the given services share first, then a part for each service by name.

    A variable with a default is commented out and shows it; a required one stands open, to be filled in.
    """
    names_by_service = {service: {variable.name for variable in variables_of(kind)} for service, kind in settings_types.items()}
    shared = set.intersection(*names_by_service.values()) if len(names_by_service) > 1 else set()
    parts = [_HEAD]
    written: set[str] = set()
    for title, kind, wanted in _sections(settings_types, names_by_service, shared):
        fresh = [variable for variable in variables_of(kind) if variable.name in wanted - written]
        written |= {variable.name for variable in fresh}
        if fresh:
            parts.append(f"# ==== {title} ====\n\n" + "\n\n".join(_entry(variable) for variable in fresh))
    return "\n\n".join(parts) + "\n"


_HEAD = (
    "# Settings of the services. Generated from their settings structs.\n"
    "# Each variable may be given as a file instead: NAME_FILE=/run/secrets/name"
)


def _sections(
    settings_types: Mapping[str, type[Struct]], names_by_service: Mapping[str, set[str]], shared: set[str]
) -> list[tuple[str, type[Struct], set[str]]]:
    sections = [("every service", next(iter(settings_types.values())), shared)]
    sections += [(service, kind, names_by_service[service]) for service, kind in settings_types.items()]
    return sections


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
