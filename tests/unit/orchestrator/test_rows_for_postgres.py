"""How rows are written for Postgres."""

from aif_orchestrator.store.rows import rows_text


def test_rows_are_an_array_of_composites_in_postgres_words() -> None:
    assert rows_text([]) == "{}"
    assert rows_text([("exec_1", 3, True, None, "2 words")]) == r'{"(exec_1,3,True,,\"2 words\")"}'


def test_an_empty_text_is_a_text_and_nothing_is_null() -> None:
    assert rows_text([("", None), (None, "")]) == r'{"(\"\",)","(,\"\")"}'
