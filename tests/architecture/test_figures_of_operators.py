"""deploy/README.md names every Prometheus figure that a service has, and none that is gone."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUFFIXES = {"Counter": "_total", "Histogram": "", "Gauge": "", "Info": "_info"}


def figures_of(source: str) -> Iterator[str]:
    """As they stand on the page of figures."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SUFFIXES:
            name = node.args[0] if node.args else None
            if (
                isinstance(name, ast.Constant)
                and isinstance(name.value, str)
                and any(k.arg == "registry" for k in node.keywords)
            ):
                yield name.value + SUFFIXES[node.func.id]


def test_the_operators_table_names_every_figure_and_none_that_is_gone() -> None:
    code = [path for part in ("services", "shared") for path in (ROOT / part).rglob("*.py")]
    exported = {figure for path in code for figure in figures_of(path.read_text(encoding="utf-8"))}
    section = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8").partition("## Figures")[2]
    told = {name for row in section.splitlines() if row.startswith("| ") for name in re.findall(r"`((?:ai|gen)\w+)`", row)}

    assert exported == told
