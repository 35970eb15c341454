"""The examples of the language's README are true."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import aif_pipelines
from aif_pipelines.checks import check_pipeline
from aif_pipelines.expressions import compile_expression
from aif_pipelines.failures import ExpressionFailed
from aif_pipelines.kinds import BUDGET_SCHEMA, EXECUTION_SCHEMA, STAGE_FIGURES
from aif_pipelines.loading import dump_pipeline, load_pipeline
from aif_pipelines.plan import compile_pipeline

README = (Path(aif_pipelines.__path__[0]) / "README.md").read_text()
SHARED_README = (Path(aif_pipelines.__path__[0]).parent / "README.md").read_text()
OFFERED = {
    "topic_researcher": frozenset({"research_topic"}),
    "content_granulator": frozenset({"structure_course", "structure_quiz"}),
    "content_optimizer": frozenset({"optimize_large_structure"}),
}
SCOPE = {"s": {"score": 0.7, "tags": ["a"], "text": "Honey"}}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def rows() -> list[tuple[str, str]]:
    table = README.partition("| gives |\n|---|---|\n")[2].partition("\n\n")[0]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table.splitlines()]  # type: ignore[misc]


def test_the_yaml_example_loads_and_compiles() -> None:
    (text,) = blocks("yaml")

    pipeline = load_pipeline(text)

    assert compile_pipeline(pipeline).order == ("research", "course", "quiz")
    assert load_pipeline(dump_pipeline(pipeline)) == pipeline


def test_all_that_the_yaml_example_asks_of_the_factorys_workers_they_do_and_the_page_says_who_compensates() -> None:
    (text,) = blocks("yaml")

    lacking = check_pipeline(load_pipeline(text), OFFERED)

    assert [(mistake.path, mistake.message) for mistake in lacking] == [
        ("stages[1].compensate.worker", "no worker is called storage")
    ]
    assert "`storage`, which undoes in these examples, would be a worker of your own" in " ".join(README.split())


def test_the_python_example_builds() -> None:
    (text,) = blocks("python")
    names: dict[str, Any] = {}

    exec(text, names)

    assert compile_pipeline(names["pipeline"]).order == ("transcribe", "redact", "summarize")
    assert names["pipeline"].stages[2].when == "len(redact.text) > 500"
    assert names["pipeline"].stages[2].input == "{{redact_again ?? redact}}"


@pytest.mark.parametrize(("expression", "gives"), rows())
def test_the_expressions_of_the_table_give_what_it_says(expression: str, gives: str) -> None:
    compiled = compile_expression(expression.strip("`"))

    if gives.startswith("fails: "):
        with pytest.raises(ExpressionFailed) as failure:
            compiled.evaluate(SCOPE)
        assert failure.value.message == gives.removeprefix("fails: ")
    else:
        assert compiled.evaluate(SCOPE) == json.loads(gives.strip("`"), parse_float=Decimal)


def test_the_table_is_found() -> None:
    assert len(rows()) == 12


def test_the_table_of_what_texts_can_read_has_every_name() -> None:
    table = SHARED_README.partition("## What the texts of a pipeline can read")[2].partition("\n## ")[0]
    cells = {cells[1].strip(" `"): cells[2] for line in table.splitlines() if len(cells := line.split("|")) == 5}

    assert {"params", "execution", "budget", "capabilities"} <= set(cells)
    for name, fields in (
        ("execution", EXECUTION_SCHEMA["properties"]),
        ("budget", BUDGET_SCHEMA["properties"]),
        ("a stage's id", STAGE_FIGURES),
    ):
        assert set(re.findall(r"`(\w+)`", cells[name])) == set(fields)
