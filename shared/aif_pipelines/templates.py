"""Stage inputs: any JSON value whose texts may hold `{{path}}`.

A text that is exactly one `{{path}}` becomes the value itself, with its type; in a longer text the value is written
out. One pass: what was substituted is never scanned again, so a stage's output holding `{{…}}` stays text. A missing path
fails, unless written `{{path?}}`: then it is null, the key is dropped inside an object and nothing is written inside a text.
`{{path ?? other}}` takes the first that is neither missing nor null, the last one as it is; `?` may follow the last.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from aif_pipelines.failures import PathInvalid, TemplateFailed, TemplateInvalid
from aif_pipelines.json_values import JSON, MAX_DEPTH, json_text
from aif_pipelines.paths import MISSING, Getter, Path, after_blank, compile_getter, scan_alternatives

MAX_PLACEHOLDERS = 100
MAX_TEXT_CHARACTERS = 1_048_576

Resolve = Callable[[Mapping[str, Any]], Any]
Alternatives = tuple[Path, ...]
"""The paths of one placeholder, joined by `??` when there are several."""

_MEND: Final = "Write {{stage_1.title}}, {{stage_1.title?}} when it may be missing, or {{polish.title ?? stage_1.title}}."


class Template:
    """A compiled template. Its constant parts are shared between results: do not change what `resolve` returns."""

    __slots__ = ("_resolve", "places", "references", "required")

    def __init__(self, value: Any) -> None:
        compiler = _Compiler()
        self._resolve = compiler.compile(value, "", 0)
        self.places: dict[Path, str] = compiler.places
        """Where in the value each path stands, its first time: `.topic`, `.items[0]`."""
        self.references: frozenset[Path] = frozenset(compiler.places)
        self.required: frozenset[Alternatives] = frozenset(compiler.required)
        """Of each at least one path must have a value: the placeholders written without `?`."""

    def resolve(self, scope: Mapping[str, Any]) -> JSON:
        """The value over `scope` (JSON objects must be dicts). Raises TemplateFailed."""
        value = self._resolve(scope)
        return None if value is MISSING else value


def compile_template(value: Any) -> Template:
    """Raises TemplateInvalid with the place inside the value."""
    return Template(value)


def renamed_template(value: Any, roots: dict[str, str]) -> Any:
    """The same template with the first names of its paths replaced, and all else as it is written. Raises TemplateInvalid."""
    if isinstance(value, str):
        return "".join(part if isinstance(part, str) else part.renamed(roots) for part in _split(value, ""))
    if isinstance(value, dict):
        return {key: renamed_template(item, roots) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [renamed_template(item, roots) for item in value]
    return value


class _Placeholder(msgspec.Struct, frozen=True):
    paths: Alternatives
    may_miss: bool
    written: str
    """With its braces."""

    def __str__(self) -> str:
        return " ?? ".join(str(path) for path in self.paths)

    def renamed(self, roots: dict[str, str]) -> str:
        if not any(path.root in roots for path in self.paths):
            return self.written
        paths = (str(path.with_root(roots.get(path.root, path.root))) for path in self.paths)
        return f"{{{{{' ?? '.join(paths)}{'?' if self.may_miss else ''}}}}}"


class _Compiler:
    def __init__(self) -> None:
        self.count = 0
        self.places: dict[Path, str] = {}
        self.required: list[Alternatives] = []

    def compile(self, value: Any, at: str, depth: int) -> Resolve:
        if depth > MAX_DEPTH:
            raise TemplateInvalid(f"the value is nested deeper than {MAX_DEPTH} levels", mend="Make it flatter.", at=at)
        if isinstance(value, str):
            return self._compile_text(value, at)
        if isinstance(value, dict):
            return self._compile_object(value, at, depth)
        if isinstance(value, list | tuple):
            return self._compile_list(value, at, depth)
        return _constant(value)

    def _compile_text(self, text: str, at: str) -> Resolve:
        parts = _split(text, at)
        if not any(isinstance(part, _Placeholder) for part in parts):
            return _constant(text)
        placeholders = [part for part in parts if isinstance(part, _Placeholder)]
        for path in (path for placeholder in placeholders for path in placeholder.paths):
            self.count += 1
            self.places.setdefault(path, at)
        self.required += (placeholder.paths for placeholder in placeholders if not placeholder.may_miss)
        if self.count > MAX_PLACEHOLDERS:
            raise TemplateInvalid(f"there are more than {MAX_PLACEHOLDERS} placeholders", mend="Pass whole objects.", at=at)
        if len(parts) == 1 and isinstance(parts[0], _Placeholder):
            return _typed(parts[0])
        return _text(tuple(part if isinstance(part, str) else (_typed(part), str(part)) for part in parts))

    def _compile_object(self, value: dict[Any, Any], at: str, depth: int) -> Resolve:
        for key in value:
            if isinstance(key, str) and "{{" in key:
                raise TemplateInvalid("a key cannot hold {{", mend="Only values can be placeholders.", at=at)
        before = self.count
        items = tuple((key, self.compile(item, f"{at}.{key}", depth + 1)) for key, item in value.items())
        if self.count == before:
            return _constant(value)

        def resolve(scope: Mapping[str, Any]) -> dict[str, Any]:
            resolved = {}
            for key, item in items:
                found = item(scope)
                if found is not MISSING:
                    resolved[key] = found
            return resolved

        return resolve

    def _compile_list(self, value: list[Any] | tuple[Any, ...], at: str, depth: int) -> Resolve:
        before = self.count
        items = tuple(self.compile(item, f"{at}[{index}]", depth + 1) for index, item in enumerate(value))
        if self.count == before:
            return _constant(list(value))

        def resolve(scope: Mapping[str, Any]) -> list[Any]:
            return [None if (found := item(scope)) is MISSING else found for item in items]

        return resolve


def _constant(value: Any) -> Resolve:
    return lambda _scope: value


def _typed(placeholder: _Placeholder) -> Resolve:
    get = _first(tuple(compile_getter(path) for path in placeholder.paths))
    if placeholder.may_miss:
        return get
    text = str(placeholder)

    def resolve(scope: Mapping[str, Any]) -> Any:
        value = get(scope)
        if value is MISSING:
            raise TemplateFailed(f"{text} is missing", mend=f"Write {{{{{text}?}}}} when it may be missing, or see why it is.")
        return value

    return resolve


def _first(getters: tuple[Getter, ...]) -> Getter:
    """The first value that is there and not null, else whatever the last getter gives."""
    *preferred, last = getters

    def get(scope: Mapping[str, Any]) -> Any:
        for one in preferred:
            value = one(scope)
            if value is not MISSING and value is not None:
                return value
        return last(scope)

    return get


def _text(parts: tuple[str | tuple[Resolve, str], ...]) -> Resolve:
    def resolve(scope: Mapping[str, Any]) -> str:
        text = "".join([part if isinstance(part, str) else _written(*part, scope) for part in parts])
        if len(text) > MAX_TEXT_CHARACTERS:
            raise TemplateFailed(
                f"a text grew beyond {MAX_TEXT_CHARACTERS} characters",
                mend="Pass the value whole, as the only thing in the text.",
            )
        return text

    return resolve


def _written(resolve: Resolve, path: str, scope: Mapping[str, Any]) -> str:
    value = resolve(scope)
    if type(value) is str:
        return value
    if value is MISSING or value is None:
        return ""
    if isinstance(value, Decimal):
        return format(value, "f")
    text = json_text(value)
    if text is None:
        raise TemplateFailed(f"{path} cannot be written as text", mend="Use a plain JSON value.")
    return text


def _split(text: str, at: str) -> list[str | _Placeholder]:
    parts: list[str | _Placeholder] = []
    done = 0
    while (start := text.find("{{", done)) >= 0:
        if start > done:
            parts.append(text[done:start])
        placeholder, done = _scan_placeholder(text, start, at)
        parts.append(placeholder)
    if done < len(text):
        parts.append(text[done:])
    return parts


def _scan_placeholder(text: str, start: int, at: str) -> tuple[_Placeholder, int]:
    try:
        found, end = scan_alternatives(text, start + 2)
    except PathInvalid as failure:
        raise TemplateInvalid(failure.message, mend=failure.mend, column=failure.column, at=at) from None
    may_miss = text.startswith("?", end)
    end = after_blank(text, end + 1) if may_miss else end
    if may_miss and text.startswith("??", end):
        mend = "Write {{a ?? b}}: what stands before ?? may be missing anyway; or {{a ?? b?}} when both may."
        raise TemplateInvalid("? goes after the last path only", mend=mend, column=end + 1, at=at)
    if not text.startswith("}}", end):
        raise TemplateInvalid("}} must follow the path", mend=_MEND, column=end + 1, at=at)
    return _Placeholder(tuple(path for path, _ in found), may_miss, text[start : end + 2]), end + 2
