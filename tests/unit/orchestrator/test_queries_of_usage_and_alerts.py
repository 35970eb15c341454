"""The named queries of the rooms for usage and alerts: each has its use."""

from pathlib import Path

import pytest

import aif_orchestrator
from aif_runtime.sql_files import load_queries, unused_queries


@pytest.mark.parametrize("room", ["usage", "alerts"])
def test_every_query_is_used(room: str) -> None:
    folder = Path(str(aif_orchestrator.__file__)).parent / room

    assert unused_queries(load_queries(f"aif_orchestrator.{room}"), folder) == ()
