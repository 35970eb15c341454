"""The inputs of a batch, read from a file: JSON lines, a JSON list, or CSV with a header."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aif_console.failures import BadInput
from aif_console.parameters import SOURCE, SourceUploads, read_file, typed

MOST_INPUTS = 1000
SOURCE_ID = "src_"

_MEND = "write one JSON object on each line, or a JSON list of objects, or CSV whose first line names the parameters"


def read_inputs(path: Path, properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Parameters of each order. `properties` say of which type the template wants what CSV can only write as text.

    Raises BadInput, naming the line.
    """
    text = _as_text(path)
    inputs = _from_csv(text, properties) if path.suffix.lower() == ".csv" else _from_json(text)
    if not inputs:
        raise BadInput("FILE", f"{path} holds no input", _MEND)
    if len(inputs) > MOST_INPUTS:
        raise BadInput("FILE", f"{path} holds {len(inputs)} inputs", f"split it: one batch takes {MOST_INPUTS} at most")
    return inputs


async def with_sources(inputs: list[dict[str, Any]], folder: Path, uploads: SourceUploads) -> list[dict[str, Any]]:
    """Sources that name files, seen from `folder`, become the ids of uploaded documents; each file is sent once."""
    found = []
    for number, each in enumerate(inputs):
        source = each.get(SOURCE)
        if isinstance(source, str) and not source.startswith(SOURCE_ID):
            each = each | {SOURCE: await uploads.id_of(folder / source, f"inputs[{number}].{SOURCE}")}
        found.append(each)
    return found


def _as_text(path: Path) -> str:
    try:
        return read_file(path, "FILE", "name a readable file").decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise BadInput("FILE", f"{path} is not UTF-8 at byte {wrong.start}", "save it as UTF-8") from wrong


def _from_json(text: str) -> list[dict[str, Any]]:
    if text.lstrip().startswith("["):
        try:
            return [_checked(each, f"input {number}") for number, each in enumerate(json.loads(text), 1)]
        except json.JSONDecodeError as wrong:
            raise BadInput("FILE", f"line {wrong.lineno}, column {wrong.colno}: {wrong.msg}", _MEND) from wrong
    # JSON lines end at line feeds alone; other line ends may stand inside a text.
    return [_from_line(line, number) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _from_line(line: str, number: int) -> dict[str, Any]:
    try:
        return _checked(json.loads(line), f"line {number}")
    except json.JSONDecodeError as wrong:
        raise BadInput("FILE", f"line {number}, column {wrong.colno}: {wrong.msg}", _MEND) from wrong


def _checked(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput("FILE", f"{place} is no JSON object", _MEND)
    return value


def _from_csv(text: str, properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An empty cell leaves the parameter to the template."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    inputs = []
    try:
        names = [name.strip() for name in next(reader, [])]
        if "" in names or len(set(names)) < len(names):
            raise BadInput("FILE", "line 1: a column has no name, or the name of another one", _MEND)
        for cells in reader:
            if len(cells) > len(names):
                raise BadInput("FILE", f"line {reader.line_num}: more cells than columns", "put cells with commas in quotes")
            if any(cells):
                inputs.append(typed({name: cell for name, cell in zip(names, cells, strict=False) if cell}, properties))
    except csv.Error as wrong:
        raise BadInput(
            "FILE", f"line {reader.line_num}: {wrong}", "put cells with commas, quotes or line ends in quotes"
        ) from wrong
    return inputs
