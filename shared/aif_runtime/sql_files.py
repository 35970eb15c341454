"""Named SQL queries from `.sql` files that lie beside the store which uses them.

    -- name: lock_executions
    -- In id order, so that two batches that share executions wait for each other and never deadlock.
    SELECT … FOR UPDATE

A query opens with its name; the comment lines below give the reason for it, one at least.
"""

import difflib
import importlib.resources
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from aif_runtime.failures import SqlFileInvalid

_NAME_LINE = re.compile(r"^--\s*name:\s*(.*)$")
_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


class Queries(Mapping[str, str]):
    """SQL texts by name."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = dict(texts)

    def __getitem__(self, name: str) -> str:
        if name not in self._texts:
            near = difflib.get_close_matches(name, self._texts, 1)
            raise KeyError(f"no query is named {name}" + (f"; did you mean {near[0]}?" if near else ""))
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def load_queries(package: str, folder: str = "sql") -> Queries:
    """All queries of a package's folder. Raises SqlFileInvalid: a name twice, no name, no reason, no statement."""
    texts: dict[str, str] = {}
    files = sorted(importlib.resources.files(package).joinpath(folder).iterdir(), key=lambda entry: entry.name)
    for file in files:
        if not file.name.endswith(".sql"):
            continue
        for name, text in parse_queries(file.read_text(encoding="utf-8"), file.name):
            if name in texts:
                raise SqlFileInvalid(f"{file.name}: the name {name} is taken already, in this or another file of the folder")
            texts[name] = text
    return Queries(texts)


def parse_queries(content: str, file_name: str) -> Iterator[tuple[str, str]]:
    """The (name, text) pairs of one file, in order."""
    name: str | None = None
    lines: list[str] = []
    for number, line in enumerate(content.splitlines(), 1):
        match = _NAME_LINE.match(line)
        if match is not None:
            if name is not None:
                yield name, _checked(name, lines, file_name)
            name, lines = match[1].strip(), []
            if not _NAME.match(name):
                raise SqlFileInvalid(f"{file_name}:{number}: {name!r} is no name: lower case letters, digits and _")
        elif name is not None:
            lines.append(line)
        elif line.strip() and not line.startswith("--"):
            raise SqlFileInvalid(f"{file_name}:{number}: a statement before the first `-- name:` line")
    if name is not None:
        yield name, _checked(name, lines, file_name)


def unused_queries(queries: Queries, source_folder: Path) -> tuple[str, ...]:
    """For a test: names that no Python file below the folder mentions in quotes."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in sorted(source_folder.rglob("*.py")))
    return tuple(name for name in queries if f'"{name}"' not in sources and f"'{name}'" not in sources)


def _checked(name: str, lines: list[str], file_name: str) -> str:
    if not lines or not lines[0].startswith("--") or not lines[0].strip("- "):
        raise SqlFileInvalid(f"{file_name}: the query {name} has no reason: say it in a comment line below its name")
    statement = "\n".join(lines).strip()
    if all(not line.strip() or line.lstrip().startswith("--") for line in lines):
        raise SqlFileInvalid(f"{file_name}: the query {name} has no statement")
    return statement
