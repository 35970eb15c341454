from pathlib import Path

import pytest

from aif_runtime.failures import SqlFileInvalid
from aif_runtime.sql_files import Queries, parse_queries, unused_queries

TWO = """-- Executions.

-- name: lock_executions
-- In id order, so that two batches never deadlock.
SELECT * FROM executions ORDER BY id FOR UPDATE;

-- name: insert_execution
-- Once: the id is the idempotency key.
INSERT INTO executions (id) VALUES ($1)
-- a comment inside
ON CONFLICT DO NOTHING;
"""


def test_queries_have_their_names_and_keep_their_comments() -> None:
    queries = dict(parse_queries(TWO, "executions.sql"))

    assert list(queries) == ["lock_executions", "insert_execution"]
    assert queries["insert_execution"].endswith("-- a comment inside\nON CONFLICT DO NOTHING;")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("SELECT 1;", "x.sql:1: a statement before the first"),
        ("-- name: Bad Name\n-- why\nSELECT 1;", "x.sql:1: 'Bad Name' is no name"),
        ("-- name: a\nSELECT 1;", "the query a has no reason"),
        ("-- name: a\n-- why\n\n-- name: b\n-- why\nSELECT 1;", "the query a has no statement"),
    ],
)
def test_a_file_that_breaks_the_rules_is_refused(content: str, message: str) -> None:
    with pytest.raises(SqlFileInvalid, match=message):
        dict(parse_queries(content, "x.sql"))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    queries = Queries({"lock_executions": "SELECT 1"})

    with pytest.raises(KeyError, match="no query is named lock_execution; did you mean lock_executions"):
        queries["lock_execution"]


def test_queries_that_no_source_file_names_are_found(tmp_path: Path) -> None:
    (tmp_path / "store.py").write_text('rows = await connection.fetch(queries["used"])')

    assert unused_queries(Queries({"used": "SELECT 1", "forgotten": "SELECT 2"}), tmp_path) == ("forgotten",)
