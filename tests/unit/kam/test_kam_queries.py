"""The gateway's SQL files."""

from pathlib import Path

import aif_kam
from aif_runtime.sql_files import load_queries, unused_queries


def test_every_query_is_used() -> None:
    assert unused_queries(load_queries("aif_kam"), Path(str(aif_kam.__file__)).parent) == ()
