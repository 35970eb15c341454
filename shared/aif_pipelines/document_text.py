"""From bytes to plain values: JSON and YAML, with the place of every value and with everything risky refused.

YAML is read from its events, as YAML 1.2's core schema: no tags, no yes/no booleans, no dates. Aliases count every
time they are used.
"""

import json
import re
from collections import Counter
from typing import Any, Final, NoReturn

import yaml
from msgspec import Struct

from aif_pipelines.failures import PipelineInvalid
from aif_pipelines.json_values import MAX_DEPTH, is_deeper_than
from aif_pipelines.mistakes import Mistake
from aif_pipelines.tokens import position

MAX_BYTES = 262_144
MAX_VALUES = 20_000
MAX_KEY_CHARACTERS = 200
"""Keys make the paths by which mistakes are told."""

Positions = dict[str, tuple[int, int]]
"""Line and column, from 1, by path."""


class Document(Struct, frozen=True, kw_only=True):
    value: Any
    positions: Positions


def read_document(text: str | bytes) -> Document:
    """Raises PipelineInvalid."""
    source = _as_text(text)
    if not source.lstrip().startswith("{"):
        return _read_yaml(source)
    value = _read_json(source)
    return Document(value=value, positions=_json_positions(source))


_LONG_KEY: Final = f"has a key of more than {MAX_KEY_CHARACTERS} characters"
_LONG_KEY_MEND: Final = "Shorten it."


def _refuse(message: str, mend: str, line: int | None = None, column: int | None = None, path: str = "") -> NoReturn:
    raise PipelineInvalid([Mistake(path=path, message=message, mend=mend, line=line, column=column)])


def _as_text(text: str | bytes) -> str:
    if isinstance(text, bytes):
        if len(text) <= MAX_BYTES:
            try:
                return text.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                _refuse(f"is not UTF-8 at byte {error.start}", "Save the document as UTF-8.")
    elif len(text) <= MAX_BYTES:
        try:
            if len(text.encode()) <= MAX_BYTES:
                return text.removeprefix("\ufeff")
        except UnicodeEncodeError as error:
            half = "holds half of a surrogate pair, which is not a character"
            _refuse(half, "Write the character whole.", *position(text, error.start))
    _refuse(f"is larger than {MAX_BYTES // 1024} KiB", "Split it, or move long texts into parameters.")


def _read_json(source: str) -> Any:
    try:
        value = json.loads(source, object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        _refuse(f"is not sound JSON: {error.msg}", "Correct it here.", error.lineno, error.colno)
    except RecursionError:
        _refuse(f"is nested deeper than {MAX_DEPTH} levels", "Make it flatter.")
    except ValueError:
        _refuse("holds a number with too many digits", "Use smaller numbers.")
    if is_deeper_than(MAX_DEPTH, value):
        _refuse(f"is nested deeper than {MAX_DEPTH} levels", "Make it flatter.")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if any(len(key) > MAX_KEY_CHARACTERS for key in found):
        _refuse(_LONG_KEY, _LONG_KEY_MEND)
    if len(found) < len(pairs):
        repeated, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        _refuse(f"has the key {repeated!r} twice in one object", "Remove one.")
    return found


def _no_constant(word: str) -> NoReturn:
    _refuse(f"holds {word}, which is no JSON value", "Use a finite number or null.")


def _json_positions(source: str) -> Positions:
    """JSON is nearly YAML; where it is not, the mistakes go without lines."""
    try:
        return _YamlReader(source).read().positions
    except (yaml.YAMLError, PipelineInvalid):
        return {}


def _read_yaml(source: str) -> Document:
    try:
        return _YamlReader(source).read()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        _refuse(f"is not sound YAML: {error.problem}", "Correct it here.", line, column)
    except yaml.YAMLError:
        _refuse("is not sound YAML: it holds a control character", "Remove it.")


# As many digits as Python reads; what is beyond 64 bits is refused later, at its place, and never rounded to a fraction.
_WHOLE: Final = re.compile(r"[-+]?[0-9]{1,4300}")
_FRACTION: Final = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]{1,3})?")
_WORDS: Final[dict[str, bool | None]] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}


class _YamlReader:
    def __init__(self, source: str) -> None:
        self._events = yaml.parse(source, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self._positions: Positions = {}
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._values = 0

    def read(self) -> Document:
        self._take()
        if isinstance(self._take(), yaml.StreamEndEvent):
            _refuse("is empty", "Write a pipeline: name, version and stages.")
        value = self._value(self._take(), "", 0)
        self._take()
        following = self._take()
        if not isinstance(following, yaml.StreamEndEvent):
            self._refuse(following, "there is a second document", "Write one pipeline per document.", "")
        return Document(value=value, positions=self._positions)

    def _take(self) -> Any:
        return next(self._events)

    def _value(self, event: Any, path: str, depth: int) -> Any:
        self._positions[path] = (event.start_mark.line + 1, event.start_mark.column + 1)
        if depth > MAX_DEPTH:
            self._refuse(event, f"is nested deeper than {MAX_DEPTH} levels", "Make it flatter.", path)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        before = self._values
        self._count(1, event, path)
        if getattr(event, "tag", None) not in (None, "!"):
            self._refuse(event, f"has the tag {event.tag[:60]}", "Remove the tag; plain values only.", path)
        if isinstance(event, yaml.MappingStartEvent):
            value: Any = self._mapping(path, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(path, depth)
        else:
            value = _scalar(event.value) if event.implicit[0] else event.value
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._values - before)
        return value

    def _alias(self, event: Any, path: str) -> Any:
        if event.anchor not in self._anchors:
            self._refuse(event, f"the alias *{event.anchor[:40]} is not anchored before", "Write it out.", path)
        value, size = self._anchors[event.anchor]
        self._count(size, event, path)
        return value

    def _mapping(self, path: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := self._take(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(event, "has a key that is not text", "Write the key as plain text.", path)
            key = event.value
            if len(key) > MAX_KEY_CHARACTERS:
                self._refuse(event, _LONG_KEY, _LONG_KEY_MEND, path)
            below = f"{path}.{key}" if path else key
            if key == "<<" and event.implicit[0]:
                mend = "Write the fields out, or use an alias for a whole value."
                self._refuse(event, "is YAML 1.1's way to merge, which is not read", mend, below)
            if key in found:
                self._refuse(event, "is there twice", "Remove one.", below)
            found[key] = self._value(self._take(), below, depth + 1)
        return found

    def _sequence(self, path: str, depth: int) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := self._take(), yaml.SequenceEndEvent):
            found.append(self._value(event, f"{path}[{len(found)}]", depth + 1))
        return found

    def _count(self, size: int, event: Any, path: str) -> None:
        self._values += size
        if self._values > MAX_VALUES:
            self._refuse(event, f"the document has more than {MAX_VALUES} values", "Split it.", path)

    def _refuse(self, event: Any, message: str, mend: str, path: str) -> NoReturn:
        _refuse(message, mend, event.start_mark.line + 1, event.start_mark.column + 1, path)


def _scalar(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _FRACTION.fullmatch(text):
        return float(text)
    return text
