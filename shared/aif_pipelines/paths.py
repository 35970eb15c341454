"""Paths such as `stage_1.items[0].title`: how the language names a value.

Lookup is by key in objects and by index in lists, and nothing else: no attribute of any object can be reached.
"""

import json
import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from msgspec import Struct

from aif_pipelines.failures import PathInvalid

MAX_SEGMENTS = 20

NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_NAME: Final = re.compile(NAME)
_BLANK: Final = re.compile(r"\s*")
_INDEX: Final = re.compile(r"\[\s*(\d{1,6})\s*\]")
_KEY: Final = re.compile(r"""\[\s*("(?:[^"\\\x00-\x1f]|\\.)*"|'[^'\\\x00-\x1f]*')\s*\]""")


class Missing(Enum):
    """Nothing lies at the path; not the same as a null that does."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING

FIGURES: Final = frozenset({"quality_score", "element_count", "cost_usd", "tokens", "processing_time_ms"})
"""What is known about every stage, beside its output: `stage_1.cost_usd`. Read before fields of the output with these names."""


class Path(Struct, frozen=True):
    root: str
    segments: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return self.root + "".join(_written(segment) for segment in self.segments)

    def with_root(self, root: str) -> "Path":
        return Path(root, self.segments)


def figures_of(stage_id: str) -> str:
    """The name under which a scope holds the figures of a stage; no path can start with it."""
    return f"{stage_id}."


Getter = Callable[[Mapping[str, Any]], Any]
"""Gives the value at a path, or MISSING."""


def parse_path(text: str) -> Path:
    path, end = scan_path(text, 0)
    if end != len(text):
        raise PathInvalid(
            f"{text[end : end + 10]!r} cannot follow a path",
            mend="Write a path such as stage_1.items[0].title.",
            column=end + 1,
        )
    return path


def scan_path(text: str, start: int) -> tuple[Path, int]:
    """The longest path at `start`, and where it ends. Raises PathInvalid."""
    match = _NAME.match(text, start)
    if match is None:
        raise PathInvalid(
            "a path must start with a name",
            mend="Write params, budget, execution or the id of a stage, then .field.",
            column=start + 1,
        )
    root, at = _plain(match, start), match.end()
    segments: list[str | int] = []
    while at < len(text) and text[at] in ".[":
        segment, at = _scan_segment(text, at)
        segments.append(segment)
        if len(segments) > MAX_SEGMENTS:
            raise PathInvalid(f"a path has at most {MAX_SEGMENTS} parts", mend="Shorten it.", column=start + 1)
    return Path(root, tuple(segments)), at


def scan_alternatives(text: str, start: int) -> tuple[list[tuple[Path, int]], int]:
    """Paths with `??` between them, each with where it starts, and where what follows begins. Raises PathInvalid."""
    found: list[tuple[Path, int]] = []
    end = start
    while not found or text.startswith("??", end):
        at = after_blank(text, end + 2 if found else end)
        path, end = scan_path(text, at)
        found.append((path, at))
        end = after_blank(text, end)
    return found, end


def after_blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _scan_segment(text: str, at: int) -> tuple[str | int, int]:
    if text[at] == ".":
        if match := _NAME.match(text, at + 1):
            return _plain(match, at + 1), match.end()
        raise PathInvalid(
            "a field name must follow the dot",
            mend='Names hold letters, digits and _; write other keys as ["the key"].',
            column=at + 2,
        )
    if match := _INDEX.match(text, at):
        return int(match.group(1)), match.end()
    if match := _KEY.match(text, at):
        quoted = match.group(1)
        if quoted.startswith("'"):
            return quoted[1:-1], match.end()
        try:
            key = json.loads(quoted)
            key.encode()
        except ValueError:
            raise PathInvalid("the key is not sound text", mend="Escape as in JSON.", column=at + 2) from None
        return key, match.end()
    raise PathInvalid(
        "between [ and ] there must be a whole number or a quoted key",
        mend='Write items[0] or items["the key"].',
        column=at + 2,
    )


def _plain(name: re.Match[str], at: int) -> str:
    """A name that is no Python dunder: none could be reached anyway, but whoever writes one should hear it."""
    if name.group().startswith("__"):
        raise PathInvalid(
            f"{name.group()[:40]} is not a field: names do not start with two underscores",
            mend='A key that really starts so is written items["__key"].',
            column=at + 1,
        )
    return name.group()


def _written(segment: str | int) -> str:
    if isinstance(segment, int):
        return f"[{segment}]"
    plain = _NAME.fullmatch(segment) and not segment.startswith("__")
    return f".{segment}" if plain else f"[{json.dumps(segment)}]"


def compile_getter(path: Path) -> Getter:
    plain = _value_getter(path)
    if not path.segments or path.segments[0] not in FIGURES:
        return plain
    figures = figures_of(path.root)
    known = _value_getter(path.with_root(figures))
    return lambda scope: known(scope) if figures in scope else plain(scope)


def _value_getter(path: Path) -> Getter:
    root = path.root
    if len(path.segments) == 1 and isinstance(path.segments[0], str):
        return _field_getter(root, path.segments[0])
    return _deep_getter(root, path.segments)


def _field_getter(root: str, field: str) -> Getter:
    def get(scope: Mapping[str, Any]) -> Any:
        value = scope.get(root, MISSING)
        return value.get(field, MISSING) if type(value) is dict else MISSING

    return get


def _deep_getter(root: str, segments: tuple[str | int, ...]) -> Getter:
    def get(scope: Mapping[str, Any]) -> Any:
        value = scope.get(root, MISSING)
        for segment in segments:
            if type(value) is dict:
                value = value.get(segment, MISSING)
            elif type(value) is list and isinstance(segment, int) and segment < len(value):
                value = value[segment]
            else:
                return MISSING
        return value

    return get
