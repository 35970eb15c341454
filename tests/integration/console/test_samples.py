"""The programs of `samples/`, as a newcomer calls them."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAM = REPOSITORY / "samples" / "order_over_nats.py"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "the following arguments are required: source"),
        (("nowhere.md",), "'nowhere.md': name a text file"),
        ((str(PROGRAM),), "nats.url': name a text file, and the data folder of a factory that runs here"),
    ],
    ids=["no document", "a document that is not there", "no factory"],
)
def test_the_order_over_nats_says_what_it_lacks(words: tuple[str, ...], complaint: str, tmp_path: Path) -> None:
    called = subprocess.run([sys.executable, PROGRAM, *words], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert called.returncode == 2
    assert complaint in called.stderr
    assert "Traceback" not in called.stderr
