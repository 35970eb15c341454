from pathlib import Path

import aif_classifier
from aif_runtime.sql_files import load_queries, unused_queries


def test_every_query_is_used() -> None:
    queries = load_queries("aif_classifier")

    assert len(queries) == 13
    assert unused_queries(queries, Path(aif_classifier.__file__).parent) == ()
